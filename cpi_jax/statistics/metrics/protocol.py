"""What a metric is: a function in two steps, so that one sorted table serves thousands of weight vectors."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

MetricFunction = Callable[[Array, Array, Float[Array, " n"]], Array]


class Metric:
    """A metric in two steps; higher is better. Called with scores, labels and weights [N], it does both.

    Attributes:
      prepare: (scores, labels) -> prepared metric, a pytree; it takes weights [N, B] and gives [B] or [B, C].
      prepare_dealt: (scores, labels, M) of N M rows, an example's M rows after each other -> its expectation where every
        example takes one of its rows; a pytree that takes weights [N, B] and chances [N, M, B]. By default the metric of
        all rows weighted by their chances, which is the expectation of sums over examples.

    Example:
      The share of examples whose score is positive, whatever their labels.

      >>> def weighted_mean(values, weights):
      ...     return values @ weights / weights.sum(0)
      >>> positive = cpi_jax.Metric(lambda scores, labels: jax.tree_util.Partial(weighted_mean, scores > 0.0))
      >>> float(positive(jnp.array([0.8, 0.4, -0.4, -0.2]), jnp.array([1, 0, 1, 0]), jnp.array([1.0, 1, 1, 5])))
      0.25
    """

    def __init__(
        self,
        prepare: Callable[[Array, Array], Partial],
        prepare_dealt: Callable[[Array, Array, int], Partial] | None = None,
    ):
        self.prepare = prepare
        self.prepare_dealt = prepare_dealt or (lambda scores, labels, m: Partial(_of_all_rows, prepare(scores, labels)))
        functools.update_wrapper(self, prepare)

    def __call__(
        self, scores: Float[Array, "n ..."], labels: Int[Array, "n ..."], weights: Float[Array, " n"]
    ) -> Float[Array, "..."]:
        return self.prepare(scores, labels)(weights[:, None])[0]


def _of_all_rows(prepared: Partial, weights: Array, chances: Array) -> Array:
    return prepared((weights[:, None] * chances).reshape(-1, weights.shape[1]))


def as_metric(metric: MetricFunction) -> Metric:
    """Any metric in two steps; a plain function has no first one, and is mapped over the columns of the weights."""
    if isinstance(metric, Metric):
        return metric
    return Metric(lambda scores, labels: Partial(_MapWeights(metric), scores, labels))


@dataclasses.dataclass(frozen=True)
class _MapWeights:
    metric: MetricFunction

    def __call__(self, scores: Array, labels: Array, weights: Array) -> Array:
        return jax.vmap(self.metric, in_axes=(None, None, 1))(scores, labels, weights)


@functools.cache
def stack_metrics(metrics: tuple[MetricFunction, ...]) -> Metric:
    """Several metrics as one with a vector value [M], or longer where some have a value for each class.

    The same metrics give the same object, so that what was compiled for it is used again.

    Args:
      metrics: a tuple of `METRICS`, or of functions as `Metric` describes them.

    Example:
      >>> both = cpi_jax.stack_metrics((cpi_jax.auroc, cpi_jax.accuracy))
      >>> both(jnp.array([0.8, 0.4, 0.4, 0.2]), jnp.array([1, 1, 0, 0]), jnp.ones(4)).tolist()
      [0.875, 0.5]
    """
    stacked = tuple(as_metric(metric) for metric in metrics)

    def prepare(scores, labels):
        return Partial(_stacked, tuple(metric.prepare(scores, labels) for metric in stacked))

    def prepare_dealt(scores, labels, m):
        return Partial(_stacked, tuple(metric.prepare_dealt(scores, labels, m) for metric in stacked))

    return Metric(prepare, prepare_dealt)


def _stacked(prepared: Sequence[Partial], *weights: Array) -> Array:
    values = [p(*weights) for p in prepared]
    return jnp.concatenate([v.reshape(v.shape[0], -1) for v in values], axis=1)
