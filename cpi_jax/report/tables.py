"""The tables that figures show: of an `Explanation`, of a study's folder, or handed over as they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd

from cpi_jax.errors import InputError, require_known
from cpi_jax.files.csv_files import read_csv
from cpi_jax.wording import percent

_WHY_NONE = {
    "checks": "nothing was checked: give explain a detector, and examples with images",
    "responses": "mean scores are kept of classifiers with at most ten outputs",
    "differences": "they need a subgroup column with two contents at least: Statistics(subgroups='COLUMN')",
}


@dataclasses.dataclass(frozen=True)
class Tables:
    """What a study's folder holds, by the names that the same tables have in an `Explanation`; None where it has none."""

    workdir: Path
    table: pd.DataFrame
    checks: pd.DataFrame
    responses: pd.DataFrame | None
    differences: pd.DataFrame | None


def read_tables(workdir: Path) -> Tables:
    """Reads a folder of results."""
    files = {"table": "importance"} | {name: name for name in ("checks", "responses", "differences")}
    paths = {name: workdir / f"{file}.csv" for name, file in files.items()}
    return Tables(workdir, **{name: read_csv(path) if path.exists() else None for name, path in paths.items()})


def table_of(explanation: Any, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """One of the tables of a study.

    Args:
      explanation: an `Explanation`, what `read_tables` read, or the table itself; for "table" an `Importance`, too.
      name: of the attribute that holds it.
      columns: that it must have.

    Raises:
      InputError: where there is none, or it has no rows or lacks a column.
    """
    table = explanation
    if not isinstance(explanation, pd.DataFrame):
        if hasattr(explanation, name):
            table = getattr(explanation, name)
        elif name == "table" and hasattr(explanation, "to_frame"):
            table = explanation.to_frame()
        else:
            raise InputError(f"an Explanation is needed, or its `{name}`, not a {type(explanation).__name__}")
    if table is None or not len(table):
        raise InputError(f"there are no rows in `{name}` to plot: {_WHY_NONE.get(name, 'it is empty')}")
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"the table lacks the column {missing[0]!r}: it is not the `{name}` of an Explanation")
    return table


def rows_of_metric(table: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, str]:
    """The rows of a metric, the first one for "", and its name.

    Raises:
      InputError: for a metric that the table does not have.
    """
    known = list(dict.fromkeys(table["metric"]))
    metric = metric or known[0]
    require_known(metric, "metric", known)
    return table.loc[table["metric"] == metric], metric


def interval_of(explanation: Any) -> str:
    """What the intervals are called, "95% interval"; "interval" where a bare table does not say its level."""
    table = explanation if isinstance(explanation, pd.DataFrame) else getattr(explanation, "table", None)
    if table is None and hasattr(explanation, "to_frame"):
        table = explanation.to_frame()
    if table is None or "level" not in table or not len(table):
        return "interval"
    return f"{percent(table['level'].iloc[0])} interval"
