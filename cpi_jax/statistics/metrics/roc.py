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
    orders = [jnp.lexsort((label, scores)) for label in (~positive, positive)]
    return Partial(_auroc, jnp.any(orders[0] != orders[1]), orders[0], orders[1], positive)


def _auroc(tied: Array, order: Array, other: Array, positive: Array, weights: Array) -> Array:
    won = _won(order, positive, weights)
    won = jax.lax.cond(tied, lambda: (won + _won(other, positive, weights)) / 2, lambda: won)
    on_positive = jnp.where(positive[:, None], weights, 0).sum(0)
    return won / (on_positive * (weights.sum(0) - on_positive))


@jax.custom_jvp
def _won(order: Array, positive: Array, weights: Array) -> Array:
    """Weight of the pairs (positive, negative) whose negative comes first, [B].

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

    is_positive = positive[order].astype(weights.dtype)
    start = jnp.zeros(b, weights.dtype), jnp.zeros(b, weights.dtype)
    (_, won), _ = jax.lax.scan(add, start, (cut(order), cut(is_positive), cut(1 - is_positive)))
    return won


@_won.defjvp
def _won_derivative(primals, tangents):
    """A positive counts the negatives before it, a negative the positives after it: no scan has to be transposed."""
    order, positive, weights = primals
    w, is_positive = weights[order], positive[order][:, None]
    before, after = jnp.where(is_positive, 0, w), jnp.where(is_positive, w, 0)
    slope = jnp.where(is_positive, jnp.cumsum(before, 0), after.sum(0, keepdims=True) - jnp.cumsum(after, 0))
    return _won(*primals), (slope * tangents[2][order]).sum(0)
