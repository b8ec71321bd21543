"""A metric on the examples' own captions, with its influences: what an importance is taken from."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.metrics import MetricFunction, as_metric
from cpi_jax.statistics.sampling_units import sampling_units


@partial(jax.jit, static_argnames=("metric", "num_classes", "num_clusters"))
def infer_baseline(
    scores: Float[Array, "d n ..."],
    labels: Int[Array, "n ..."],
    weights: Float[Array, " n"],
    metric: MetricFunction,
    clusters: Int[Array, " n"] | None = None,
    *,
    num_classes: int = 2,
    num_clusters: int | None = None,
) -> Inference:
    """The metric itself in the place of an importance, as of one feature, without bootstrap repeats.

    Args:
      scores: of the own captions' rows, float32 [D, N] or [D, N, C].
      labels: of each example.
      weights: sample weights, [N].
      metric: as in `importance`; `stack_metrics` makes several into one.
      clusters: cluster of each example, int32 [N], from 0.
      num_classes: of the labels: groups whose variances are their own.
      num_clusters: how many clusters there are.

    Example:
      >>> scores, labels = jnp.array([[2.0, 1.0, -1.0, -3.0]]), jnp.array([1, 0, 1, 0])
      >>> value = cpi_jax.infer_baseline(scores, labels, jnp.ones(4), cpi_jax.auroc)
      >>> value.estimate, value.standard_error.round(3)
      (Array([0.75], dtype=float32), Array([0.354], dtype=float32))
    """

    def of_draw(s):
        prepared = as_metric(metric).prepare(s, labels)

        def of_count(count):
            value = prepared((weights * count)[:, None])[0]
            return value, value

        influence, value = jax.jacrev(of_count, has_aux=True)(jnp.ones_like(weights))
        return value[None], influence[None]

    value, influence = jax.lax.map(of_draw, scores)
    if clusters is not None:
        influence = jnp.moveaxis(jax.ops.segment_sum(jnp.moveaxis(influence, -1, 0), clusters, num_clusters), 0, -1)
    return Inference(
        per_draw=value,
        repeats=jnp.empty((0, *value.shape[1:])),
        influence=influence,
        scale=jnp.abs(value).mean(0)[0],
        units=sampling_units(labels, weights, num_classes, clusters, num_clusters),
    )
