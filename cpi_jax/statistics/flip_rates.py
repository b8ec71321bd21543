"""How often changing a concept flips the decision, and the mean score at each content: rates and means with intervals.

Both are means over cells (example, value) as permuting deals them (`dealing`). Their errors are the infinitesimal
jackknife's, over examples or clusters; a rate has the interval of Wilson (1927) with the number of examples that would
give its error, so that a rate of 0 has an upper end, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy import special

from cpi_jax.statistics.dealing import Dealing

_MOST_PAIRS = 56  # of an enumerated feature with 8 contents


def flip_rates(
    dealing: Dealing,
    flipped: Float[np.ndarray, "n m"],
    says: Bool[np.ndarray, " q"],
    clusters: Int[np.ndarray, " n"] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of decisions that another value of the feature flips, by what happens to the concept.

    Args:
      dealing: of the feature.
      flipped: the share of draws in which each cell's decision is not that of the own caption, [N, M].
      says: whether each of the feature's values says something, [Q].
      clusters: of the examples, int [N]; None where examples are the sample.
      level: of the intervals.

    Returns:
      One row a direction that occurs: "permuted" (whatever permuting gives, the own value too), "appears", "disappears",
      "changes" (from one thing said to another), and each "a to b" where there are at most 56 of these, with the values
      `own` and `value`, -1 where several are meant; `examples` behind it, `rate`, `ci_low`, `ci_high`.

    Example:
      The decision is whether the concept is there: it flips wherever the concept appears or disappears.

      >>> from cpi_jax.statistics.dealing import deal
      >>> concepts = jnp.array([[0], [0], [1], [1]])
      >>> _, lookup = cpi_jax.plan_variants(concepts[..., None], jnp.eye(1, dtype=bool), np.arange(4))
      >>> dealing = deal(lookup, 0, np.asarray(concepts[:, 0]), np.ones(4))
      >>> flip_rates(dealing, dealing.changed * 1.0, np.array([False, True])).round(3)
          direction  own  value  examples   rate  ci_low  ci_high
      0    permuted   -1     -1         4  0.667   0.131    0.964
      1     appears    0      1         2  1.000   0.012    1.000
      2  disappears    1      0         2  1.000   0.012    1.000
    """
    out = []
    for direction, own, value, among in _directions(dealing, says):
        rate, influence = dealing.mean(flipped, among)
        if rate == rate:
            rate = min(max(rate, 0.0), 1.0)  # rounding
            behind = dealing.weights * (dealing.shares * among).sum(1)
            low, high = share_interval(rate, *_units(influence, behind, clusters), level=level)
            out.append((direction, own, value, int((behind > 0).sum()), rate, low, high))
    return pd.DataFrame(out, columns=["direction", "own", "value", "examples", "rate", "ci_low", "ci_high"])


