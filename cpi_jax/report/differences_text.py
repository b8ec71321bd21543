"""Importances that differ between subgroups, as lines of text and as marks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.lines import MOST, and_more, wrapped
from cpi_jax.wording import NAME, aligned, in_a_line, p_value, percent, signed


def concepts_that_differ(workdir: Path, metric: str) -> tuple[str, set[str]]:
    """The column of the subgroups, and the concepts whose importance by a metric differs between some of them."""
    rows = _read(workdir, metric)
    if rows is None:
        return "", set()
    return str(rows["between"].iloc[0]), set(rows.loc[rows["differs"], "concept"])


def describe_differences(workdir: Path, metric: str, level: float) -> list[str]:
    """The differences that are shown, the surest first; none without differences.csv."""
    rows = _read(workdir, metric)
    if rows is None:
        return []
    between = in_a_line(str(rows["between"].iloc[0]), NAME)
    differing = rows.loc[rows["differs"]].sort_values("p", kind="stable")
    if differing.empty:
        sentence = (
            f"No importance is shown to differ between the subgroups of {between} (two-sided, Holm over concepts and"
        )
        return [*wrapped(f"{sentence} pairs; differences.csv has all)"), ""]
    shown = aligned(shown_differences(differing[:MOST], "group", between, level))
    meaning = f"Importances that differ between subgroups of {between} (two-sided, Holm over concepts and pairs):"
    return [*wrapped(meaning), *shown.split("\n"), *and_more(len(differing), "differences.csv"), ""]


def shown_differences(rows: pd.DataFrame, minuend: str, between: str, level: float) -> pd.DataFrame:
    """Rows of a table of differences as text.

    Args:
      rows: of the table.
      minuend: the column that says from what `against` is subtracted.
      between: what heads the column of both.
      level: of the intervals.
    """
    return pd.DataFrame(
        {
            "concept": [in_a_line(concept, NAME) for concept in rows["concept"]],
            between: [
                f"{in_a_line(first, NAME)} minus {in_a_line(second, NAME)}"
                for first, second in zip(rows[minuend], rows["against"])
            ],
            "difference": [signed(difference) for difference in rows["difference"]],
            f"{percent(level)} interval": [
                f"{signed(low)} to {signed(high)}" for low, high in zip(rows["ci_low"], rows["ci_high"])
            ],
            "holm": [p_value(p) for p in rows["p_holm"]],
        }
    )


def _read(workdir: Path, metric: str) -> pd.DataFrame | None:
    if not (workdir / "differences.csv").exists():
        return None
    table = read_csv(workdir / "differences.csv")
    return table.loc[table["metric"] == metric]
