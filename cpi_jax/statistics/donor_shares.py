"""Who gives a value to whom: the share of each value, or planned donor, among an example's donors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array


def donor_shares(values: Array, num_values: int, weights: Array, strata: Array | None) -> tuple[Array, Array]:
    """p_v(w, i) of every value, [N, M, B], and the weights [N, B] of those who have a donor (0 where W_i = 0)."""
    n = weights.shape[0]

    def total_of_others(x):  # sums over the stratum, then each example's own part goes
        total = x.sum(0, keepdims=True) if strata is None else jax.ops.segment_sum(x, strata, n)[strata]
        return total - x

    own = jax.nn.one_hot(values, num_values, dtype=weights.dtype)
    given = total_of_others(own[:, :, None] * weights[:, None])
    # A subtraction leaves a rounding error where nobody else is: count members to know.
    has_donor = total_of_others((weights > 0).astype(jnp.int32)) > 0
    others = jnp.where(has_donor, total_of_others(weights), 1.0)
    return jnp.where(given < 0, 0.0, given) / others[:, None], jnp.where(has_donor, weights, 0.0)


def shares_of_planned_donors(donors: Array, weights: Array) -> tuple[Array, Array]:
    """Shares of the donors of R planned shuffles, [N, R, B], and the weights [N, B] of those who have one.

    A donor counts by its weight among the recipient's planned donors: the functional with the donors that were planned in
    the place of everybody.
    """
    n = weights.shape[0]
    given = jnp.where((donors == jnp.arange(n)[:, None])[..., None], 0.0, weights[donors])
    total = given.sum(1)
    return given / jnp.where(total > 0, total, 1.0)[:, None], jnp.where(total > 0, weights, 0.0)
