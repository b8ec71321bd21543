"""Signed gaps between a group and the others as metrics: of rates, AUROC and calibration, for two classes.

Which group an example is of is told with its label, as y + 2 g (`cross_labels`), so that a gap is a metric like any other:
an example keeps its own group wherever something of its caption is permuted, the group's concept too. A gap is the group's
number minus the others'. Where either lacks a class that its number needs, it is NaN.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Int

from cpi_jax.statistics.metrics.protocol import Metric
from cpi_jax.statistics.metrics.roc import prepare_auroc
from cpi_jax.statistics.metrics.sums import weighted_sums


def cross_labels(labels: Int[Array | np.ndarray, " n"], group: Bool[Array | np.ndarray, " n"]) -> Int[Array, " n"]:
    """Labels of the metrics in `GAPS`: y + 2 g, int32 [N].

    Args:
      labels: {0, 1} of each example.
      group: whether it is of the group.

    Example:
      In the group one of two positives is found, outside both are.

      >>> scores, labels = jnp.array([2.0, -1, -1, 3, 1, 2]), jnp.array([1, 1, 0, 1, 1, 0])
      >>> crossed = cpi_jax.cross_labels(labels, jnp.array([True, True, True, False, False, False]))
      >>> {name: round(float(gap(scores, crossed, jnp.ones(6))), 2) for name, gap in cpi_jax.GAPS.items()}
      {'tpr_gap': -0.5, 'fpr_gap': -1.0, 'positive_rate_gap': -0.67, 'auroc_gap': 0.25, 'calibration_gap': -0.38}
    """
    return jnp.asarray(labels, jnp.int32) + 2 * jnp.asarray(group, jnp.int32)


@Metric
def tpr_gap(scores: Array, labels: Array) -> Partial:
    """Difference of the true-positive rates: positives whose logit is above 0."""
    return _gap_of_means(scores > 0, labels % 2 == 1, labels >= 2)


@Metric
def fpr_gap(scores: Array, labels: Array) -> Partial:
    """Difference of the false-positive rates: negatives whose logit is above 0."""
    return _gap_of_means(scores > 0, labels % 2 == 0, labels >= 2)


@Metric
def positive_rate_gap(scores: Array, labels: Array) -> Partial:
    """Difference of the shares whose logit is above 0, whatever their labels (demographic parity)."""
    return _gap_of_means(scores > 0, jnp.ones_like(labels, bool), labels >= 2)


@Metric
def auroc_gap(scores: Array, labels: Array) -> Partial:
    """Difference of the AUROCs, each of the pairs within the group, or within the others."""
    return Partial(_auroc_gap, prepare_auroc(scores, labels % 2), (labels >= 2).astype(jnp.float32))


@Metric
def calibration_gap(scores: Array, labels: Array) -> Partial:
    """Difference of mean predicted probability minus share of positives: calibration in the large."""
    return _gap_of_means(jax.nn.sigmoid(scores) - labels % 2, jnp.ones_like(labels, bool), labels >= 2)


GAPS: dict[str, Metric] = {
    "tpr_gap": tpr_gap,
    "fpr_gap": fpr_gap,
    "positive_rate_gap": positive_rate_gap,
    "auroc_gap": auroc_gap,
    "calibration_gap": calibration_gap,
}


def _gap_of_means(values: Array, among: Array, group: Array) -> Partial:
    inside, outside = (jnp.where(among & part, 1.0, 0.0) for part in (group, ~group))
    return Partial(_difference, jnp.stack([values * inside, inside, values * outside, outside]).astype(jnp.float32))


def _difference(terms: Array, weights: Array) -> Array:
    inside, of_inside, outside, of_outside = weighted_sums(terms, weights)
    return inside / of_inside - outside / of_outside


def _auroc_gap(prepared: Partial, group: Array, weights: Array) -> Array:
    return prepared(weights * group[:, None]) - prepared(weights * (1 - group)[:, None])
