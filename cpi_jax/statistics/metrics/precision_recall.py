"""The average precision of one column of scores, and its mean where every example takes one of several rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array


def prepare_average_precision(scores: Array, labels: Array) -> Partial:
    """Average precision: the mean, over positives, of the precision at their threshold; ties share one threshold.

    Example:
      The positives' thresholds call one and three examples, of which one and two are positive.

      >>> scores, labels = jnp.array([0.8, 0.4, 0.4, 0.2]), jnp.array([1, 1, 0, 0])
      >>> round(float(cpi_jax.METRICS["average_precision"](scores, labels, jnp.ones(4))), 4)
      0.8333
    """
    order = jnp.argsort(-scores)
    s = -scores[order]
    last = jnp.searchsorted(s, s, side="right", method="sort") - 1  # of each tie group: one threshold
    return Partial(_average_precision, order, last, labels[order] > 0)


def _average_precision(order: Array, last: Array, positive: Array, weights: Array) -> Array:
    w = weights[order]
    true = jnp.where(positive[:, None], w, 0)
    called, hits = jnp.cumsum(w, 0)[last], jnp.cumsum(true, 0)[last]
    precision = hits / jnp.where(called > 0, called, 1)
    return (true * precision).sum(0) / true.sum(0)


def prepare_dealt_precision(scores: Array, labels: Array, num_rows: int) -> Partial:
    """The mean average precision where every example takes one of its rows; see `Metric.prepare_dealt`."""
    own = scores.reshape(-1, num_rows)
    within = jnp.argsort(-own, axis=1)  # each example's rows, best first
    own = -jnp.take_along_axis(own, within, axis=1)
    own_last = jax.vmap(lambda s: jnp.searchsorted(s, s, side="right", method="sort") - 1)(own)
    order = jnp.argsort(own.ravel())
    s = own.ravel()[order]
    last = jnp.searchsorted(s, s, side="right", method="sort") - 1
    return Partial(_dealt_precision, within, own_last, order, last, labels[::num_rows] > 0)


def _dealt_precision(
    within: Array, own_last: Array, order: Array, last: Array, positive: Array, weights: Array, chances: Array
) -> Array:
    """Mean of the average precision where every example takes one of its rows, independently, [B].

    At the threshold of a positive's row its precision is X / C, with C = w_i + the weight of the others that reach it, each
    with its chance q_k, and X = w_i + the positives among them. C is a sum of independent terms, whose first four
    cumulants are running sums over the sorted rows. E[1 / C] is the continued fraction of the distribution of Meixner's
    class that has these cumulants: exact for what is certain, for Poisson and for binomial counts and for their sums with
    what is certain, to which all others are close. E[X | C] is taken as linear in C, which is exact in the same cases.
    """
    b = weights.shape[1]
    total = weights.sum(0, keepdims=True)
    w = weights * ((weights > 0).sum(0, keepdims=True) / total)  # of size 1, whatever their scale
    p = jnp.take_along_axis(chances, within[..., None], axis=1)
    reached = jnp.cumsum(p, axis=1)  # q at each row, if no tie followed

    def in_order(x):  # [N, M, B]
        return x.reshape(-1, b)[order]

    def of_others(cumulant, w):
        """Sum over the others of a cumulant of theirs, at the threshold of every row, in the order of the rows."""
        each = cumulant(reached)
        steps = w[:, None] * (each - cumulant(reached - p))
        own = w[:, None] * jnp.take_along_axis(each, own_last[..., None], axis=1)
        return jnp.cumsum(in_order(steps), 0)[last] - in_order(own)

    true = positive[:, None]
    own = in_order(jnp.broadcast_to(jnp.where(w > 0, w, 1)[:, None], p.shape))
    called, hits = own + of_others(_mean, w), own + of_others(_mean, true * w)
    variance, shared = of_others(_variance, w**2), of_others(_variance, true * w**2)
    third, fourth = of_others(_third, w**3), of_others(_fourth, w**4)

    spread = jnp.maximum(variance, 1e-4)  # what is certain up to rounding has no shape
    shift = third / spread
    slope = (fourth / spread - shift**2) / 2
    # 1 / C = 1 / (c - b_1 / (c + shift - b_2 / (c + 2 shift - ...))); no tail of it is smaller than the smallest C.
    tail = jnp.maximum(called + _DEPTH * shift, own)
    for j in range(_DEPTH, 0, -1):
        step = jnp.maximum(j * (jnp.maximum(variance, 0) + (j - 1) * slope), 0)
        tail = jnp.maximum(called + (j - 1) * shift - step / tail, own)
    share = jnp.clip(shared / spread, 0, 1)
    precision = share + (hits - share * called) / tail
    counted = in_order(jnp.where(true, w, 0)[:, None] * p)
    return (counted * precision).sum(0) / jnp.where(true, w, 0).sum(0)


_DEPTH = 4  # of the continued fraction: E[1 / C] to 2e-3 at worst, a Poisson count of 2 beside C >= 1


def _mean(q: Array) -> Array:
    return q


def _variance(q: Array) -> Array:
    return q * (1 - q)


def _third(q: Array) -> Array:
    return q * (1 - q) * (1 - 2 * q)


def _fourth(q: Array) -> Array:
    return q * (1 - q) * (1 - 6 * q * (1 - q))
