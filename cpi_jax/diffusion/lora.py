"""LoRA weights (Hu et al. 2022, arXiv 2106.09685), merged into a checkpoint's weights as they are read.

W <- W + scale * alpha / rank * up @ down. Names as kohya's scripts, PEFT and diffusers write them.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from cpi_jax.checkpoints.safetensors_file import open_tensors, read_tensor
from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.checkpoints.weights import from_torch, torch_name
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json
from cpi_jax.files.location import find_path

_PARTS = {"unet": "unet", "text_encoder": "text_encoder", "te": "text_encoder", "te1": "text_encoder"}
# (layer, which of its tensors); the ways to write them, from kohya's to PEFT's.
_NAMES = [
    r"lora_(?P<part>unet|te1?)_(?P<layer>[^.]+)\.(?P<which>lora_down|lora_up|alpha)(\.weight)?",
    r"((base_model\.model\.)?(?P<part>unet|text_encoder)|base_model\.model)\.(?P<layer>.+)\.(?P<which>lora_A|lora_B)(\.[^.]+)?\.weight",
    r"((?P<part>unet|text_encoder)\.)?(?P<layer>.+?)\.(processor\.)?(?P<old>to_(q|k|v|out))_lora\.(?P<which>down|up)\.weight",
    r"((?P<part>unet|text_encoder)\.)?(?P<layer>.+)\.(lora|lora_linear_layer)\.(?P<which>down|up)\.weight",
    r"(?P<part>unet|text_encoder)\.(?P<layer>.+)\.(?P<which>alpha)",
]
_DOWN, _UP = ("lora_down", "lora_A", "down"), ("lora_up", "lora_B", "up")
_OTHER = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lora_mid": "CP-LoRA",
}
# Attention's layers, as diffusers once named them for both parts.
_OLD = {
    "unet": {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out": "to_out.0"},
    "text_encoder": {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"},
}
_SUFFIX = ".safetensors"


@dataclasses.dataclass
class _Layer:
    down: np.ndarray | None = None
    up: np.ndarray | None = None
    alpha: float | None = None


def lora_deltas(spec: str, shapes: Mapping[str, Any]) -> dict[str, dict[tuple[str, ...], Callable[[], np.ndarray]]]:
    """What a LoRA adds to the weights of a checkpoint.

    Args:
      spec: "path" or "path:scale"; a safetensors file, or PEFT's folder of adapter_model.safetensors and
        adapter_config.json.
      shapes: parameters of the checkpoint, by part.

    Returns:
      By part and path of a parameter, a function that computes the addition in Flax layout.

    Raises:
      InputError: for a file that is no LoRA, is of another kind, or was made for another base; names the first tensor.
    """
    path, scale = _split(spec)
    file = path / "adapter_model.safetensors" if path.is_dir() else path
    layers, strength = _read(file), _strength(file)
    known: dict[tuple[str, str], tuple[str, ...]] = {}
    leaves = {}
    for part, tree in shapes.items():
        flat: dict[tuple[str, ...], Any] = flatten_dict(tree)
        for key, leaf in flat.items():
            if key[-1] == "kernel":
                name = torch_name(key).removesuffix(".weight")
                known |= {(part, name): key, (part, name.replace(".", "_")): key}
                leaves[part, key] = leaf.shape
    deltas: dict[str, dict[tuple[str, ...], Callable[[], np.ndarray]]] = {part: {} for part in shapes}
    adds = False
    for (part, name), layer in layers.items():
        key = known.get((part, name))
        if key is None:
            raise InputError(f"{file} is a LoRA for another base: this checkpoint's {part} has no layer {name!r}")
        if layer.down is None or layer.up is None:
            raise InputError(f"{file} lacks one of the two matrices of {name!r}")
        shape = leaves[part, key]
        if layer.up.reshape(len(layer.up), -1).shape[1] != len(layer.down):
            raise InputError(
                f"{file}: the two matrices of {name!r} do not fit each other: {layer.up.shape} and {layer.down.shape}"
            )
        merged = _merge(layer.up, layer.down, layer.alpha, scale, lambda rank, part=part: strength(part, rank))
        there = np.shape(from_torch(key, np.empty(_product_shape(layer.up, layer.down), np.int8), shape))
        if there != shape:
            raise InputError(
                f"{file} is a LoRA for another base: {name!r} of {part} has shape {shape} here and {there} there"
            )
        adds = adds or bool(layer.down.any() and layer.up.any())
        deltas[part][key] = lambda merged=merged, key=key, shape=shape: from_torch(key, merged(), shape)
    if not adds:
        raise InputError(f"{file} adds nothing: it has no layer both of whose matrices hold anything but zeros")
    return deltas


def _split(spec: str) -> tuple[Path, float]:
    path, _, scale = spec.rpartition(":")
    try:
        strength = float(scale) if path else 1.0
    except ValueError:
        path, strength = spec, 1.0
    if not np.isfinite(strength):
        raise InputError(f"the scale of a LoRA must be a finite number, not {strength}")
    path = find_path(path or spec)
    if not path.exists():
        raise InputError(f"there is no LoRA at {path}; write generator.lora as PATH or PATH:SCALE")
    if path.is_file() and path.suffix != _SUFFIX:
        raise InputError(f"{path} is not a safetensors file; other formats can run code and are not read")
    return path, strength


def _read(file: Path) -> dict[tuple[str, str], _Layer]:
    """Down, up and alpha by (part, layer)."""
    layers: dict[tuple[str, str], _Layer] = {}
    with open_tensors(file) as tensors:
        for name in list(tensors.keys()):
            if kind := next((kind for word, kind in _OTHER.items() if word in name), None):
                raise InputError(f"{file} is of the kind {kind} ({name!r}), which is not supported; LoRA is")
            match = next(filter(None, (re.fullmatch(pattern, name) for pattern in _NAMES)), None)
            if match is None:
                hint = "an SDXL LoRA, which" if name.startswith("lora_te2") else f"{name!r}, which"
                raise InputError(f"{file} holds {hint} is no name of a LoRA for Stable Diffusion 1.x or 2.x")
            alone = "text_encoder" if match["layer"].startswith("text_model") else "unet"  # a file of a single part
            part = _PARTS.get(match["part"], alone)
            old = match.groupdict().get("old")
            of = f"{match['layer']}.{_OLD[part][old]}" if old else match["layer"]
            layer = layers.setdefault((part, of), _Layer())
            value = read_tensor(tensors, name, file)
            if match["which"] not in (*_DOWN, *_UP):
                if value.size != 1:
                    raise InputError(f"{file}: {name!r} has shape {value.shape} and must be one number")
                layer.alpha = as_weights(value.astype(np.float64), np.float32, file, name).item()
                continue
            value = as_weights(value, np.float32, file, name)
            if value.ndim not in (2, 4) or not value.size:
                raise InputError(
                    f"{file}: {name!r} has shape {value.shape} and must be a matrix or a convolution's kernel"
                )
            if match["which"] in _DOWN:
                layer.down = value
            else:
                layer.up = value
    return layers


def _strength(file: Path) -> Callable[[str, int], float]:
    """alpha / rank by part and rank, where no tensor says alpha: of PEFT's adapter_config.json, or diffusers' metadata."""
    beside = file.parent / "adapter_config.json"
    with open_tensors(file) as tensors:
        metadata = (tensors.metadata() or {}).get("lora_adapter_metadata", "{}")
    if file.name == "adapter_model.safetensors":
        if not beside.is_file():
            raise InputError(f"{file} has no adapter_config.json beside it, which says how strong it is (lora_alpha)")
        adapter = read_json(beside)
        if "lora_alpha" not in adapter:
            raise InputError(f"{beside} has no lora_alpha, which says how strong the LoRA is")
        config = {f"{part}.{name}": value for part in ("unet", "text_encoder") for name, value in adapter.items()}
    else:
        try:
            config = dict(json.loads(metadata))
        except (ValueError, TypeError):
            raise InputError(f"{file} has settings that cannot be read as JSON") from None
    for name, value in config.items():
        setting = name.split(".")[-1]
        if value and setting in ("alpha_pattern", "use_dora"):
            raise InputError(f"{file} sets {name}, which is not supported")
        if setting == "lora_alpha" and not (isinstance(value, (int, float)) and np.isfinite(value)):
            raise InputError(f"{file} has {name} = {value!r}, which must be a number")
        if setting == "use_rslora" and not isinstance(value, bool):
            raise InputError(f"{file} has {name} = {value!r}, which must be true or false")

    def strength(part: str, rank: int) -> float:
        root = config.get(f"{part}.use_rslora", False)
        return config.get(f"{part}.lora_alpha", rank) / (rank**0.5 if root else rank)

    return strength


def _product_shape(up: np.ndarray, down: np.ndarray) -> tuple[int, ...]:
    return (*up.shape[:1], *down.shape[1:])


def _merge(
    up: np.ndarray, down: np.ndarray, alpha: float | None, scale: float, strength: Callable[[int], float]
) -> Callable[[], np.ndarray]:
    rank, shape = len(down), _product_shape(up, down)
    factor = scale * (strength(rank) if alpha is None else alpha / rank)
    up, down = up.reshape(len(up), -1), down.reshape(rank, -1)

    def product() -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # refused with the weights that it is added to
            return (factor * up @ down).reshape(shape)

    return product
