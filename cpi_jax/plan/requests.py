"""Which captions features need: every value, or what planned shuffles ask for; from the values that features have."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from cpi_jax.captions.permutation import donors as shuffled_donors

AnyArray = Array | np.ndarray


@dataclasses.dataclass(frozen=True)
class Request:
    """Captions that some features need; host arrays.

    Attributes:
      features: indices of the F features.
      donors: an example (or a further row of the tokens) whose slots every recipient needs, int32 [N, F, M], -1 for none.
      values: index of each donor's value within the feature, int32 [N, F, M].
    """

    features: Sequence[int]
    donors: np.ndarray
    values: np.ndarray


def distinct_rows(rows: Int[np.ndarray, "n c"]) -> tuple[np.ndarray, np.ndarray]:
    """What `np.unique(rows, axis=0)` finds, several times faster: column by column.

    Returns:
      Each row's place among the distinct ones in lexical order, int32 [N], and where each of these first occurs, int32 [M].
    """
    values, first = np.zeros(len(rows), np.int64), np.zeros(min(len(rows), 1), np.int64)
    for column in rows.T:
        low = column.min()
        codes = values * (int(column.max()) - int(low) + 1) + (column - low)
        _, first, values = np.unique(codes, return_index=True, return_inverse=True)
    return values.astype(np.int32), first.astype(np.int32)


def feature_values(tokens: Int[AnyArray, "n k s"], mask: Bool[AnyArray, " k"]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct joint contents of the masked slots.

    Returns:
      Each example's value index, int32 [N], and for each value the first example that has it, int32 [M].
    """
    return distinct_rows(np.asarray(tokens)[:, np.asarray(mask)].reshape(len(tokens), -1))


def request_values(
    columns: Sequence[tuple[np.ndarray, np.ndarray]],
    features: Sequence[int],
    strata: Int[AnyArray, "n f"] | None = None,
) -> Request:
    """Every value of every feature, or every value that somebody in the example's stratum has.

    Args:
      columns: of the features, as `feature_values` gives them.
      features: their indices.
      strata: of each example and feature.
    """
    n, most = len(columns[0][0]), max(len(first) for _, first in columns)
    donors = np.full((n, len(columns), most), -1, np.int32)
    for j, (values, first) in enumerate(columns):
        donors[:, j, : len(first)] = first
        if strata is not None:
            present = np.zeros((int(strata[:, j].max()) + 1, len(first)), bool)
            present[strata[:, j], values] = True
            donors[:, j, : len(first)][~present[strata[:, j]]] = -1
    return Request(features, donors, np.broadcast_to(np.arange(most, dtype=np.int32), donors.shape))


def request_shuffles(
    donors: Int[AnyArray, "n f r"], columns: Sequence[tuple[np.ndarray, np.ndarray]], features: Sequence[int]
) -> Request:
    """What R planned shuffles of every feature ask for."""
    values = np.stack([column[0][donors[:, j]] for j, column in enumerate(columns)], axis=1)
    return Request(features, np.asarray(donors), values)


def plan_shuffles(name: str, stratum: Int[AnyArray, " n"], *, seed: int, num_shuffles: int) -> np.ndarray:
    """Donors of the R shuffles of a many-valued feature, int32 [N, R]; they follow from its name and the study's seed."""
    key = jax.random.fold_in(jax.random.key(seed + 2), zlib.crc32(name.encode()))
    keys = jax.random.split(key, num_shuffles)
    return np.asarray(jax.vmap(lambda k: shuffled_donors(k, jnp.asarray(stratum)), out_axes=1)(keys))
