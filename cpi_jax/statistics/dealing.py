"""How one feature's values are dealt to the examples: rows, chances, and means over them with their influences, in numpy.

What is a mean over examples needs no metric and no compiler: of numbers x of every cell (example i, value v),

    mean(w) = sum of w_i p_v(w, i) x_iv / sum of w_i p_v(w, i)

and its derivative in an example's weight has a part as recipient and one as donor, both in closed form.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from cpi_jax.plan.variants import Lookup, ShuffledLookup


@dataclasses.dataclass(frozen=True)
class Dealing:
    """What permuting a feature gives each of N examples: M cells, one for every value, or for every planned shuffle.

    Attributes:
      rows: of the score table, int [N, M]; -1 where there is no such caption.
      values: which of the feature's values a cell holds, int [N, M]; the own one where there is no row.
      own: the value that each example has, int [N].
      shares: p_v(w, i), the chance of each cell, [N, M].
      weights: of the examples, [N]; 0 for those without a donor.
      baseline: row of each example's own caption, int [N].
      per_other: each example's weight over that of its donors, [N]; 0 without any.
      stratum: group within which it is dealt, int [N].
      donors: the example that each shuffle takes from, int [N, M]; None where values are enumerated.
    """

    rows: Int[np.ndarray, "n m"]
    values: Int[np.ndarray, "n m"]
    own: Int[np.ndarray, " n"]
    shares: Float[np.ndarray, "n m"]
    weights: Float[np.ndarray, " n"]
    baseline: Int[np.ndarray, " n"]
    per_other: Float[np.ndarray, " n"]
    stratum: Int[np.ndarray, " n"]
    donors: Int[np.ndarray, "n m"] | None

    @property
    def changed(self) -> Bool[np.ndarray, "n m"]:
        """Cells whose caption is another than the example's own, [N, M]."""
        return (self.rows >= 0) & (self.values != self.own[:, None])

    def mean(
        self, cells: Float[np.ndarray, "n m"], among: Bool[np.ndarray, "n m"]
    ) -> tuple[float, Float[np.ndarray, " n"]]:
        """Mean over some of the cells, as often as permuting gives them, and each example's influence on it.

        Args:
          cells: a number of every cell, [N, M].
          among: which cells count, [N, M].

        Returns:
          The mean, NaN where no cell has a chance, and its derivative in every example's bootstrap count, [N].
        """
        among = among & (self.rows >= 0)
        total = float((self.weights[:, None] * self.shares)[among].sum())
        if not total > 0:
            return float("nan"), np.full(len(self.own), np.nan)
        value = float((self.weights[:, None] * self.shares * np.where(among, cells, 0)).sum() / total)
        return value, self._derivative(np.where(among, cells - value, 0.0)) / total

    def _derivative(self, cells: np.ndarray) -> np.ndarray:
        """Of the sum of w_i p_v(w, i) x_iv in each example's count: what it receives, and what it gives."""
        received = (self.shares * cells).sum(1)
        if self.donors is None:
            at, column = self.stratum, self.own
            each = self.per_other[:, None] * cells
            by_value = np.zeros((int(at.max()) + 1, cells.shape[1]))
            np.add.at(by_value, at, each)
            in_all = np.bincount(at, self.per_other * received)
            given = by_value[at, column] - each[np.arange(len(at)), column] - in_all[at] + self.per_other * received
        else:
            terms = self.per_other[:, None] * (cells - received[:, None])
            terms = np.where(self.donors == np.arange(len(cells))[:, None], 0.0, terms)
            given = np.bincount(self.donors.ravel(), terms.ravel(), len(cells))
        return self.weights * (received + given)


def deal(
    lookup: Lookup | ShuffledLookup,
    place: int,
    own: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    stratum: Int[np.ndarray, " n"] | None = None,
) -> Dealing:
    """What permuting one feature of a lookup gives each example.

    Args:
      lookup: where the rows are.
      place: which of the lookup's features.
      own: each example's value of the feature, from 0, int [N].
      weights: of the examples, [N].
      stratum: group within which it is dealt, from 0, int [N]; None for everybody. Planned shuffles have theirs already.

    Example:
      Of three others, one has the first value and two the second.

      >>> concepts = jnp.array([[0], [0], [1], [1]])
      >>> _, lookup = cpi_jax.plan_variants(concepts[..., None], jnp.eye(1, dtype=bool), np.arange(4))
      >>> deal(lookup, 0, np.asarray(concepts[:, 0]), np.ones(4)).shares[0].round(4).tolist()
      [0.3333, 0.6667]
    """
    own, weights, n = np.asarray(own), np.asarray(weights, np.float64), len(weights)
    rows = np.asarray(lookup.rows)[:, place]
    stratum = np.zeros(n, int) if stratum is None else np.asarray(stratum)
    if isinstance(lookup, ShuffledLookup):
        donors = np.asarray(lookup.donors)[:, place]
        values, given = own[donors], np.where(donors == np.arange(n)[:, None], 0.0, weights[donors])
        others = given.sum(1)
        has_donor = others > 0
    else:
        donors, m = None, rows.shape[1]
        values = np.broadcast_to(np.arange(m), rows.shape)
        by_value = np.bincount(stratum * m + own, weights, (int(stratum.max()) + 1) * m).reshape(-1, m)[stratum]
        given = np.maximum(by_value - np.where(values == own[:, None], weights[:, None], 0.0), 0.0)
        # A subtraction leaves a rounding error where nobody else is: count members to know.
        has_donor = np.bincount(stratum, weights > 0)[stratum] - (weights > 0) > 0
        others = given.sum(1)
    others = np.where(has_donor, others, 1.0)
    return Dealing(
        rows=rows,
        values=np.where(rows < 0, own[:, None], values),
        own=own,
        shares=np.where(has_donor[:, None], given / others[:, None], 0.0),
        weights=np.where(has_donor, weights, 0.0),
        baseline=np.asarray(lookup.baseline),
        per_other=np.where(has_donor, weights / others, 0.0),
        stratum=stratum,
        donors=donors,
    )
