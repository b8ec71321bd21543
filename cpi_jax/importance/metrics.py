"""Weighted metrics: (scores [N], labels [N], weights [N]) -> a number where higher is better.

Scores are logits of the positive class. Every metric runs under jit, vmap and grad in the weights. Under `jax.vmap` over
weights alone, AUROC sorts once for the whole batch of repeats: the order does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Metric = Callable[[Float[Array, " n"], Int[Array, " n"], Float[Array, " n"]], Float[Array, ""]]


def auroc(scores: Float[Array, " n"], labels: Int[Array, " n"], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """Area under the ROC curve; ties count one half (Hanley & McNeil 1982). NaN without weight in both classes."""
    order = jnp.argsort(scores)
    s, w = scores[order], weights[order]
    positive = jnp.where(labels[order] > 0, w, 0.0)
    negative = w - positive
    # A negative counts for every positive above it, half for those it ties with: the weight below the tie group and the
    # weight up to the group's end, averaged.
    below = jnp.concatenate([jnp.zeros(1, w.dtype), jnp.cumsum(negative)])
    first = jnp.searchsorted(s, s, side="left", method="sort")
    after = jnp.searchsorted(s, s, side="right", method="sort")
    won = jnp.sum(positive * (below[first] + below[after])) / 2
    return won / (positive.sum() * negative.sum())


def accuracy(scores: Float[Array, " n"], labels: Int[Array, " n"], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """Share of examples on the right side of logit 0."""
    return _mean((scores > 0) == (labels > 0), weights)


def neg_log_loss(scores: Float[Array, " n"], labels: Int[Array, " n"], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """Mean log-likelihood of the labels, in nats."""
    return _mean(jax.nn.log_sigmoid(jnp.where(labels > 0, scores, -scores)), weights)


METRICS: dict[str, Metric] = {"auroc": auroc, "accuracy": accuracy, "neg_log_loss": neg_log_loss}


def _mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(values * weights) / jnp.sum(weights)
