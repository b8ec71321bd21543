"""Weights of a network, read one tensor at a time into Flax parameters, without torch.

Safetensors hold them under PyTorch's names and in its layout, msgpack under Flax's. Never pickle.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.serialization import msgpack_restore
from flax.traverse_util import flatten_dict, unflatten_dict

from cpi_jax.checkpoints.safetensors_file import open_tensors, read_tensor
from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json

_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "mean": "running_mean", "var": "running_var"}
# Names in files of diffusers' Flax networks, and of the autoencoder's attention before 2023.
_FLAX_LISTS = {
    "down_blocks", "up_blocks", "resnets", "attentions", "transformer_blocks", "net", "downsamplers", "upsamplers",
    "to_out",
}  # fmt: skip
TEXT_PREFIX = "text_model."  # of the text encoder's tensors, where it has one
_VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_SAFE = ("diffusion_pytorch_model", "model")  # of diffusers, of transformers
_FLAX = ("diffusion_flax_model.msgpack", "flax_model.msgpack")
_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth")


def torch_name(key: tuple[str, ...]) -> str:
    """PyTorch's name of a parameter: its path, and "weight" for what Flax calls by what it does."""
    *path, leaf = key
    return ".".join([*path, _LEAVES.get(leaf, leaf)])


def read_params(
    folder: Path,
    shapes: Any,
    *,
    dtype: Any = jnp.float32,
    add: Mapping[tuple[str, ...], Callable[[], np.ndarray]] = {},
    name: Callable[[tuple[str, ...]], str] | None = None,
    unused: str = r"position_ids$",
) -> Any:
    """Reads the weights of a network; memory holds the parameters and one tensor beside them.

    Args:
      folder: of the network, such as unet/, vae/ or text_encoder/ of a checkpoint. Safetensors (also in several files,
        also under the name of their `fp16` variant) come before Flax msgpack.
      shapes: the parameters that the configuration asks for (`jax.eval_shape`).
      dtype: of the parameters.
      add: what is added to some of them, by path, in Flax layout (LoRA).
      name: PyTorch's name of a parameter; `torch_name` by default.
      unused: a pattern of the tensors that may be left over.

    Raises:
      InputError: where there are no weights that can be read.
      InputError: for a file that is damaged, lacks a tensor, or holds one of another shape or of what are no weights (see
        `as_weights`); names the first.
    """
    name = name or torch_name
    with _open(folder, name) as (path, take, names):
        params = fill_params(path, take, shapes, dtype=dtype, add=add, name=name)
        if left := sorted(tensor for tensor in names if not re.search(unused, tensor)):
            raise InputError(f"{path} holds {len(left)} tensors that its config.json does not know, {left[0]!r} first")
    return params


def fill_params(
    path: Path,
    take: Callable[[tuple[str, ...], tuple[int, ...]], np.ndarray],
    shapes: Any,
    *,
    dtype: Any,
    add: Mapping[tuple[str, ...], Callable[[], np.ndarray]] = {},
    name: Callable[[tuple[str, ...]], str] = torch_name,
) -> Any:
    """Takes the parameters of a network from wherever they are; the rest is as of `read_params`.

    Args:
      path: where they are from, for messages.
      take: gives a parameter in Flax layout, by its path and shape.
      shapes: the parameters that the configuration asks for.
      dtype: of the parameters.
      add: what is added to some of them.
      name: the name of a parameter, for messages.
    """
    flat, written = {}, False
    wanted: dict[tuple[str, ...], Any] = flatten_dict(shapes)
    for key, leaf in wanted.items():
        value = take(key, leaf.shape)
        if value.shape != leaf.shape:
            raise InputError(
                f"{path}: {name(key)!r} has shape {value.shape} in Flax layout, config.json asks for {leaf.shape}"
            )
        value = as_weights(value, np.float32 if key in add else dtype, path, name(key))
        if key in add:
            value = as_weights(value + add[key](), dtype, f"{path} and its LoRA", name(key))
        flat[key] = jax.device_put(value)  # jnp.asarray compiles a program for every shape
        written = written or bool(value.any())
    if not written:
        raise InputError(f"{path} holds nothing but zeros: its weights were never written")
    return unflatten_dict(flat)


def has_weights(folder: Path) -> bool:
    """Whether a part's folder holds weights that can be read."""
    return bool(_safetensors(folder)) or any((folder / name).is_file() for name in _FLAX)


