"""An `Importance` as a table, as labelled arrays and as JSON, and the fields of one from a table or JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.errors import InputError
from cpi_jax.extras import import_extra

if TYPE_CHECKING:
    import xarray as xr

    from cpi_jax.statistics.record import Importance

_PER_METRIC = (
    "value", "ci_low", "ci_high", "p", "p_holm", "rank", "rank_low", "rank_high", "error", "p_bh", "p_bootstrap",
    "share_of_draws",
)  # fmt: skip
_PER_FEATURE = ("share_changed", "share_alone", "num_changed", "num_new", "num_impossible", "ranked")
_OTHER_DIMS = {
    "per_draw": ["metric", "draw", "concept"],
    "outranks": ["metric", "concept", "other_concept"],
    "dropped": ["metric"],
}


def table_of_metric(importance: Importance, m: int) -> pd.DataFrame:
    """One row a concept, for one of the metrics."""
    columns: dict[str, Any] = {"concept": importance.names, "metric": importance.metrics[m]}
    columns |= {name: np.asarray(getattr(importance, name)[m]) for name in _PER_METRIC}
    columns |= {name: np.asarray(getattr(importance, name)) for name in _PER_FEATURE}
    share = np.asarray(importance.share_changed)
    columns["per_change"] = np.asarray(importance.value[m]) / np.where(share > 0, share, np.nan)
    columns["verdict"] = importance.verdicts
    columns["rank_valid"] = [verdict != "fail" for verdict in importance.verdicts]
    columns |= {name: getattr(importance, name) for name in ("level", "interval", "alternative")}
    columns["dropped"] = int(importance.dropped[m])
    columns |= {f"draw_{d}": np.asarray(row) for d, row in enumerate(importance.per_draw[m])}
    columns |= {f"outranks {name}": np.asarray(importance.outranks[m, :, f]) for f, name in enumerate(importance.names)}
    return pd.DataFrame(columns).rename(columns={"value": "importance"})


def fields_of_table(table: pd.DataFrame) -> dict[str, Any]:
    """The fields but for the warnings, from the tables of all metrics below each other.

    Raises:
      InputError: where a column is missing, or concepts' names are no texts.
    """
    table = table.rename(columns={"importance": "value"})
    if missing := [name for name in (*_PER_METRIC, *_PER_FEATURE, "verdict", "draw_0") if name not in table]:
        raise InputError(f"the table lacks the column {missing[0]!r}: it is not one that Importance.to_frame made")
    if no_text := [name for name in table["concept"] if not isinstance(name, str)]:
        raise InputError(f"the concept {no_text[0]!r} of the table is no text: read the file with cpi_jax.read_csv")
    parts = [part for _, part in table.groupby("metric", sort=False)]
    first = parts[0]
    names = tuple(first["concept"])
    draws = [column for column in table if str(column).startswith("draw_")]

    def stacked(columns: str | Sequence[Any], dtype: Any = jnp.float32):
        return jnp.stack([jnp.asarray(part[columns].to_numpy(), dtype) for part in parts])

    fields: dict[str, Any] = {name: stacked(name, _dtype(name)) for name in _PER_METRIC}
    fields |= {name: jnp.asarray(first[name].to_numpy(), _dtype(name)) for name in _PER_FEATURE}
    return fields | {
        "per_draw": stacked(draws).swapaxes(1, 2),
        "outranks": stacked([f"outranks {name}" for name in names]),
        "dropped": jnp.array([int(part["dropped"].iloc[0]) for part in parts], jnp.int32),
        "names": names,
        "metrics": tuple(str(part["metric"].iloc[0]) for part in parts),
        "verdicts": tuple(first["verdict"]),
        "level": float(first["level"].iloc[0]),
        "interval": str(first["interval"].iloc[0]),
        "alternative": str(first["alternative"].iloc[0]),
    }


def labelled_arrays(importance: Importance) -> xr.Dataset:
    """Arrays over (metric, draw, concept)."""
    xr = import_extra("xarray", "xarray", "labelled arrays")
    arrays = {}
    for name in _array_names(type(importance)):
        dims = _OTHER_DIMS.get(name) or (["metric", "concept"] if name in _PER_METRIC else ["concept"])
        arrays[name] = (dims, np.asarray(getattr(importance, name)))
    coords = {
        "metric": list(importance.metrics),
        "concept": list(importance.names),
        "other_concept": list(importance.names),
        "draw": np.arange(importance.per_draw.shape[1]),
        "verdict": ("concept", list(importance.verdicts)),
    }
    attributes = {name: getattr(importance, name) for name in ("level", "interval", "alternative")}
    return xr.Dataset(arrays, coords, attributes | {"warnings": list(importance.warnings)})


def json_of(importance: Importance) -> str:
    """All fields as JSON; NaN is null."""
    arrays = _array_names(type(importance))
    content = {}
    for field in dataclasses.fields(importance):
        value = getattr(importance, field.name)
        content[field.name] = _nan_as_none(np.asarray(value).tolist()) if field.name in arrays else value
    return json.dumps(content, indent=2)


def fields_of_json(kind: type[Importance], text: str | Mapping[str, Any]) -> dict[str, Any]:
    """The fields from what `json_of` wrote, or from what JSON reads of it.

    Raises:
      InputError: where one is missing.
    """
    content = json.loads(text) if isinstance(text, str) else text
    names = [field.name for field in dataclasses.fields(kind)]
    if missing := [name for name in names if name not in content]:
        raise InputError(f"the JSON lacks {missing[0]!r}: it is not an Importance that to_json wrote")
    fields = {name: tuple(value) if isinstance(value := content[name], list) else value for name in names}
    for name in _array_names(kind):
        fields[name] = jnp.asarray(np.array(content[name], float), _dtype(name))
    return fields


def _array_names(kind: type[Importance]) -> list[str]:
    fields = dataclasses.fields(kind)
    return [field.name for field in fields if field.metadata.get("pytree_node", True)]


def _dtype(name: str) -> Any:
    if name == "ranked":
        return bool
    return jnp.int32 if name.startswith(("rank", "num", "dropped")) else jnp.float32


def _nan_as_none(value: Any) -> Any:
    if isinstance(value, list):
        return [_nan_as_none(x) for x in value]
    return None if value != value else value
