"""`Importance`: what a study found, as a record of arrays, and its forms for people and other programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from cpi_jax.errors import InputError
from cpi_jax.wording import counted, ranking

if TYPE_CHECKING:
    import xarray as xr

UNCHECKED = "unchecked"


@struct.dataclass
class Importance:
    """Signed importances of F features by M metrics over D draws, with their uncertainty; a pytree.

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
        first, *others = self.metrics
        of = f"Importance of {counted(len(self.names), 'concept')} by {first}"
        if not isinstance(self.value, (np.ndarray, jax.Array)) or isinstance(self.value, jax.core.Tracer):
            return f"<{of}, traced>"
        if np.ndim(self.value) != 2:
            return f"<{of}, with values {np.shape(self.value)}>"
        lines = [
            f"{of}, {counted(self.per_draw.shape[1], 'draw')}",
            ranking(self._frame(0), self.level),
            f"p: {self.alternative}, by the {self.interval}"
            + (f"; to_frame() has {', '.join(others)}, too" if others else ""),
            *(f"Warning: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Tidy table, one row per (metric, concept); `rank_valid` is False where the concept's check failed."""
        frames = [self._frame(m) for m in range(len(self.metrics))]
        return pd.concat(frames, ignore_index=True)

    def _frame(self, m: int) -> pd.DataFrame:
        columns: dict[str, Any] = {"concept": self.names, "metric": self.metrics[m]}
        columns |= {name: np.asarray(getattr(self, name)[m]) for name in _PER_METRIC}
        columns |= {name: np.asarray(getattr(self, name)) for name in _PER_FEATURE}
        share = np.asarray(self.share_changed)
        columns["per_change"] = np.asarray(self.value[m]) / np.where(share > 0, share, np.nan)
        columns["verdict"] = self.verdicts
        columns["rank_valid"] = [v != "fail" for v in self.verdicts]
        columns |= {"level": self.level, "interval": self.interval, "alternative": self.alternative}
        columns["dropped"] = int(self.dropped[m])
        columns |= {f"draw_{d}": np.asarray(row) for d, row in enumerate(self.per_draw[m])}
        columns |= {f"outranks {name}": np.asarray(self.outranks[m, :, f]) for f, name in enumerate(self.names)}
        return pd.DataFrame(columns).rename(columns={"value": "importance"})

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, warnings: tuple[str, ...] = ()) -> Importance:
        """The record of a table that `to_frame` made; further columns are ignored.

        `cpi_jax.read_csv` reads a study's importance.csv as it was written: pandas takes names such as "null" or "007" for
        missing values or numbers.

        Raises:
          InputError: where a column is missing, or concepts' names are no texts.
        """
        frame = frame.rename(columns={"importance": "value"})
        if missing := [name for name in (*_PER_METRIC, *_PER_FEATURE, "verdict", "draw_0") if name not in frame]:
            raise InputError(f"the table lacks the column {missing[0]!r}: it is not one that Importance.to_frame made")
        if no_text := [name for name in frame.concept if not isinstance(name, str)]:
            raise InputError(f"the concept {no_text[0]!r} of the table is no text: read the file with cpi_jax.read_csv")
        parts = [part for _, part in frame.groupby("metric", sort=False)]
        first = parts[0]
        names = tuple(first.concept)
        draws = [c for c in frame if str(c).startswith("draw_")]

        def stacked(columns, dtype=jnp.float32):
            return jnp.stack([jnp.asarray(part[columns].to_numpy(), dtype) for part in parts])

        fields = {name: stacked(name, _dtype(name)) for name in _PER_METRIC}
        fields |= {name: jnp.asarray(first[name].to_numpy(), _dtype(name)) for name in _PER_FEATURE}
        return cls(
            **fields,
            per_draw=stacked(draws).swapaxes(1, 2),
            outranks=stacked([f"outranks {name}" for name in names]),
            dropped=jnp.array([int(part.dropped.iloc[0]) for part in parts], jnp.int32),
            names=names,
            metrics=tuple(str(part.metric.iloc[0]) for part in parts),
            verdicts=tuple(first.verdict),
            warnings=tuple(warnings),
            level=float(first.level.iloc[0]),
            interval=str(first.interval.iloc[0]),
            alternative=str(first.alternative.iloc[0]),
        )

    def to_xarray(self) -> xr.Dataset:
        """Labelled arrays over (metric, draw, concept)."""
        axes = {"m": "metric", "d": "draw", "f": "concept"}
        data = {}
        for field in dataclasses.fields(self):
            if field.metadata.get("pytree_node", True):
                shape = _SHAPES.get(field.name, "m f" if field.name in _PER_METRIC else "f")
                dims = ["concept", "other_concept"] if shape == "m f f" else [axes[a] for a in shape.split()]
                dims = ["metric", *dims] if shape == "m f f" else dims
                data[field.name] = (dims, np.asarray(getattr(self, field.name)))
        coords = {
            "metric": list(self.metrics),
            "concept": list(self.names),
            "other_concept": list(self.names),
            "draw": np.arange(self.per_draw.shape[1]),
            "verdict": ("concept", list(self.verdicts)),
        }
        attributes = {"level": self.level, "interval": self.interval, "alternative": self.alternative}
        import xarray as xr  # only here: it takes a while to import

        return xr.Dataset(data, coords, attributes | {"warnings": list(self.warnings)})

    def to_json(self) -> str:
        """All fields as JSON; NaN is null."""
        content = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            is_array = field.metadata.get("pytree_node", True)
            content[field.name] = _jsonable(np.asarray(value).tolist()) if is_array else value
        return json.dumps(content, indent=2)

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any]) -> Importance:
        """The record that `to_json` wrote."""
        content = json.loads(text) if isinstance(text, str) else text
        if missing := [f.name for f in dataclasses.fields(cls) if f.name not in content]:
            raise InputError(f"the JSON lacks {missing[0]!r}: it is not an Importance that to_json wrote")
        fields = {}
        for field in dataclasses.fields(cls):
            value = content[field.name]
            if field.metadata.get("pytree_node", True):
                value = jnp.asarray(np.array(value, float), _dtype(field.name))
            fields[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**fields)


def read_importance(path: str | Path) -> Importance:
    """Reads a study's importance.json."""
    return Importance.from_json(json.loads(Path(path).read_text())["importance"])


_PER_METRIC = (
    "value", "ci_low", "ci_high", "p", "p_holm", "rank", "rank_low", "rank_high", "error", "p_bh", "p_bootstrap",
    "share_of_draws",
)  # fmt: skip
_PER_FEATURE = ("share_changed", "share_alone", "num_changed", "num_new", "num_impossible", "ranked")
_SHAPES = {"per_draw": "m d f", "outranks": "m f f", "dropped": "m"}


def _dtype(name: str) -> Any:
    if name == "ranked":
        return bool
    return jnp.int32 if name.startswith(("rank", "num", "dropped")) else jnp.float32


def _jsonable(value: Any) -> Any:
    if isinstance(value, list):
        return [_jsonable(v) for v in value]
    return None if value != value else value
