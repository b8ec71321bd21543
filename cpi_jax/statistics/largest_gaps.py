"""The largest gap between any two of several groups, as equalised odds and demographic parity count it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def largest_gaps(
    decided: Bool[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
) -> dict[str, float]:
    """Largest differences between any two groups (Hardt et al. 2016), as fairlearn computes them.

    They are maxima of absolute values: above zero by chance alone, the more groups the more, so no interval is given.

    Args:
      decided: whether the classifier says 1.
      labels: {0, 1}.
      groups: of the examples, from 0.
      weights: of the examples.

    Returns:
      `equalized_odds_difference`: the larger of the largest differences of true-positive and of false-positive rates;
      `demographic_parity_difference`: that of the shares for which the classifier says 1.

    Example:
      >>> decided, labels = np.array([1, 1, 0, 1, 0, 0]) > 0, np.array([1, 0, 1, 1, 0, 1])
      >>> largest_gaps(decided, labels, np.array([0, 0, 0, 1, 1, 1]), np.ones(6))
      {'equalized_odds_difference': 1.0, 'demographic_parity_difference': 0.3333333333333333}
    """

    def spread(among: np.ndarray) -> float:
        rates = [
            np.average(decided[inside], weights=weights[inside])
            for g in np.unique(groups[weights > 0])
            if weights[inside := among & (groups == g)].sum() > 0
        ]
        return float(max(rates) - min(rates)) if rates else float("nan")

    return {
        "equalized_odds_difference": max(spread(labels > 0), spread(labels == 0)),
        "demographic_parity_difference": spread(np.ones_like(decided)),
    }
