"""Importance by sampled index shuffles: DEPICT's own protocol, on the same score table.

The mean over shuffles converges to (N - 1) / N of the functional for metrics that are means over examples, since a uniform
shuffle has fixed points, and to `exact_auroc_importance` for AUROC. The spread over shuffles is not an uncertainty of the
importance: it does not know which examples happened to be in the data set.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from cpi_jax.captions.permutation import donors
from cpi_jax.plan.variants import ShuffledLookup
from cpi_jax.statistics.functional import AnyLookup, Strata
from cpi_jax.statistics.metrics import MetricFunction


@partial(jax.jit, static_argnames=("metric", "num_shuffles"))
def shuffle_importance(
    key: PRNGKeyArray,
    scores: Float[Array, "d v ..."],
    labels: Int[Array, "n ..."],
    lookup: AnyLookup,
    weights: Float[Array, " n"],
    metric: MetricFunction,
    strata: Strata = None,
    *,
    num_shuffles: int = 25,
) -> Float[Array, "r d f ..."]:
    """Signed drop of the metric under each of R shuffles of each feature.

    Args:
      key: of the shuffles; consumed.
      scores: the score table, as in `importance`.
      labels: of each example.
      lookup: where the rows are.
      weights: of the examples; a shuffle moves values, not weights.
      metric: as in `importance`.
      strata: shuffle within these groups only, int32 [N] or [N, F].
      num_shuffles: R; of a `ShuffledLookup`, its own planned shuffles are used, in their order.

    Returns:
      float32 [R, D, F] in the metric's unit, with further axes where the metric has them.

    Example:
      The score table of a classifier that reads the first of two concepts, and not the second.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> labels, weights = concepts[:, 0], jnp.ones(4)
      >>> key = jax.random.key(0)
      >>> drops = cpi_jax.shuffle_importance(key, scores, labels, lookup, weights, cpi_jax.accuracy, num_shuffles=100)
      >>> drops.shape, bool((drops[:, :, 1] == 0).all())
      ((100, 1, 2), True)
    """
    n, num_features, num_planned = lookup.rows.shape
    if isinstance(lookup, ShuffledLookup):
        num_shuffles = num_planned
    before = jax.lax.map(lambda s: metric(s[lookup.baseline], labels, weights), scores)

    def rows_of(r, k, f):  # [N]
        if isinstance(lookup, ShuffledLookup):
            return lookup.rows[:, f, r]
        stratum = jnp.zeros(n, jnp.int32) if strata is None else strata[:, f] if strata.ndim == 2 else strata
        value = lookup.values[donors(k, stratum), f]
        return jnp.take_along_axis(lookup.rows[:, f], value[:, None], axis=1)[:, 0]

    def one(x):
        r, k, f = x
        rows = rows_of(r, k, f)
        return before - jax.lax.map(lambda s: metric(s[rows], labels, weights), scores)

    r, f = (x.ravel() for x in jnp.indices((num_shuffles, num_features)))
    keys = jax.random.split(key, num_shuffles * num_features)
    out = jax.lax.map(one, (r, keys, f))
    return out.reshape(num_shuffles, num_features, *out.shape[1:]).swapaxes(1, 2)
