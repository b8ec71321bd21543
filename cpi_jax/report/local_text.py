"""Decisions that flip, and mean scores by content, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.lines import MOST, and_more, wrapped
from cpi_jax.wording import NAME, aligned, in_a_line, percent, signed

_DIRECTIONS = ("permuted", "appears", "disappears", "changes")
_LETTERS = 40  # of a content


def describe_flips(workdir: Path, concepts: Sequence[str], level: float) -> list[str]:
    """How often changing a concept flips the decision; none of results without flips.csv.

    Args:
      workdir: of the results.
      concepts: in the order of the ranking.
      level: of the intervals.
    """
    if not (workdir / "flips.csv").exists():
        return []
    flips = read_csv(workdir / "flips.csv")
    flips = flips.loc[flips["direction"].isin(_DIRECTIONS)]
    said = {(row.concept, row.direction): _rate(row) for row in flips.itertuples()}
    shown = [name for name in _DIRECTIONS if name in set(flips["direction"])]
    table = pd.DataFrame(
        {
            "concept": [in_a_line(concept, NAME) for concept in concepts[:MOST]],
            **{name: [said.get((concept, name), "") for concept in concepts[:MOST]] for name in shown},
        }
    )
    meaning = (
        f"Decisions that flip when a concept is permuted, appears, disappears or changes, with {percent(level)} intervals "
        "(local.parquet has every picture)"
    )
    return [*wrapped(meaning), *aligned(table).split("\n"), *and_more(len(concepts), "flips.csv"), ""]


def describe_responses(workdir: Path, concepts: Sequence[str], level: float) -> list[str]:
    """The mean score at each content of the concepts that are counts or ranges; of a classifier with one score."""
    if not (workdir / "responses.csv").exists():
        return []
    responses = read_csv(workdir / "responses.csv")
    if responses.empty or responses["output"].max() > 0 or not responses["ordered"].any():
        return []
    ordered = responses.loc[responses["ordered"]]
    known = [concept for concept in concepts if concept in set(ordered["concept"])]
    lines = wrapped(f"Mean score as if every caption said it, with {percent(level)} intervals (responses.csv):")
    for concept in known[:MOST]:
        rows = ordered.loc[ordered["concept"] == concept]
        curve = "; ".join(
            f"{in_a_line(row.value, _LETTERS) if row.value else 'nothing'} {signed(row.score, 2)} "
            f"({signed(row.ci_low, 2)} to {signed(row.ci_high, 2)})"
            for row in rows.itertuples()
        )
        lines += wrapped(f"{in_a_line(concept, NAME)}: {curve}")
    return [*lines, *and_more(len(known), "responses.csv"), ""]


def _rate(row) -> str:
    low, high = (f"{100 * x:.0f}" for x in (row.ci_low, row.ci_high))
    return f"{100 * row.rate:.0f}% ({low}-{high})"
