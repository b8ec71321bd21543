"""Tensors of a PyTorch state dict (the file format before PyTorch 1.6), without torch and without running its pickle.

The file is four pickles (magic number, version, system, the dict of tensors' descriptions), a pickled list of the storages'
keys, and their raw numbers. Of all that a pickle can call, a dict and stand-ins for tensors and storages are allowed.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.errors import InputError

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Tensor(NamedTuple):
    key: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays by name.

    Raises:
      InputError: for another format, a file that asks for anything but tensors, or weights that are no numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with path.open("rb") as file:
            tensors = _read(file)
    except InputError as error:
        raise InputError(f"{path} {error}") from None
    except (pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError, MemoryError) as error:
        raise InputError(f"{path} is not a state dict that can be read: {error}") from None
    return {
        name: as_weights(value, value.dtype, path, name) if value.dtype.kind == "f" else value
        for name, value in tensors.items()
    }


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if _Reader(file).load() != _MAGIC:
        raise InputError("is not a state dict in PyTorch's format from before version 1.6")
    _, _, tensors, keys = (_Reader(file).load() for _ in range(4))
    itemsizes = {tensor.key: tensor.dtype.itemsize for tensor in tensors.values()}
    storages = {key: file.read(int.from_bytes(file.read(8), "little") * itemsizes[key]) for key in keys}
    return {name: _view(tensor, storages[tensor.key]) for name, tensor in tensors.items()}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _describe
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not run")

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        _, dtype, key, *_ = pid
        return key, dtype


def _describe(
    storage: tuple[str, np.dtype], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    key, dtype = storage
    return _Tensor(key, dtype, offset, shape, strides)


def _view(tensor: _Tensor, raw: bytes) -> np.ndarray:
    size = tensor.dtype.itemsize
    strides = [size * step for step in tensor.strides]
    return np.ndarray(tensor.shape, tensor.dtype, raw, size * tensor.offset, strides)  # refuses what lies outside
