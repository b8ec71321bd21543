"""Concept importance as a function of example weights: the expected drop of a metric under permutation.

With W_i the weight of everybody in i's stratum but i, and v_k the value of example k,
    p_v(w, i) = sum of w_k over k in the stratum of i, k != i, v_k = v, / W_i
    I(w)      = metric(baseline rows, w_i) - metric(rows (i, v) for every v, w_i p_v(w, i))
This is the mean over permutations without shuffle noise: exact for metrics that are means over examples, to O(1/N) for
AUROC (Fisher, Rudin & Dominici 2019 give the U-statistic behind it; `exact_auroc_importance` is the value over all N!) and
F1. Average precision is a mean of ratios, whose expectation it takes in place of the second term (`Metric.prepare_dealt`).
An example is never its own donor. Everything that inference needs is a choice of w.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from cpi_jax.plan.variants import Lookup, ShuffledLookup
from cpi_jax.statistics.donor_shares import donor_shares, shares_of_planned_donors
from cpi_jax.statistics.metrics import MetricFunction, as_metric

AnyLookup = Lookup | ShuffledLookup
Strata = Int[Array, " n"] | Int[Array, "n f"] | None


@struct.dataclass
class Prepared:
    """A score table made ready for one metric (its scores sorted, for AUROC); a pytree.

    Attributes:
      baseline: the prepared metric of the baseline rows, leaves [D, ...]; None to leave the baseline out.
      permuted: of the rows that permuting each feature reaches, leaves [F, D, ...].
      untouched: whether none of a feature's rows differs from its baseline, bit for bit, [F, D].
    """

    baseline: Partial | None
    permuted: Partial
    untouched: Bool[Array, "f d"]


def prepare(
    scores: Float[Array, "d v ..."], labels: Int[Array, "n ..."], lookup: AnyLookup, metric: MetricFunction
) -> Prepared:
    """Does once, for all weights, what the metric can do without them. Arguments as in `importance`."""
    if scores.ndim == 3 and scores.shape[2] == 1 and labels.ndim == 1:
        scores = scores[..., 0]  # one score an image is a binary classifier's
    rows = lookup.rows.swapaxes(0, 1)  # [F, N, M]
    row_labels = jnp.repeat(labels, rows.shape[-1], axis=0)  # of the N M rows of a feature

    def of_draw(s):
        return as_metric(metric).prepare(s[lookup.baseline], labels)

    def untouched(row, s):
        own = jnp.expand_dims(s[lookup.baseline], 1)
        return ((s[row] == own).reshape(*row.shape, -1).all(-1) | (row < 0)).all()

    per_feature_and_draw = jax.vmap(jax.vmap(untouched, (None, 0)), (0, None))
    return Prepared(
        baseline=jax.lax.map(of_draw, scores),
        permuted=_prepare_rows(scores, rows, lambda f: row_labels, metric),
        untouched=per_feature_and_draw(rows, scores),
    )


def prepare_permuted(
    scores: Float[Array, "d v ..."],
    row_labels: Int[Array, "v f"],
    lookup: AnyLookup,
    metric: MetricFunction,
) -> Prepared:
    """The same for the metric of the permuted rows alone, against labels of every row and feature."""
    rows = lookup.rows.swapaxes(0, 1)
    permuted = _prepare_rows(scores, rows, lambda f: row_labels[rows[f].ravel(), f], metric)
    return Prepared(None, permuted, jnp.zeros((rows.shape[0], scores.shape[0]), bool))


def _prepare_rows(scores: Array, rows: Array, labels: Callable, metric: MetricFunction) -> Partial:
    def of_feature(f):
        prepare = as_metric(metric).prepare_dealt
        return jax.lax.map(lambda s: prepare(s[rows[f].ravel()], labels(f), rows.shape[-1]), scores)

    return jax.lax.map(of_feature, jnp.arange(rows.shape[0]))


def _map_drops(
    prepared: Prepared,
    lookup: AnyLookup,
    strata: Strata,
    use: Callable[[Callable], Any],
    recipients: Float[Array, " n"] | None = None,
) -> Any:
    """`use` of every (draw, feature)'s drop, which is a function of weights [N, B] with values [B, ...]; leads [D, F]."""
    shuffled = isinstance(lookup, ShuffledLookup)
    columns = (lookup.donors if shuffled else lookup.values).swapaxes(0, 1)  # [F, N, ...]
    _, f, m = lookup.rows.shape
    per_feature = strata is not None and strata.ndim == 2

    def of_feature(x):
        permuted, untouched, column, stratum = x
        stratum = stratum if per_feature else strata

        def of_draw(y):
            baseline, permuted, untouched = y

            def drop(weights):
                shares = (
                    shares_of_planned_donors(column, weights) if shuffled else donor_shares(column, m, weights, stratum)
                )
                given, kept = shares
                kept = kept if recipients is None else kept * recipients[:, None]
                value = permuted(kept, given)
                if baseline is None:
                    return value
                before = baseline(kept)
                return jnp.where(untouched, jnp.where(jnp.isnan(before), jnp.nan, 0.0), before - value)

            return use(drop)

        return jax.lax.map(of_draw, (prepared.baseline, permuted, untouched))

    stratum_columns = strata.T if strata is not None and per_feature else jnp.zeros((f, 0), jnp.int32)
    out = jax.lax.map(of_feature, (prepared.permuted, prepared.untouched, columns, stratum_columns))
    return jax.tree.map(lambda x: x.swapaxes(0, 1), out)


