"""Safetensors files, one tensor at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from cpi_jax.errors import InputError


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
        return tensors.get_tensor(name)
    except (SafetensorError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: {name!r} cannot be read: {error}") from None
