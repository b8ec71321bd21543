"""The area under the ROC curve of one column of scores."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array


def prepare_auroc(scores: Array, labels: Array) -> Partial:
    """Area under the ROC curve; ties count one half (Hanley & McNeil 1982). NaN without weight in both classes.

    Example:
      Of the four pairs of a positive and a negative, three are in order and one is tied.

      >>> scores, labels = jnp.array([0.8, 0.4, 0.4, 0.2]), jnp.array([1, 1, 0, 0])
      >>> float(cpi_jax.auroc(scores, labels, jnp.ones(4)))
      0.875
    """
    positive = labels > 0
    # Within ties positives first, and negatives first: the mean over both orders counts a tie one half.
    orders = jax.vmap(lambda label: jnp.lexsort((label, scores)))(jnp.stack([~positive, positive]))
    return Partial(_auroc, orders, jnp.where((orders[0] != orders[1]).any(), 2, 1), positive)


def _auroc(orders: Array, num_orders: Array, positive: Array, weights: Array) -> Array:
    on_positive = jnp.where(positive[:, None], weights, 0).sum(0)
    return _won(orders, num_orders, positive, weights) / (on_positive * (weights.sum(0) - on_positive))


@jax.custom_jvp
def _won(orders: Array, num_orders: Array, positive: Array, weights: Array) -> Array:
    """Weight of the pairs (positive, negative) whose negative comes first, the mean over the orders that differ, [B].

    Rows are taken in blocks that stay in the cache: within a block a triangular product, between blocks a running sum.
    """
    n, b = weights.shape
    size = min(max(16, 4096 // b), 256)
    blocks = -(-n // size)

    def cut(x):
        return jnp.pad(x, (0, blocks * size - n)).reshape(blocks, size)

    before = jnp.tril(jnp.ones((size, size), weights.dtype), -1)

    def add(carry, block):
        below, won = carry
        rows, is_positive, is_negative = block
        w = weights[rows]
        negative = w * is_negative[:, None]
        precede = before @ negative + below[None]
        return (below + negative.sum(0), won + (w * is_positive[:, None] * precede).sum(0)), None

    def add_order(k, total):
        is_positive = positive[orders[k]].astype(weights.dtype)
        start = jnp.zeros(b, weights.dtype), jnp.zeros(b, weights.dtype)
        (_, won), _ = jax.lax.scan(add, start, (cut(orders[k]), cut(is_positive), cut(1 - is_positive)))
        return total + won

    return jax.lax.fori_loop(0, num_orders, add_order, jnp.zeros(b, weights.dtype)) / num_orders


@_won.defjvp
def _won_derivative(primals, tangents):
    """A positive counts the negatives before it, a negative the positives after it: no loop has to be transposed."""
    orders, _, positive, weights = primals
    w, is_positive = weights[orders], positive[orders][..., None]  # [2, N, B]
    before, after = jnp.where(is_positive, 0, w), jnp.where(is_positive, w, 0)
    slope = jnp.where(is_positive, jnp.cumsum(before, 1), after.sum(1, keepdims=True) - jnp.cumsum(after, 1))
    return _won(*primals), (slope * tangents[3][orders]).sum(1).mean(0)
