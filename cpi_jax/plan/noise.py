"""Whose noise an image has: a key for each (study key, draw, example id), whatever the caption or the batch.

The same example with another caption is then the same scene, edited (common random numbers, Glasserman & Yao 1992).
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PRNGKeyArray, UInt32

from cpi_jax.plan.hashes import hash_ids


def noise_keys(key: PRNGKeyArray, draw: int | Int[Array, ""], example_ids: UInt32[Array, "..."]) -> Key[Array, " b"]:
    """The noise key of each example: fold_in(fold_in(key, draw), id).

    Common random numbers (Glasserman & Yao 1992): the key knows neither the caption nor the batch.

    Args:
      key: the study's key.
      draw: index of the noise draw.
      example_ids: uint32 [B], or [B, 2] for ids of 64 bits, whose halves are folded in one after the other; a high half of
        0 is left out, so that a small id has the same noise in either form (`cpi_jax.noise_ids` makes both).

    Returns:
      Keys [B], whatever form the ids have.

    Example:
      >>> keys = noise_keys(jax.random.key(0), 1, jnp.array([7, 8], jnp.uint32))
      >>> alone = noise_keys(jax.random.key(0), 1, jnp.array([[0, 8]], jnp.uint32))
      >>> keys.shape, bool(keys[1] == alone[0])
      ((2,), True)
    """
    of_draw = jax.random.fold_in(key, draw)
    if example_ids.ndim == 1:
        return jax.vmap(lambda i: jax.random.fold_in(of_draw, i))(example_ids)

    def of_halves(i: jax.Array) -> jax.Array:
        high = jnp.where(i[0] > 0, jax.random.fold_in(of_draw, i[0]), of_draw)
        return jax.random.fold_in(high, i[1])

    return jax.vmap(of_halves)(example_ids)


def noise_ids(ids: Sequence[int] | Sequence[str] | np.ndarray) -> np.ndarray:
    """Ids as the noise reads them: integers below 2^32 as they are, others as the two halves of a 64-bit hash.

    Returns:
      uint32 [N] where all are such integers, else [N, 2] with a high half of 0 for those that are.

    Example:
      >>> noise_ids([5, 2**32 - 1]).tolist()
      [5, 4294967295]
      >>> noise_ids([5, 2**32])[0].tolist(), noise_ids(["a.png", "b.png"]).shape
      ([0, 5], (2, 2))
    """
    ids = np.asarray(ids)
    small = np.array([isinstance(i, int) and 0 <= i < 2**32 for i in ids.tolist()])
    if small.all():
        return ids.astype(np.uint32)
    codes = hash_ids(ids)
    codes[small] = ids[small].astype(np.uint64)
    return np.stack([codes >> np.uint64(32), codes & np.uint64(0xFFFFFFFF)], axis=1).astype(np.uint32)
