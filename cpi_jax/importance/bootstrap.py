"""Intervals from resampling the cases: each repeat is one vector of weights, and the draws go along with their example."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from cpi_jax.importance.functional import importance
from cpi_jax.importance.metrics import Metric
from cpi_jax.variants import Lookup


def bootstrap_weights(key: PRNGKeyArray, n: int) -> Float[Array, " n"]:
    """How often each of N examples is drawn when N are drawn with replacement (Efron 1979)."""
    return jnp.zeros(n).at[jax.random.randint(key, (n,), 0, n)].add(1.0)


@partial(jax.jit, static_argnames=("metric", "num_repeats", "batch_size"))
def bootstrap(
    key: PRNGKeyArray,
    scores: Float[Array, "d v"],
    labels: Int[Array, " n"],
    lookup: Lookup,
    weights: Float[Array, " n"],
    metric: Metric,
    strata: Int[Array, " n"] | None = None,
    *,
    num_repeats: int = 1000,
    batch_size: int = 50,
) -> Float[Array, "b f"]:
    """Importances of bootstrap samples of the examples, averaged over draws.

    Args:
      key: of the resampling; consumed.
      scores: one output of the score table, float32 [D, V].
      labels: int32 [N].
      lookup: where the rows are.
      weights: sample weights, float [N]; each repeat multiplies them by its counts.
      metric: as in `importance`.
      strata: as in `importance`.
      num_repeats: B.
      batch_size: repeats computed at once, by `vmap`.

    Returns:
      float32 [B, F]; NaN where a resample left a class empty.
    """

    def repeat(repeat_key):
        w = weights * bootstrap_weights(repeat_key, weights.shape[0])
        return importance(scores, labels, lookup, w, metric, strata).mean(0)

    return jax.lax.map(repeat, jax.random.split(key, num_repeats), batch_size=batch_size)


def percentile_interval(
    repeats: Float[Array, "b f"], level: float = 0.95
) -> tuple[Float[Array, " f"], Float[Array, " f"], Int[Array, ""]]:
    """Percentile interval of each feature, and how many repeats were dropped for lack of a class."""
    tail = (1 - level) / 2
    low, high = jnp.nanquantile(repeats, jnp.array([tail, 1 - tail]), axis=0)
    return low, high, jnp.isnan(repeats).any(1).sum()
