"""Safetensors files, one tensor at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from cpi_jax.errors import InputError

# Floating-point numbers of 8 bits, which safetensors does not give as numpy arrays.
_EIGHT_BITS = {"F8_E4M3": np.dtype(jnp.float8_e4m3fn), "F8_E5M2": np.dtype(jnp.float8_e5m2)}


def open_tensors(file: str | Path) -> Any:
    """Opens a file; a context manager with `keys`, `metadata` and `get_tensor` of safetensors.

    Raises:
      InputError: for what is no safetensors file.
    """
    try:
        return safe_open(file, framework="np")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} is not a readable safetensors file: {error}") from None


def read_tensor(tensors: Any, name: str, file: str | Path) -> np.ndarray:
    """A tensor of an opened file.

    Raises:
      InputError: for a type that numpy does not have; names file and tensor.
    """
    try:
        kind = tensors.get_slice(name).get_dtype()
        return _read_eight_bits(name, file) if kind in _EIGHT_BITS else tensors.get_tensor(name)
    except (SafetensorError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: {name!r} cannot be read: {error}") from None


def _read_eight_bits(name: str, file: str | Path) -> np.ndarray:
    """The bytes of a tensor where the file's header says they are; the file is known to be whole."""
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        described = json.loads(opened.read(length))[name]
        begin, end = described["data_offsets"]
        opened.seek(8 + length + begin)
        return np.frombuffer(opened.read(end - begin), _EIGHT_BITS[described["dtype"]]).reshape(described["shape"])
