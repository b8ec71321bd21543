"""LoRA weights (Hu et al. 2022, arXiv 2106.09685), merged into a checkpoint's weights as they are read.

W <- W + scale * alpha / rank * up @ down, over all LoRAs that are named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cpi_jax.checkpoints.safetensors_file import open_tensors, read_tensor
from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.checkpoints.weights import from_torch
from cpi_jax.diffusion.lora_names import Layers, layer_name
from cpi_jax.diffusion.lora_settings import PEFT_FILE, read_strengths
from cpi_jax.errors import InputError
from cpi_jax.files.location import find_path

_SUFFIX = ".safetensors"
_IN_FOLDERS = (PEFT_FILE, "pytorch_lora_weights.safetensors")  # as PEFT and diffusers name them

# By part and path of a parameter, a function that computes what is added to it, in Flax layout.
Deltas = dict[str, dict[tuple[str, ...], Callable[[], np.ndarray]]]


@dataclasses.dataclass
class _Layer:
    down: np.ndarray | None = None
    up: np.ndarray | None = None
    alpha: float | None = None


def lora_deltas(lora: str | Sequence[str], shapes: Mapping[str, Any]) -> Deltas:
    """What LoRAs add to the weights of a checkpoint.

    Args:
      lora: "path" or "path:scale", several parted by commas or in a list; each a safetensors file, or a folder in which
        PEFT or diffusers saved one.
      shapes: parameters of the checkpoint, by part.

    Raises:
      InputError: for a file that is no LoRA, is of another kind, was made for another base, or has settings that would
        change the weights in another way; names the first tensor or the setting.
    """
    layers = Layers(shapes)
    deltas: Deltas = {part: {} for part in shapes}
    for spec in [part.strip() for part in lora.split(",")] if isinstance(lora, str) else lora:
        for part, added in _deltas_of(*_split(spec), layers).items():
            for path, product in added.items():
                before = deltas[part].get(path)
                deltas[part][path] = product if before is None else _sum(before, product)
    return deltas


def _sum(one: Callable[[], np.ndarray], other: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    return lambda: one() + other()


def _deltas_of(file: Path, scale: float, layers: Layers) -> Deltas:
    read, strengths = _read(file, layers)
    deltas: Deltas = {}
    adds = False
    for (part, path), layer in read.items():
        name, shape = layer_name(path), layers.shapes[part, path]
        if layer.down is None or layer.up is None:
            raise InputError(f"{file} lacks one of the two matrices of {name!r}")
        rank = len(layer.down)
        if layer.up.reshape(len(layer.up), -1).shape[1] != rank:
            raise InputError(
                f"{file}: the two matrices of {name!r} do not fit each other: {layer.up.shape} and {layer.down.shape}"
            )
        product_shape = (*layer.up.shape[:1], *layer.down.shape[1:])
        there = np.shape(from_torch(path, np.empty(product_shape, np.int8), shape))
        if there != shape:
            raise InputError(
                f"{file} is a LoRA for another base: {name!r} of {part} has shape {shape} here and {there} there"
            )
        adds = adds or bool(layer.down.any() and layer.up.any())
        factor = strengths[part].factor(name, rank) if layer.alpha is None else layer.alpha / rank
        product = _product(layer.up, layer.down, scale * factor, product_shape)
        deltas.setdefault(part, {})[path] = lambda product=product, path=path, shape=shape: from_torch(
            path, product(), shape
        )
    if not adds:
        raise InputError(f"{file} adds nothing: it has no layer both of whose matrices hold anything but zeros")
    return deltas


def _split(spec: str) -> tuple[Path, float]:
    """The file of a LoRA, and its scale."""
    path, _, scale = spec.rpartition(":")
    try:
        strength = float(scale) if path else 1.0
    except ValueError:
        path, strength = spec, 1.0
    if not np.isfinite(strength):
        raise InputError(f"the scale of a LoRA must be a finite number, not {strength}")
    path = find_path(path or spec)
    if not path.exists():
        raise InputError(
            f"there is no LoRA at {path}; write generator.lora as PATH or PATH:SCALE, and several parted by commas"
        )
    if path.is_dir():
        held = [path / name for name in _IN_FOLDERS if (path / name).is_file()]
        if len(held) != 1:
            both = " and ".join(_IN_FOLDERS) if held else f"none of {', '.join(_IN_FOLDERS)}"
            raise InputError(f"{path} holds {both}: name the LoRA's file")
        path = held[0]
    if path.suffix != _SUFFIX:
        raise InputError(f"{path} is not a safetensors file; other formats can run code and are not read")
    return path, strength


def _read(file: Path, layers: Layers) -> tuple[dict[tuple[str, tuple[str, ...]], _Layer], dict[str, Any]]:
    """Down, up and alpha by part and path of a kernel; and how strong they are where alpha is not given, by part."""
    read: dict[tuple[str, tuple[str, ...]], _Layer] = {}
    with open_tensors(file) as tensors:
        strengths = read_strengths(file, tensors.metadata() or {})
        for name in list(tensors.keys()):
            part, path, which = layers.place(name, file)
            layer = read.setdefault((part, path), _Layer())
            value = read_tensor(tensors, name, file)
            if getattr(layer, which) is not None:
                raise InputError(f"{file} gives two tensors for {layer_name(path)!r} of {part}, {name!r} for one")
            if which == "alpha":
                if value.size != 1:
                    raise InputError(f"{file}: {name!r} has shape {value.shape} and must be one number")
                layer.alpha = as_weights(value.astype(np.float64), np.float32, file, name).item()
                continue
            value = as_weights(value, np.float32, file, name)
            if value.ndim not in (2, 4) or not value.size:
                raise InputError(
                    f"{file}: {name!r} has shape {value.shape} and must be a matrix or a convolution's kernel"
                )
            setattr(layer, which, value)
    return read, strengths


def _product(up: np.ndarray, down: np.ndarray, factor: float, shape: tuple[int, ...]) -> Callable[[], np.ndarray]:
    up, down = up.reshape(len(up), -1), down.reshape(len(down), -1)

    def product() -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # refused with the weights that it is added to
            return (factor * up @ down).reshape(shape)

    return product
