"""`Importance`: the result of a study, as a record of arrays. `importance_forms` makes it into tables and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
from flax import struct
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json
from cpi_jax.statistics.importance_forms import (
    fields_of_json,
    fields_of_table,
    json_of,
    labelled_arrays,
    table_of_metric,
)
from cpi_jax.wording import counted, html_paragraphs, html_table, ranking, ranking_cells

if TYPE_CHECKING:
    import xarray as xr

UNCHECKED = "unchecked"
_LETTERS = 60  # of a concept's name in a notebook


@struct.dataclass
class Importance:
    """Signed importances of F features by M metrics over D draws, with their uncertainty; a pytree that `summarize` makes.

    A per-class metric counts as one metric for each class. Importances are drops: higher means that the classifier needs
    the concept, and a negative one that it does better when the concept is shuffled.

    Attributes:
      per_draw: importance in every draw, [M, D, F].
      value: the estimate, the mean over draws, [M, F].
      error: standard error by the infinitesimal jackknife, [M, F].
      ci_low, ci_high: the interval, [M, F].
      p: p-value, against importance <= 0 unless `alternative` says two-sided, [M, F].
      p_holm, p_bh: p adjusted over the ranked features by Holm and by Benjamini-Hochberg, [M, F].
      p_bootstrap: (1 + #{repeats <= 0}) / (B + 1), or its two-sided form, [M, F].
      rank: 1 for the most important of the ranked features, 0 for the others, [M, F].
      rank_low, rank_high: best and worst rank that the data allow, all together at `level`; 0 for the others, [M, F].
      outranks: [m, a, b] is the share of bootstrap repeats in which a is more important than b, [M, F, F].
      share_of_draws: share of the variance that more draws would reduce (the rest needs more examples), NaN for one
        draw, [M, F].
      dropped: bootstrap repeats that lost a class, [M].
      share_changed: share of captions that a permutation changes, [F].
      share_alone: share of examples without anybody else in their stratum, who are left out, [F].
      num_changed: captions generated for the feature besides the baseline, [F].
      num_new: how many of those combine concepts as no caption of the data does, [F].
      num_impossible: how many hold two values that no caption of the data holds together, [F].
      ranked: whether the feature takes part in the ranking, [F]; a control does not.
      names: of the features.
      metrics: names of the metrics.
      verdicts: of each feature's validity: "pass", "fail", "inconclusive", "not assessed" or "unchecked".
      warnings: what a reader must know.
      level: of the intervals.
      interval: "jackknife" or "bootstrap"; also says which p is meant.
      alternative: "greater" or "two-sided".
    """

    per_draw: Float[Array, "m d f"]
    value: Float[Array, "m f"]
    error: Float[Array, "m f"]
    ci_low: Float[Array, "m f"]
    ci_high: Float[Array, "m f"]
    p: Float[Array, "m f"]
    p_holm: Float[Array, "m f"]
    p_bh: Float[Array, "m f"]
    p_bootstrap: Float[Array, "m f"]
    rank: Int[Array, "m f"]
    rank_low: Int[Array, "m f"]
    rank_high: Int[Array, "m f"]
    outranks: Float[Array, "m f f"]
    share_of_draws: Float[Array, "m f"]
    dropped: Int[Array, " m"]
    share_changed: Float[Array, " f"]
    share_alone: Float[Array, " f"]
    num_changed: Int[Array, " f"]
    num_new: Int[Array, " f"]
    num_impossible: Int[Array, " f"]
    ranked: Bool[Array, " f"]
    names: tuple[str, ...] = struct.field(pytree_node=False)
    metrics: tuple[str, ...] = struct.field(pytree_node=False)
    verdicts: tuple[str, ...] = struct.field(pytree_node=False)
    warnings: tuple[str, ...] = struct.field(pytree_node=False, default=())
    level: float = struct.field(pytree_node=False, default=0.95)
    interval: str = struct.field(pytree_node=False, default="jackknife")
    alternative: str = struct.field(pytree_node=False, default="greater")

    def __repr__(self) -> str:
        """The ranking by the first metric, in a few lines; of traced or batched fields, what it is about."""
        of = f"Importance of {counted(len(self.names), 'concept')} by {self.metrics[0]}"
        if not _holds_numbers(self.value):
            return f"<{of}, traced>"
        if np.ndim(self.value) != 2:
            return f"<{of}, with values {np.shape(self.value)}>"
        heading, *rest = self._sentences()
        return "\n".join([heading, ranking(table_of_metric(self, 0), self.level), *rest])

    def _repr_html_(self) -> str | None:
        """What notebooks show; None, so that they show `__repr__`, of traced or batched fields."""
        if not _holds_numbers(self.value) or np.ndim(self.value) != 2:
            return None
        return self.ranking_html(table_of_metric(self, 0))

    def ranking_html(self, table: pd.DataFrame) -> str:
        """`__repr__` as HTML; `table` is the first metric's, which may have further columns, such as a planted truth."""
        cells, left = ranking_cells(table, self.level, _LETTERS)
        heading, *rest = self._sentences()
        below = [f"... and {left} more in to_frame()", *rest] if left else rest
        return "\n".join([html_paragraphs([heading]), html_table(cells), html_paragraphs(below)])

    def _sentences(self) -> list[str]:
        """What stands above the ranking, and below it."""
        first, *others = self.metrics
        of = (
            f"Importance of {counted(len(self.names), 'concept')} by {first}, {counted(self.per_draw.shape[1], 'draw')}"
        )
        other = f"; to_frame() has {', '.join(others)}, too" if others else ""
        tests = f"p: {self.alternative}, by the {self.interval}{other}"
        return [of, tests, *(f"Warning: {warning}" for warning in self.warnings)]

    def to_frame(self) -> pd.DataFrame:
        """Tidy table, one row per (metric, concept); `rank_valid` is False where the concept's check failed."""
        return pd.concat([table_of_metric(self, m) for m in range(len(self.metrics))], ignore_index=True)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, warnings: tuple[str, ...] = ()) -> Importance:
        """The record of a table that `to_frame` made; further columns are ignored.

        `cpi_jax.read_csv` reads a study's importance.csv as it was written: pandas takes names such as "null" or "007" for
        missing values or numbers.

        Raises:
          InputError: where a column is missing, or concepts' names are no texts.
        """
        return cls(**fields_of_table(frame), warnings=tuple(warnings))

    def to_xarray(self) -> xr.Dataset:
        """Labelled arrays over (metric, draw, concept).

        Raises:
          InputError: where xarray is not installed.
        """
        return labelled_arrays(self)

    def to_json(self) -> str:
        """All fields as JSON; NaN is null."""
        return json_of(self)

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any]) -> Importance:
        """The record that `to_json` wrote.

        Raises:
          InputError: where a field is missing.
        """
        return cls(**fields_of_json(cls, text))


