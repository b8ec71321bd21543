"""Resampling of the cases: each repeat is one vector of weights, and the draws go along with their example."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from cpi_jax.statistics.functional import AnyLookup, Prepared, Strata, evaluate, prepare
from cpi_jax.statistics.metrics import MetricFunction
from cpi_jax.statistics.sampling_units import count_units


def bootstrap_weights(
    key: PRNGKeyArray, n: int, clusters: Int[Array, " n"] | None = None, num_clusters: int | None = None
) -> Float[Array, " n"]:
    """How often each of N examples is drawn when N of them, or all clusters, are drawn with replacement (Efron 1979).

    Args:
      key: of the resampling; consumed.
      n: examples.
      clusters: cluster of each example, int32 [N], from 0; whole clusters are drawn (Obuchowski 1997).
      num_clusters: how many clusters there are; needed with them.

    Returns:
      Counts, float32 [N]; without clusters they sum to N.

    Raises:
      InputError: for clusters whose number is not given.

    Example:
      >>> float(cpi_jax.bootstrap_weights(jax.random.key(0), 4).sum())
      4.0
    """
    units = count_units(n, clusters, num_clusters)
    counts = jnp.zeros(units).at[jax.random.randint(key, (units,), 0, units)].add(1.0)
    return counts if clusters is None else counts[clusters]


def repeats_of(
    key: PRNGKeyArray,
    prepared: Prepared,
    lookup: AnyLookup,
    weights: Float[Array, " n"],
    strata: Strata = None,
    clusters: Int[Array, " n"] | None = None,
    *,
    num_clusters: int | None = None,
    num_repeats: int = 1000,
    batch_size: int | None = None,
) -> Float[Array, "b f ..."]:
    """The functional of a prepared table at bootstrap weights, averaged over draws; arguments as in `bootstrap`."""
    n, _, m = lookup.rows.shape
    if batch_size is None:
        batch_size = min(max(2**26 // (n * m), 1), 250, num_repeats)  # a quarter of a GiB an array
    num_batches = -(-num_repeats // batch_size)

    def batch(keys):
        counts = jax.vmap(lambda k: bootstrap_weights(k, n, clusters, num_clusters), out_axes=1)(keys)
        return evaluate(prepared, lookup, weights[:, None] * counts, strata).mean(0)  # [F, batch, ...]

    # A repeat's key does not depend on how many there are, or on the lookup.
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(num_batches * batch_size))
    keys = keys.reshape(num_batches, batch_size)
    out = jax.lax.map(batch, keys).swapaxes(1, 2)
    return out.reshape(num_batches * batch_size, *out.shape[2:])[:num_repeats]


@partial(jax.jit, static_argnames=("metric", "num_clusters", "num_repeats", "batch_size"))
def bootstrap(
    key: PRNGKeyArray,
    scores: Float[Array, "d v ..."],
    labels: Int[Array, "n ..."],
    lookup: AnyLookup,
    weights: Float[Array, " n"],
    metric: MetricFunction,
    strata: Strata = None,
    clusters: Int[Array, " n"] | None = None,
    *,
    num_clusters: int | None = None,
    num_repeats: int = 1000,
    batch_size: int | None = None,
) -> Float[Array, "b f ..."]:
    """Importances of bootstrap samples of the examples, averaged over draws.

    Scores are sorted once per draw and feature; a repeat is gathers and running sums.

    Args:
      key: of the resampling; consumed.
      scores: the score table, as in `importance`.
      labels: of each example.
      lookup: where the rows are.
      weights: sample weights, float [N]; each repeat multiplies them by its counts.
      metric: as in `importance`.
      strata: as in `importance`.
      clusters: cluster of each example, as in `bootstrap_weights`.
      num_clusters: how many clusters there are; needed with them.
      num_repeats: how many there are, B.
      batch_size: repeats computed at once; by default all, at most 250 and as many as fit 64 Mi rows.

    Returns:
      float32 [B, F], with further axes where the metric has them; NaN where a resample left a class empty.

    Raises:
      InputError: for clusters whose number is not given.

    Example:
      The score table of a classifier that reads the first of two concepts, and not the second.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> labels, weights = concepts[:, 0], jnp.ones(4)
      >>> key = jax.random.key(0)
      >>> cpi_jax.bootstrap(key, scores, labels, lookup, weights, cpi_jax.accuracy, num_repeats=100).shape
      (100, 2)
    """
    return repeats_of(
        key, prepare(scores, labels, lookup, metric), lookup, weights, strata, clusters,
        num_clusters=num_clusters, num_repeats=num_repeats, batch_size=batch_size,
    )  # fmt: skip


def percentile_interval(
    repeats: Float[Array, "b ..."], level: float = 0.95
) -> tuple[Float[Array, "..."], Float[Array, "..."], Int[Array, ""]]:
    """Percentile interval of each feature (Efron 1979), and how many repeats were dropped for lack of a class.

    Args:
      repeats: bootstrap repeats, [B, ...]; those that are NaN are left out.
      level: of the interval.

    Returns:
      The lower and the upper bound, [...], and the number of repeats with a NaN.

    Example:
      >>> low, high, dropped = cpi_jax.percentile_interval(jnp.linspace(0, 1, 101), level=0.9)
      >>> round(float(low), 4), round(float(high), 4), int(dropped)
      (0.05, 0.95, 0)
    """
    tail = (1 - level) / 2
    low, high = jnp.nanquantile(repeats, jnp.array([tail, 1 - tail]), axis=0)
    return low, high, jnp.isnan(repeats.reshape(repeats.shape[0], -1)).any(1).sum()
