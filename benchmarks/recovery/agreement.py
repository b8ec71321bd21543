"""How well estimated importances agree with known ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, weightedtau

from cpi_jax.errors import InputError

MATTERS = 0.01  # a concept whose true importance is not above this has no place among the true top three
PERSISTENCE = 0.8  # of rank-biased overlap: a reader goes on to the next rank with this probability
SCORES = ("pearson", "spearman", "weighted_kendall", "rbo", "top1", "top3")


def agreement(estimate: Float[np.ndarray, " k"], truth: Float[np.ndarray, " k"]) -> dict[str, float]:
    """All scores of one model.

    Args:
      estimate: importances by a method, larger meaning more important.
      truth: the known ones.

    Returns:
      pearson and spearman: correlations, 0 where either side is constant; ties share their mean rank.
      weighted_kendall: Kendall's tau that weighs exchanges near the top more (Vigna 2015).
      rbo: rank-biased overlap of the two rankings (Webber, Moffat & Zobel 2010), from 0 to 1.
      top1: 1 where the most important concept is the right one.
      top3: share of the true top three, of what matters (> .01), in the estimated top three; NaN where nothing matters.
      In the last three, ties count halfway between the luckiest and the unluckiest order.

    Raises:
      InputError: for numbers that are not finite.
    """
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    if not (np.isfinite(estimate).all() and np.isfinite(truth).all()):
        raise InputError("importances that are not finite numbers cannot be compared")
    lucky, unlucky = (_of_orders(*_orders(estimate, truth, sign), truth) for sign in (1, -1))
    return {
        "pearson": _correlation(estimate, truth),
        "spearman": _correlation(rankdata(estimate), rankdata(truth)),
        "weighted_kendall": _or_zero(weightedtau(estimate, truth).statistic),
        **{name: (lucky[name] + unlucky[name]) / 2 for name in lucky},
    }


def _orders(estimate: np.ndarray, truth: np.ndarray, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Both rankings, their ties broken in favour of agreement (sign 1) or against it (-1)."""
    return np.lexsort((-sign * truth, -estimate)), np.lexsort((-sign * estimate, -truth))


def _of_orders(order: np.ndarray, true_order: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    true_top = true_order[:3][truth[true_order[:3]] > MATTERS]
    return {
        "rbo": rank_biased_overlap(order, true_order),
        "top1": float(order[0] == true_order[0]),
        "top3": float(np.isin(true_top, order[:3]).mean()) if len(true_top) else np.nan,
    }


def rank_biased_overlap(first: np.ndarray, second: np.ndarray, persistence: float = PERSISTENCE) -> float:
    """Extrapolated rank-biased overlap of two rankings of the same items (Webber, Moffat & Zobel 2010, equation 30)."""
    depth = np.arange(1, len(first) + 1)
    overlap = np.array([len(np.intersect1d(first[:d], second[:d])) for d in depth]) / depth
    powers = persistence**depth
    return float(overlap[-1] * powers[-1] + (1 - persistence) / persistence * (overlap * powers).sum())


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else 0.0


def _or_zero(value: float) -> float:
    return 0.0 if np.isnan(value) else float(value)