@contextmanager
def _open(
    folder: Path, name: Callable
) -> Iterator[tuple[Path, Callable[[tuple[str, ...], tuple[int, ...]], np.ndarray], set[str]]]:
    """The file or index; a function (path, Flax shape) -> value; the names not taken so far."""
    with ExitStack() as stack:
        if files := _safetensors(folder):
            path = files[0] if len(files) == 1 else folder
            yield path, *_take_safetensors(path, files, name, stack)
        elif file := next((folder / name for name in _FLAX if (folder / name).is_file()), None):
            yield file, *_take_msgpack(file, name, stack)
        else:
            raise InputError(_none_there(folder))


def _safetensors(folder: Path) -> list[Path]:
    for variant in ("", ".fp16"):
        for name in _SAFE:
            index = folder / f"{name}.safetensors.index{variant}.json"
            if index.is_file():
                try:
                    files = sorted({folder / file for file in read_json(index)["weight_map"].values()})
                except (KeyError, TypeError, AttributeError):
                    raise InputError(f"{index} is damaged: it has no weight_map of file names") from None
                if missing := [file.name for file in files if not file.is_file()]:
                    raise InputError(f"the checkpoint has no {folder.name}/{missing[0]}, which {index.name} names")
                return files
            file = folder / f"{name}{variant}.safetensors"
            if file.is_file():
                return [file]
    return []


def _none_there(folder: Path) -> str:
    which = folder.name not in ("unet", "vae")
    where = f"the checkpoint has no {folder.name}/{_SAFE[which]}.safetensors"
    if pickles := [path.name for pattern in _PICKLES for path in sorted(folder.glob(pattern))]:
        return (
            f"{where}, only {pickles[0]}, which is a pickle: it could run any code and is not read. Convert it where torch "
            "is installed: load it there by its class's from_pretrained(FOLDER) and call save_pretrained(NEW_FOLDER)"
        )
    return f"{where} and no {_FLAX[which]} (looked in {folder.parent}); pickles are not read"


def _take_safetensors(path: Path, files: list[Path], torch_name_of: Callable, stack: ExitStack):
    where = {}
    for file in files:
        tensors = stack.enter_context(open_tensors(file))
        where |= dict.fromkeys(tensors.keys(), (tensors, file))
    left = set(where)

    def take(key, shape):
        wanted = torch_name_of(key)
        name = next((name for name in _spellings(wanted) if name in where), None)
        if name is None:
            raise InputError(f"{path} lacks the tensor {wanted!r} that its config.json asks for")
        left.discard(name)
        tensors, file = where[name]
        return from_torch(key, read_tensor(tensors, name, file), shape)

    return take, left


def _spellings(name: str) -> Iterator[str]:
    """A tensor's name, and how other releases write it."""
    yield name
    yield name.removeprefix(TEXT_PREFIX)  # transformers from 5.6 on
    yield from (name.replace(new, old) for old, new in _VAE_ATTENTION.items() if f".{new}." in name)  # before 2023


def _take_msgpack(file: Path, torch_name_of: Callable, stack: ExitStack):
    try:
        with file.open("rb") as opened:
            content = stack.enter_context(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        held: Any = content  # a map of memory is read as bytes are
        tensors = flatten_dict(msgpack_restore(held))
        where = {torch_name_of(_without_flax_names(key)): key for key in tensors}
    except (ValueError, TypeError, AttributeError, AssertionError, OSError) as error:
        raise InputError(f"{file} is not a readable Flax msgpack file: {error}") from None
    left = set(where)

    def take(key, shape):
        name = torch_name_of(key)
        if name not in where:
            raise InputError(f"{file} lacks {name!r}, which its config.json asks for")
        left.discard(name)
        return np.asarray(tensors.pop(where[name]))

    return take, left


def _without_flax_names(key: tuple[str, ...]) -> tuple[str, ...]:
    """The path of a parameter in a file of diffusers' Flax networks, with PyTorch's names of its modules."""
    *path, leaf = key
    parts = []
    for part in path:
        head, _, number = part.rpartition("_")
        parts.append(f"{head}.{number}" if head in _FLAX_LISTS else part)
    if any(part.startswith("attentions.") for part in parts):
        parts[-1] = _VAE_ATTENTION.get(parts[-1], parts[-1])
    return (*parts, leaf)


def to_torch(key: tuple[str, ...], value: np.ndarray) -> np.ndarray:
    """Flax layout -> PyTorch layout: HWIO -> OIHW, [in, out] -> [out, in]."""
    if key[-1] == "kernel":
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
    return np.ascontiguousarray(value)


def from_torch(key: tuple[str, ...], value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """PyTorch layout -> Flax layout; a 1x1 convolution serves where Flax has a dense layer, and the other way round."""
    if key[-1] != "kernel":
        return value
    if value.ndim == 4 and len(shape) == 2 and value.shape[2:] == (1, 1):
        value = value[:, :, 0, 0]
    if value.ndim == 2 and len(shape) == 4:
        value = value[:, :, None, None]
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
