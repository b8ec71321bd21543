"""An ONNX file as a host classifier, through onnxruntime."""

from __future__ import annotations

import glob
import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from cpi_jax.classifiers.network import Network
from cpi_jax.classifiers.preprocessing import Preprocessing
from cpi_jax.classifiers.scorer import HostScorer
from cpi_jax.errors import InputError


def load_onnx(path: str | Path) -> Network:
    """Opens the file; its images are resized to the size that it was exported for, if it was for one.

    Args:
      path: of a network with one input of images, [B, 3, H, W] or [B, H, W, 3], whose first output are the scores.

    Raises:
      InputError: where onnxruntime is not installed, or for a file that cannot be used.
    """
    path = Path(path)
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"{path} needs onnxruntime: pip install 'cpi_jax[onnx]'") from None
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
    channels_first = shape[1] == 3
    size = tuple(shape[2:] if channels_first else shape[1:3])
    spec = Preprocessing(resize=size) if None not in size else Preprocessing()
    function = partial(_run, session, channels_first, shape[0], size)
    content = hashlib.sha256()
    for file in sorted(path.parent.glob(f"{glob.escape(path.name)}*")):  # large models keep weights in files beside
        content.update(file.read_bytes())
    return Network(HostScorer(function, f"onnx {content.hexdigest()[:16]}"), spec)


def _run(session, channels_first: bool, batch: int | None, size: tuple, images: np.ndarray) -> np.ndarray:
    """The first output; an exported batch size is kept to."""
    if any(side not in (None, found) for side, found in zip(size, images.shape[1:3])):
        raise InputError(f"the ONNX file takes images of {size} px, and resize and crop give {images.shape[1:3]}")
    given = images.transpose(0, 3, 1, 2) if channels_first else images
    batch = batch or len(given)
    padded = np.pad(given, [(0, -len(given) % batch), (0, 0), (0, 0), (0, 0)])
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: padded[i : i + batch]})[0] for i in range(0, len(padded), batch)]
    return np.concatenate(parts)[: len(images)]
