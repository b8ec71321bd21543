"""Verdicts of the checks: tests with a margin.

There are four outcomes. *pass*: the difference is shown to lie within the margin (a two-sided one by two one-sided tests,
Schuirmann 1987). *fail*: it is shown to lie beyond. *inconclusive*: the examples do not decide; `needed` says about how
many would. *not assessed*: no number of examples would, since a class or the real images are missing, or since the
detector is too weak to judge by.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool
from scipy.special import ndtr, ndtri

from cpi_jax.statistics.significance import holm
from cpi_jax.statistics.validity import Estimate, Independence

POWER = 0.8  # of the number of examples that would decide
WEAK = 0.8  # a detector that is shown to have less than this AUROC on real images judges nothing


class Verdicts:
    """Outcome of many tests: "pass", "fail", "inconclusive", or "not assessed" where a number is missing.

    Attributes:
      outcome: [..] of text.
      needed: about how many examples would decide with power .8 were the estimate true, 0 where it is decided, [..].
    """

    def __init__(self, outcome: np.ndarray, needed: np.ndarray):
        self.outcome, self.needed = outcome, needed


def judge(
    excess: np.ndarray,
    error: np.ndarray,
    num_examples: int,
    fewest: np.ndarray | int | None = None,
    alpha: float = 0.05,
) -> Verdicts:
    """Decides for each estimate whether it lies within its margin.

    Passing needs the upper bound of one test at alpha below the margin (all of several must pass, which keeps the joint
    error at alpha). Failing needs the lower bound above it, Holm-corrected over all estimates of this call.

    Args:
      excess: estimate minus margin; for a two-sided margin, |estimate| minus margin.
      error: its standard error.
      num_examples: that the errors come from.
      fewest: examples of the rarer class behind each estimate. An AUROC of 1 has no error of its own, so that errors are
        taken as 1 / (2 fewest) at least; by default as they are.
      alpha: of the tests.
    """
    excess, error = np.asarray(excess, float), np.asarray(error, float)
    if fewest is not None:
        excess = np.where(np.asarray(fewest) > 0, excess, np.nan)  # a class without examples
        error = np.maximum(error, 0.5 / np.maximum(fewest, 1))
    known = np.isfinite(excess) & np.isfinite(error)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(error > 0, excess / error, np.where(excess > 0, np.inf, -np.inf))
    beyond = np.ones(excess.shape)
    beyond[known] = np.asarray(holm(jnp.asarray(ndtr(-z[known]))))
    within = ndtr(z) <= alpha
    outcome = np.where(within, "pass", np.where(beyond <= alpha, "fail", "inconclusive"))
    outcome = np.where(known, outcome, "not assessed")
    strict = -ndtri(alpha / max(known.sum(), 1))
    reach = np.where(excess < 0, -ndtri(alpha), strict) + ndtri(POWER)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        needed = np.ceil(num_examples * (reach * error / np.abs(excess)) ** 2)
    undecided = (outcome == "inconclusive") & np.isfinite(needed)
    return Verdicts(outcome, np.where(undecided, np.maximum(np.minimum(needed, 1e9), num_examples + 1), 0).astype(int))


def judge_independence(
    result: Independence,
    own: Bool[np.ndarray, "f k"],
    concepts: np.ndarray,
    *,
    generation_margin: float,
    leak_margin: float,
) -> Verdicts:
    """Verdict of every (permuted feature, concept), [F, K].

    Nothing is assessed of a concept that the detector is too weak for. Without real images a weak detector cannot be told
    from a generator that does not obey: `follows` passes near 1, and is not assessed below.

    Args:
      result: of `independent_permutation`.
      own: concepts that each feature permutes.
      concepts: presence of each concept in the examples' captions, {0, 1}, [N, K].
      generation_margin: largest shortfall allowed for a concept that is permuted.
      leak_margin: largest change and leak allowed for one that is not.
    """
    own = np.asarray(own, bool)
    parts = [result.change, result.leak]
    excess = [np.where(own, np.nan, np.abs(np.asarray(x.value)) - leak_margin) for x in parts]
    excess.append(np.where(own, np.asarray(result.shortfall.value) - generation_margin, np.nan))
    errors = [np.asarray(x.error) for x in (*parts, result.shortfall)]
    fewest = np.broadcast_to(rarer_class(concepts), own.shape)
    each = judge(np.stack(excess), np.stack(errors), len(concepts), fewest)
    other = np.array([worst(pair) for pair in each.outcome[:2].reshape(2, -1).T]).reshape(own.shape)
    outcome = np.where(own, each.outcome[2], other)
    needed = np.where(own, each.needed[2], each.needed[:2].max(0))
    unknowable = np.broadcast_to(too_weak(result.real, concepts), own.shape)
    if result.real is None:
        unknowable = own & (excess[2] > 0)
    return Verdicts(np.where(unknowable, "not assessed", outcome), np.where(unknowable, 0, needed))


def too_weak(real: Estimate | None, concepts: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """Whether the detector is shown to have an AUROC below `WEAK` on the real images, bool [K].

    Args:
      real: its AUROC there; None without real images, which show nothing.
      concepts: presence of each concept, {0, 1}, [N, K].
      alpha: of each test.
    """
    if real is None:
        return np.zeros(concepts.shape[1], bool)
    error = np.maximum(np.asarray(real.error), 0.5 / np.maximum(rarer_class(concepts), 1))
    return np.asarray(real.value) - ndtri(alpha) * error < WEAK


def rarer_class(labels: np.ndarray) -> np.ndarray:
    """How many examples have the rarer of 0 and 1, int [K], of labels [N, K]."""
    counts = (np.asarray(labels) > 0).sum(0)
    return np.minimum(counts, len(labels) - counts)


SEVERITY = ("pass", "unchecked", "not assessed", "inconclusive", "fail")


def worst(outcomes: np.ndarray | list[str]) -> str:
    """The gravest of several outcomes."""
    return max(outcomes, key=SEVERITY.index)
