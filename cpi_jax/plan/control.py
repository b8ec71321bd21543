"""The negative control: a phrase that says nothing, in a random half of the captions, permuted as a concept is."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.plan.noise import noise_keys
from cpi_jax.plan.requests import Request


def add_phrase(
    texts: Sequence[tuple[str, ...]], order: np.ndarray | None, phrase: str
) -> tuple[list[tuple[str, ...]], np.ndarray | None]:
    """Captions with a last slot for the phrase, which none of them says, and one row more that says nothing else.

    Args:
      texts: slots of N captions, K texts each.
      order: in which order each caption says its slots, int32 [N, K]; None for the slots' own.
      phrase: of the control.

    Returns:
      N + 1 captions of K + 1 slots; their order.
    """
    num_slots = len(texts[0])
    donor = ("",) * num_slots + (phrase if order is None else f" {phrase}",)
    if order is not None:
        order = np.pad(np.pad(order, ((0, 0), (0, 1)), constant_values=num_slots), ((0, 1), (0, 0)), mode="edge")
    return [*((*row, "") for row in texts), donor], order


def flip_coins(seed: int, ids: np.ndarray) -> np.ndarray:
    """Which examples are given the phrase, 0 or 1 by each one's id (as `noise_ids` gives them), int32 [N]."""
    keys = noise_keys(jax.random.key(seed + 3), 0, jnp.asarray(ids))
    return np.asarray(jax.vmap(jax.random.bernoulli)(keys).astype(jnp.int32))


def request_control(feature: int, num_examples: int) -> Request:
    """Every caption without and with the phrase, whose donor is the row behind the examples."""
    n = num_examples
    donors = np.stack([np.arange(n), np.full(n, n)], axis=1).astype(np.int32)[:, None]
    return Request((feature,), donors, np.broadcast_to(np.arange(2, dtype=np.int32), donors.shape))
