"""Shares of what the classifier knows, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.lines import MOST, and_more, wrapped
from cpi_jax.wording import NAME, in_a_line, percent


def describe_shares(workdir: Path, concepts: Sequence[str], metric: str, level: float) -> list[str]:
    """The shares by the first metric, in the order of the ranking; none without shares.csv."""
    if not (workdir / "shares.csv").exists():
        return []
    table = read_csv(workdir / "shares.csv")
    rows = table.loc[table["metric"] == metric].set_index("concept")
    known = f"{metric} {rows['baseline'].iloc[0]:.3f}"
    chance = f"{rows['chance'].iloc[0]:.3f} that knowing only the classes' shares gives"
    if rows["share"].isna().all():
        sentence = f"Shares of what the classifier knows are not shown: its {known} is not clearly above the {chance}"
        return [*wrapped(sentence), ""]
    said = "; ".join(
        f"{in_a_line(concept, NAME)} {_percent(rows['share'][concept])} ({_percent(rows['ci_low'][concept])} to "
        f"{_percent(rows['ci_high'][concept])})"
        for concept in concepts[:MOST]
    )
    meaning = f"Share of what the classifier knows ({known} over the {chance}), with {percent(level)} intervals"
    return [*wrapped(f"{meaning}: {said}"), *and_more(len(concepts), "shares.csv"), ""]


def _percent(share: float) -> str:
    return f"{100 * share + 0.0:.0f}%"
