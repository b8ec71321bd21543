"""A tensor of a file as weights: numbers that a network can compute with, in the type that it computes with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from cpi_jax.errors import InputError


def as_weights(value: Any, dtype: Any, file: str | Path, name: str) -> np.ndarray:
    """Converts a tensor; every door through which weights come in or go out leads through here.

    Args:
      dtype: a floating-point type.
      file: where the tensor is from, or goes.
      name: the tensor's.

    Raises:
      InputError: for another kind of numbers, such as those of quantised weights, for NaN and infinite numbers, and for
        numbers beyond the range of `dtype`; names file and tensor.
    """
    value = np.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise InputError(
            f"{file}: {name!r} holds {value.dtype}, and weights are floating-point numbers, not quantised ones"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        converted = value.astype(dtype)
    if np.isfinite(converted).all():
        return converted
    if wrong := np.count_nonzero(~np.isfinite(value)):
        raise InputError(
            f"{file}: {name!r} holds NaN or infinite numbers ({wrong} of {value.size}): the weights are damaged"
        )
    most = np.abs(value.astype(np.float64)).max()
    raise InputError(f"{file}: {name!r} holds {most:.3g}, which is beyond the range of {jnp.dtype(dtype).name}")
