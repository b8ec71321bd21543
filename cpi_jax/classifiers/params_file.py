"""Parameters in a safetensors file, named by their path in the Flax module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from cpi_jax.errors import InputError

FILE = "model.safetensors"


def write_params(folder: str | Path, params: Any, dtype: Any, facts: Mapping[str, str] | None = None) -> None:
    """Writes parameters as `dtype`, and what else is to be known of the network."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"/".join(k): np.asarray(v, dtype) for k, v in flatten_dict(params).items()}, folder / FILE, facts)


def read_params(folder: str | Path) -> Any:
    """Reads what `write_params` wrote, as float32.

    Raises:
      InputError: where there is none.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise InputError(f"there is no classifier at {path}")
    try:
        return unflatten_dict({tuple(k.split("/")): v.astype(np.float32) for k, v in load_file(path).items()})
    except SafetensorError as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from None


def read_facts(folder: str | Path) -> dict[str, str]:
    """What `write_params` was told to say beside the parameters."""
    with safe_open(Path(folder) / FILE, framework="np") as tensors:
        return tensors.metadata() or {}


def names_in(folder: str | Path) -> set[str]:
    """Names of the parameters in a folder; none where there is no such file."""
    try:
        with safe_open(Path(folder) / FILE, framework="np") as tensors:
            return set(tensors.keys())
    except (SafetensorError, OSError):
        return set()
