"""The score tables of a store in a plan's order: those of an extended study hold more rows than its plan asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from cpi_jax.store.store import Store


@dataclasses.dataclass(frozen=True)
class PlanScores:
    """Where the scores of a plan's variants are.

    Attributes:
      store: of the study.
      rows: row of the tables of each of the V variants, int64 [V]; -1 where a readonly store has none.
      identity: what the store knows the study by.
    """

    store: Store
    rows: np.ndarray
    identity: Mapping[str, Any]

    @property
    def unit_size(self) -> int:
        """Rows of a work unit."""
        return self.store.unit_size

    def read(self, num_draws: int) -> dict[str, np.ndarray]:
        """Score tables of the first draws, float32 [D, V, C] by scorer, NaN where not done."""
        scores = {name: table[:, self.rows] for name, table in self.store.read_scores(num_draws).items()}
        for table in scores.values():
            table[:, self.rows < 0] = np.nan
        return scores

    def missing(self, draw: int) -> np.ndarray:
        """Whether some scorer has not scored a variant in a draw, bool [V]."""
        tables = list(self.missing_of(draw).values())
        return np.logical_or.reduce(tables) if tables else np.ones(len(self.rows), bool)

    def missing_of(self, draw: int) -> dict[str, np.ndarray]:
        """Whether each scorer has not scored a variant in a draw, bool [V] by scorer."""
        known, out = self.rows >= 0, {}
        for name, table in self.store.read_draw(draw).items():
            lacking = np.asarray(np.isnan(table).any(-1))
            out[name] = np.ones(len(self.rows), bool)
            out[name][known] = lacking[self.rows[known]]
        return out

    def count_done(self, num_draws: int) -> np.ndarray:
        """Images of each draw that are done, int [D]."""
        return np.array([(~self.missing(draw)).sum() for draw in range(num_draws)])

    def in_order(self) -> np.ndarray:
        """The variants in the order of their rows, int64 [V]."""
        return np.argsort(self.rows, kind="stable")


def unscored(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows of tables [V, C] that some scorer has not scored, bool [V]."""
    return np.logical_or.reduce([np.isnan(values).any(-1) for values in scores.values()])