def mean_scores(
    dealing: Dealing,
    scores: Float[np.ndarray, "n m"],
    clusters: Int[np.ndarray, " n"] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """The mean score at each of a feature's values: of all examples, as if every caption said it.

    Where values are enumerated, each example has every value once (in strata: every value that its stratum has). Of planned
    shuffles it is the mean over recipients to whom they deal the value, who are a random sample of all.

    Args:
      dealing: of the feature.
      scores: of the cells, averaged over draws, [N, M]; that of the own caption at the own value.
      clusters: of the examples, int [N]; None where examples are the sample.
      level: of the intervals.

    Returns:
      One row a value: `value`, `examples` behind it, `score`, `ci_low`, `ci_high`.

    Example:
      >>> from cpi_jax.statistics.dealing import deal
      >>> concepts = jnp.array([[0], [0], [1], [1]])
      >>> _, lookup = cpi_jax.plan_variants(concepts[..., None], jnp.eye(1, dtype=bool), np.arange(4))
      >>> dealing = deal(lookup, 0, np.asarray(concepts[:, 0]), np.ones(4))
      >>> of_examples = np.array([0.0, 0, 1, 1])  # what else the score follows
      >>> mean_scores(dealing, of_examples[:, None] + 2 * dealing.values).round(3)
         value  examples  score  ci_low  ci_high
      0      0         4    0.5  -0.419    1.419
      1      1         4    2.5   1.581    3.419
    """
    out, there = [], dealing.rows >= 0
    if dealing.donors is not None:
        there &= dealing.donors != np.arange(len(dealing.own))[:, None]
    for value in np.unique(dealing.values[there]):
        counts = dealing.weights * (there & (dealing.values == value)).sum(1)
        if not counts.sum() > 0:
            continue
        cells = np.where(there & (dealing.values == value), scores, 0).sum(1) * dealing.weights
        score = cells.sum() / counts.sum()
        influence = (cells - score * counts) / counts.sum()
        low, high = mean_interval(score, *_units(influence, counts, clusters), level=level)
        out.append((int(value), int((counts > 0).sum()), score, low, high))
    return pd.DataFrame(out, columns=["value", "examples", "score", "ci_low", "ci_high"])


def mean_interval(
    value: float, influence: Float[np.ndarray, " g"], behind: Float[np.ndarray, " g"], *, level: float
) -> tuple[float, float]:
    """value -+ Student's t times its error; without limits where one unit alone is behind it.

    Args:
      value: an estimate.
      influence: of each sampling unit, [G].
      behind: the weight of each unit in it, [G].
      level: of the interval.
    """
    units = int((behind > 0).sum())
    if units < 2:
        return -np.inf, np.inf
    reach = special.stdtrit(units - 1, (1 + level) / 2) * np.sqrt(units / (units - 1) * (influence**2).sum())
    return value - reach, value + reach


def share_interval(
    rate: float, influence: Float[np.ndarray, " g"], behind: Float[np.ndarray, " g"], *, level: float
) -> tuple[float, float]:
    """The interval of Wilson (1927) of a rate in [0, 1], for as many examples as would give its jackknife error.

    A rate of 0 or 1 has no error of its own: the number is then the effective one of the units behind it (Kish 1965).
    Student's t stands for the normal quantile, since the error is an estimate.

    Args:
      rate: an estimate.
      influence: of each sampling unit, [G].
      behind: the weight of each unit in it, [G].
      level: of the interval.
    """
    units = int((behind > 0).sum())
    if units < 2:
        return 0.0, 1.0
    t = special.stdtrit(units - 1, (1 + level) / 2)
    variance = units / (units - 1) * (influence**2).sum()
    effective = behind.sum() ** 2 / (behind**2).sum()
    number = rate * (1 - rate) / variance if variance > 1e-12 and 0 < rate < 1 else effective
    centre = (rate + t**2 / (2 * number)) / (1 + t**2 / number)
    reach = t * np.sqrt(rate * (1 - rate) / number + t**2 / (4 * number**2)) / (1 + t**2 / number)
    return (centre - reach if rate > 0 else 0.0), (centre + reach if rate < 1 else 1.0)


def _directions(dealing: Dealing, says: np.ndarray):
    own, value = np.broadcast_to(dealing.own[:, None], dealing.rows.shape), dealing.values
    changed = dealing.changed
    yield "permuted", -1, -1, dealing.rows >= 0
    for direction, before, after in (("appears", False, True), ("disappears", True, False), ("changes", True, True)):
        among = changed & (says[own] == before) & (says[value] == after)
        pairs = np.stack(
            np.divmod(np.flatnonzero(np.bincount(own[among] * len(says) + value[among])), len(says)), axis=1
        )
        one = pairs[0].tolist() if len(pairs) == 1 else [-1, -1]
        if len(pairs):
            yield direction, *one, among
        if direction == "changes" and 1 < len(pairs) <= _MOST_PAIRS:
            for a, b in pairs.tolist():
                yield "a to b", a, b, among & (own == a) & (value == b)


def _units(
    influence: np.ndarray, behind: np.ndarray, clusters: Sequence[int] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Both summed over clusters, where there are any."""
    if clusters is None:
        return influence, behind
    return np.bincount(clusters, influence), np.bincount(clusters, behind)
