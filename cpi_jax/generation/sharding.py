"""Batches over the local devices: one mesh, rows split, parameters replicated, no collective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec

Device = Any  # jax.Device, to which jaxlib gives no type


def local_mesh(devices: Sequence[Device] | None = None) -> Mesh:
    """A one-dimensional mesh "data" over this process's devices."""
    devices = jax.local_devices() if devices is None else list(devices)
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def split_rows(function: Callable[..., Any], mesh: Mesh, *, num_replicated: int, num_split: int) -> Callable[..., Any]:
    """Compiles a per-device function so that every device works on its own rows.

    Args:
      function: takes `num_replicated` arguments that every device sees whole, then `num_split` arrays whose rows are
        split; returns arrays with the same rows.
      mesh: of the devices; the number of rows must be a multiple of their number (`pad_rows`).
      num_replicated: arguments seen whole.
      num_split: arguments split along axis 0.
    """
    whole, rows = PartitionSpec(), PartitionSpec("data")
    specs = (whole,) * num_replicated + (rows,) * num_split
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=rows, check_vma=False))


def pad_rows(array: np.ndarray, size: int) -> np.ndarray:
    """Repeats the last row until there are `size` rows; the caller drops what was added."""
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)]) if len(array) < size else array
