"""An exact test of the median of per-example loss differences, for studies with few examples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special


class SignTest(NamedTuple):
    """What the signs and the order of N differences say of their median.

    Attributes:
      units: how many differences, N.
      above, below: how many are above and below 0.
      median: of the differences.
      ci_low, ci_high: its interval, exact whatever the distribution; infinite where N is too small for the level.
      p: against a median of at most 0, or of 0.
    """

    units: int
    above: int
    below: int
    median: float
    ci_low: float
    ci_high: float
    p: float


def sign_test(differences: Float[np.ndarray, " n"], *, level: float = 0.95, alternative: str = "greater") -> SignTest:
    """Exact sign test, and the interval of the median between two of the ordered differences.

    As in AICO (arXiv 2506.23396), of the differences between each example's loss without and with
    what a concept says. It is about the *median*, not about the mean, which an importance is: the loss of most examples
    rises. Nothing but independence is assumed. Differences of 0 count as not above 0, so that the test is conservative
    where there are such.

    Args:
      differences: losses that permuting adds, one for each sampling unit.
      level: at least so often does the interval hold the median.
      alternative: "greater" or "two-sided".

    Example:
      Nine of ten losses rise: P(at least 9 of 10 heads) = 11 / 1024.

      >>> test = cpi_jax.sign_test(np.array([0.1, 0.4, 0.2, 0.3, -0.1, 0.5, 0.2, 0.6, 0.3, 0.2]))
      >>> test.above, round(test.median, 3), test.ci_low, test.ci_high, round(test.p * 1024, 6)
      (9, 0.25, 0.1, 0.5, 11.0)
    """
    ordered = np.sort(np.asarray(differences, np.float64))
    n, above, below = len(ordered), int((ordered > 0).sum()), int((ordered < 0).sum())
    if not n:
        return SignTest(0, 0, 0, *[float("nan")] * 4)
    # Of N fair coins the chance of at least so many heads, which is that of at most N minus so many.
    greater, less = (float(special.bdtr(n - count, n, 0.5)) for count in (above, below))
    p = greater if alternative == "greater" else min(1.0, 2 * min(greater, less))
    # The k-th from either end, with the largest k for which both tails together are at most 1 - level.
    outside = int((2 * special.bdtr(np.arange(n // 2 + 1), n, 0.5) <= 1 - level).sum())
    low, high = (ordered[outside - 1], ordered[n - outside]) if outside else (-np.inf, np.inf)
    return SignTest(n, above, below, float(np.median(ordered)), float(low), float(high), p)