def _holds_numbers(value: Any) -> bool:
    return isinstance(value, (np.ndarray, jax.Array)) and not isinstance(value, Tracer)


def read_importance(path: str | Path) -> Importance:
    """Reads the importance.json of a study's folder.

    Raises:
      InputError: where there is none, or something else; names the file.

    Example:
      A study writes such a file, and other things into it.

      >>> import json, tempfile
      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> labels, weights = concepts[:, 0], jnp.ones(4)
      >>> inferred = cpi_jax.infer(jax.random.key(0), scores, labels, lookup, weights, cpi_jax.accuracy, num_repeats=100)
      >>> written = cpi_jax.summarize(inferred, names=["dog", "frisbee"], metrics=["accuracy"]).to_json()
      >>> path = Path(tempfile.mkdtemp(), "importance.json")
      >>> _ = path.write_text(json.dumps({"importance": json.loads(written)}))
      >>> cpi_jax.read_importance(path).to_frame()[["concept", "metric", "importance", "rank"]].round(4)
         concept    metric  importance  rank
      0      dog  accuracy      0.6667     1
      1  frisbee  accuracy      0.0000     2
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}: a finished study has its importance.json in its folder")
    content = read_json(path)
    if not isinstance(content.get("importance"), dict):
        raise InputError(f"{path} is not the importance.json of a study: it lacks 'importance'")
    return Importance.from_json(content["importance"])
