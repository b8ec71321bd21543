"""Concept importance as a function of example weights: the expected drop of a metric under permutation.

With W_i the weight of everybody in i's stratum but i, and v_k the value of example k,
    p_v(w, i) = sum of w_k over k in the stratum of i, k != i, v_k = v, / W_i
    I(w)      = metric(baseline rows, w_i) - metric(rows (i, v) for every v, w_i p_v(w, i))
This is the mean over permutations without shuffle noise: exact for metrics that are means over examples, to O(1/N) for
AUROC (Fisher, Rudin & Dominici 2019 give the U-statistic behind it). An example is never its own donor. Everything
that inference needs is a choice of w.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cpi_jax.importance.metrics import Metric
from cpi_jax.variants import Lookup


def donor_shares(
    lookup: Lookup, weights: Float[Array, " n"], strata: Int[Array, " n"] | None = None
) -> tuple[Float[Array, "n f m"], Float[Array, " n"]]:
    """p_v(w, i) of every value, [N, F, M], and the weights [N] of those who have a donor (0 where W_i = 0)."""
    n, _, num_values = lookup.rows.shape
    if strata is None:
        strata = jnp.zeros(n, jnp.int32)
    given = weights[:, None, None] * jax.nn.one_hot(lookup.values, num_values)  # [N, F, M]
    # Sums over the stratum, then each example's own weight goes.
    total = jax.ops.segment_sum(weights, strata, n)[strata] - weights
    shares = jax.ops.segment_sum(given, strata, n)[strata] - given
    # The subtraction leaves a rounding error where nobody else is: count members to know.
    members = (weights > 0).astype(jnp.int32)
    has_donor = jax.ops.segment_sum(members, strata, n)[strata] - members > 0
    shares = jnp.maximum(shares, 0) / jnp.where(has_donor, total, 1.0)[:, None, None]
    return shares, jnp.where(has_donor, weights, 0.0)


def permuted_metric(
    scores: Float[Array, " v"],
    labels: Int[Array, "v #f"],  # noqa: F821
    lookup: Lookup,
    weights: Float[Array, " n"],
    metric: Metric,
    strata: Int[Array, " n"] | None = None,
) -> Float[Array, " f"]:
    """The metric of the permuted population, for each feature.

    Args:
      scores: of every row of the table, one draw, one output.
      labels: of every row, the example's own or the permuted ones; one column for all features, or one for each.
      lookup: where the rows are.
      weights: of the examples.
      metric: (scores, labels, weights) -> number.
      strata: donors come from the example's stratum only.
    """
    shares, weights = donor_shares(lookup, weights, strata)
    labels = jnp.broadcast_to(labels, (labels.shape[0], lookup.rows.shape[1]))

    def of_feature(rows, share, label):  # [N, M], [N, M], [V]
        return metric(scores[rows].ravel(), label[rows].ravel(), (weights[:, None] * share).ravel())

    return jax.lax.map(lambda x: of_feature(*x), (lookup.rows.swapaxes(0, 1), shares.swapaxes(0, 1), labels.T))


@partial(jax.jit, static_argnames="metric")
def importance(
    scores: Float[Array, "d v"],
    labels: Int[Array, " n"],
    lookup: Lookup,
    weights: Float[Array, " n"],
    metric: Metric,
    strata: Int[Array, " n"] | None = None,
) -> Float[Array, "d f"]:
    """Signed importance of every feature in every draw; the estimate is the mean over draws.

    The metric is computed within each draw, never on scores averaged over draws. A feature none of whose reachable rows
    differs from its baseline, bit for bit, has importance exactly 0.

    Args:
      scores: one output of the score table, float32 [D, V].
      labels: class of each example, int32 [N].
      lookup: where the rows are.
      weights: of the examples, float [N]: ones, bootstrap counts, sample weights.
      metric: one of `cpi_jax.METRICS`, or any function (scores, labels, weights) -> number that runs under jit.
      strata: permute within these groups only, int32 [N] with values below N.
    """
    _, kept = donor_shares(lookup, weights, strata)
    row_labels = _row_labels(labels, lookup, scores.shape[1])[:, None]

    def of_draw(s):
        baseline = metric(s[lookup.baseline], labels, kept)
        drop = baseline - permuted_metric(s, row_labels, lookup, weights, metric, strata)
        same = s[lookup.rows] == s[lookup.baseline][:, None, None]
        untouched = (same | (lookup.rows < 0)).all((0, 2))
        return jnp.where(untouched, jnp.where(jnp.isnan(baseline), jnp.nan, 0.0), drop)

    return jax.vmap(of_draw)(scores)


def _row_labels(labels: jax.Array, lookup: Lookup, num_rows: int) -> jax.Array:
    """The example's label for every row of the table."""
    shape = lookup.rows.shape
    spread = jnp.broadcast_to(labels[:, None, None], shape)
    # Padded entries (-1) are sent past the end and dropped.
    rows = jnp.where(lookup.rows < 0, num_rows, lookup.rows)
    return jnp.zeros(num_rows, labels.dtype).at[rows].set(spread, mode="drop").at[lookup.baseline].set(labels)
