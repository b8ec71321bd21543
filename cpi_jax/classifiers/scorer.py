"""Scorers: what turns images into scores. The black-box classifier f is one, the concept detector h another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file, save_file

from cpi_jax.classifiers.resnet import ResNet, resnet_logits
from cpi_jax.errors import InputError


@struct.dataclass
class Scorer:
    """A pure function of images and its parameters; a pytree, an argument of jitted functions.

    Attributes:
      params: the function's parameters.
      apply: (params, images float32 [B, H, W, 3] in [0, 1]) -> scores float32 [B, C].
    """

    params: Any
    apply: Callable[[Any, jax.Array], jax.Array] = struct.field(pytree_node=False)


class HostScorer:
    """A classifier outside JAX (PyTorch, ONNX, a web service): it is called on the host, outside jit.

    Args:
      function: numpy images float32 [B, H, W, 3] in [0, 1] -> scores [B, C] or [B].
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]):
        self.function = function

    def __call__(self, images: np.ndarray) -> np.ndarray:
        scores = np.asarray(self.function(images), np.float32)
        return scores.reshape(len(images), -1)


def save_resnet(folder: str | Path, module: ResNet, params: Any) -> None:
    """Writes parameters as fp16 safetensors, named by their path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"/".join(k): np.asarray(v, np.float16) for k, v in flatten_dict(params).items()}
    meta = {"num_outputs": str(module.num_outputs), "channels": ",".join(map(str, module.channels))}
    save_file(tensors, folder / "model.safetensors", metadata=meta)


def load_resnet(folder: str | Path) -> Scorer:
    """Reads what `save_resnet` wrote.

    Raises:
      InputError: where there is none.
    """
    path = Path(folder) / "model.safetensors"
    if not path.is_file():
        raise InputError(f"there is no classifier at {path}")
    flat = {tuple(k.split("/")): v.astype(np.float32) for k, v in load_file(path).items()}
    params = unflatten_dict(flat)
    channels = []
    while f"Conv_{3 * len(channels)}" in params:
        channels.append(params[f"Conv_{3 * len(channels)}"]["kernel"].shape[-1])
    module = ResNet(num_outputs=params["Dense_0"]["kernel"].shape[-1], channels=tuple(channels))
    return Scorer(params, partial(resnet_logits, module))
