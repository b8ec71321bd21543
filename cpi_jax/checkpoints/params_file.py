"""Parameters in a safetensors file, named by their path in the Flax module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save_file

from cpi_jax.checkpoints.safetensors_file import open_tensors, read_tensor
from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.errors import InputError

FILE = "model.safetensors"


def write_params(folder: str | Path, params: Any, dtype: Any, facts: Mapping[str, str] | None = None) -> None:
    """Writes parameters as `dtype`, and what else is to be known of the network.

    Raises:
      InputError: for parameters that are no numbers, or beyond `dtype`.
    """
    folder = Path(folder)
    tensors = {"/".join(k): v for k, v in flatten_dict(params).items()}
    tensors = {name: as_weights(value, dtype, folder / FILE, name) for name, value in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / FILE, None if facts is None else dict(facts))


def read_params(folder: str | Path) -> Any:
    """Reads what `write_params` wrote, as float32.

    Raises:
      InputError: where there are none that can be read, or a tensor holds what are no weights; names it.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise InputError(f"there is no classifier at {path}")
    with open_tensors(path) as tensors:
        params = {
            tuple(name.split("/")): as_weights(read_tensor(tensors, name, path), np.float32, path, name)
            for name in tensors.keys()  # noqa: SIM118  it is no dict
        }
    for key in params:
        if above := next((key[:n] for n in range(1, len(key)) if key[:n] in params), None):
            raise InputError(f"{path} holds {'/'.join(above)!r} beside {'/'.join(key)!r}, which no network has")
    return unflatten_dict(params)


def read_facts(folder: str | Path) -> dict[str, str]:
    """What `write_params` was told to say beside the parameters.

    Raises:
      InputError: for an "image_size" that is no whole number, or "outputs" that are no JSON list of texts.
    """
    path = Path(folder) / FILE
    with open_tensors(path) as tensors:
        facts = tensors.metadata() or {}
    try:
        outputs = json.loads(facts.get("outputs", "[]"))
    except ValueError:
        outputs = None
    if not isinstance(outputs, list) or not all(isinstance(name, str) for name in outputs):
        raise InputError(
            f"{path} has outputs = {facts['outputs']!r} beside its weights, which must be a JSON list of names"
        )
    if not facts.get("image_size", "0").isdecimal():
        raise InputError(
            f"{path} has image_size = {facts['image_size']!r} beside its weights, which must be a whole number"
        )
    return facts


def names_in(folder: str | Path) -> set[str]:
    """Names of the parameters in a folder; none where there is no such file.

    Raises:
      InputError: for a file that cannot be read.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return set()
    with open_tensors(path) as tensors:
        return set(tensors.keys())