def evaluate(
    prepared: Prepared, lookup: AnyLookup, weights: Float[Array, "n b"], strata: Strata = None
) -> Float[Array, "d f b ..."]:
    """The functional at B weight vectors, for every draw and feature."""
    return _map_drops(prepared, lookup, strata, lambda drop: drop(weights))


def evaluate_with_influence(
    prepared: Prepared,
    lookup: AnyLookup,
    weights: Float[Array, " n"],
    strata: Strata = None,
    recipients: Float[Array, " n"] | None = None,
) -> tuple[Float[Array, "d f ..."], Float[Array, "d f ... n"]]:
    """The functional, and what each example contributes: the derivative in its bootstrap count (Giordano et al. 2019).

    The influences of a feature sum to zero over the examples. With `recipients`, 1 for some examples and 0 for others, the
    metric is of those alone, and everybody gives values to them.
    """

    def both(drop):
        def of_count(count):
            value = drop((weights * count)[:, None])[0]
            return value, value

        influence, value = jax.jacrev(of_count, has_aux=True)(jnp.ones_like(weights))
        return value, influence

    return _map_drops(prepared, lookup, strata, both, recipients)


@partial(jax.jit, static_argnames="metric")
def importance(
    scores: Float[Array, "d v ..."],
    labels: Int[Array, "n ..."],
    lookup: AnyLookup,
    weights: Float[Array, " n"],
    metric: MetricFunction,
    strata: Strata = None,
) -> Float[Array, "d f ..."]:
    """Signed importance of every feature in every draw; the estimate is the mean over draws.

    The metric is computed within each draw, never on scores averaged over draws. A feature none of whose reachable rows
    differs from its baseline, bit for bit, has importance exactly 0.

    Args:
      scores: the score table, float32 [D, V] or [D, V, C]; logits.
      labels: of each example, see `cpi_jax.statistics.metrics`.
      lookup: where the rows are.
      weights: of the examples, float [N]: ones, bootstrap counts, sample weights, zero outside a subgroup.
      metric: one of `cpi_jax.METRICS`, or any function (scores, labels, weights) -> value that runs under jit.
      strata: permute within these groups only, int32 [N], or [N, F] with groups for each feature; values below N.

    Returns:
      float32 [D, F] in the metric's unit, with further axes where the metric has them. NaN where a metric lacks a class;
      `validate_table` refuses what nothing can be computed from.

    Example:
      The score table of a classifier that reads the first of two concepts, and not the second.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> labels, weights = concepts[:, 0], jnp.ones(4)
      >>> cpi_jax.importance(scores, labels, lookup, weights, cpi_jax.accuracy).round(4)
      Array([[0.6667, 0.    ]], dtype=float32)

      Two thirds of an example's donors say the opposite of the first concept, so that 2 / 3 of the decisions turn wrong.
    """
    return evaluate(prepare(scores, labels, lookup, metric), lookup, weights[:, None], strata)[:, :, 0]
