"""An ONNX file as a host classifier, through onnxruntime."""

from __future__ import annotations

import glob
import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cpi_jax.classifiers.network import Network
from cpi_jax.classifiers.preprocessing import Preprocessing
from cpi_jax.classifiers.scorer import HostScorer
from cpi_jax.errors import InputError, require_known
from cpi_jax.extras import import_extra


def load_onnx(path: str | Path, output: str = "") -> Network:
    """Opens the file; its images are resized to the size that it was exported for, if it was for one.

    Args:
      path: of a network with one input of images, [B, 3, H, W] or [B, H, W, 3], whose output are the scores.
      output: the name of that output; needed where there are several.

    Raises:
      InputError: where onnxruntime is not installed, or for a file that cannot be used.
    """
    path = Path(path)
    onnxruntime = import_extra("onnxruntime", "onnx", "ONNX files")
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    except Exception as error:  # its kinds are not public
        raise InputError(f"{path} cannot be opened by onnxruntime: {error}") from None
    first, *others = session.get_inputs()
    shape = [side if isinstance(side, int) else None for side in first.shape]  # None: any
    if others or len(shape) != 4 or 3 not in (shape[1], shape[3]) or first.type != "tensor(float)":
        raise InputError(f"{path} takes {first.type} of shape {first.shape}; float images of three colours are needed")
    output, num_outputs = _find_output(session, output, path)
    channels_first = shape[1] == 3
    height, width = shape[2:] if channels_first else shape[1:3]
    spec = Preprocessing() if height is None or width is None else Preprocessing(resize=(height, width))
    function = partial(_run, session, output, channels_first, shape[0], (height, width))
    content = hashlib.sha256()
    for file in sorted(path.parent.glob(f"{glob.escape(path.name)}*")):  # large models keep weights in files beside
        content.update(file.read_bytes())
    named = f" {output}" if len(session.get_outputs()) > 1 else ""
    return Network(HostScorer(function, f"onnx {content.hexdigest()[:16]}{named}"), spec, num_outputs=num_outputs)


def _find_output(session: Any, output: str, path: Path) -> tuple[str, int]:
    """The output that holds the scores, and how many there are of an image; 0 where the file does not say."""
    known = {entry.name: entry for entry in session.get_outputs()}
    described = ", ".join(f"{name} ({entry.type} {entry.shape})" for name, entry in known.items())
    if not output and len(known) > 1:
        raise InputError(
            f"{path} has several outputs: name the logits or probabilities in `output`, one of {described}"
        )
    output = output or next(iter(known))
    require_known(output, f"output of {path.name}", tuple(known))
    if known[output].type not in ("tensor(float)", "tensor(double)", "tensor(float16)"):
        raise InputError(
            f"the output {output} of {path} holds no logits or probabilities: {described}; scikit-learn writes "
            "tensors, not maps, with zipmap=False"
        )
    shape = known[output].shape
    return output, shape[1] if len(shape) == 2 and isinstance(shape[1], int) else 0


def _run(
    session: Any, output: str, channels_first: bool, batch: int | None, size: tuple[int | None, ...], images: np.ndarray
) -> np.ndarray:
    """The scores; an exported batch size is kept to."""
    if any(wanted not in (None, side) for wanted, side in zip(size, images.shape[1:3])):
        raise InputError(f"the ONNX file takes images of {size} px, and resize and crop give {images.shape[1:3]}")
    given = images.transpose(0, 3, 1, 2) if channels_first else images
    batch = batch or len(given)
    padded = np.pad(given, [(0, -len(given) % batch), (0, 0), (0, 0), (0, 0)])
    name = session.get_inputs()[0].name
    try:
        parts = [session.run([output], {name: padded[i : i + batch]})[0] for i in range(0, len(padded), batch)]
    except Exception as error:  # its kinds are not public
        raise InputError(f"onnxruntime cannot run the file on images {padded[:batch].shape}: {error}") from None
    return np.concatenate([np.atleast_1d(part) for part in parts])[: len(images)]
