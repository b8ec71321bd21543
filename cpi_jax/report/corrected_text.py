"""Importances that true pictures correct, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.lines import MOST, and_more, wrapped
from cpi_jax.wording import NAME, aligned, counted, in_a_line, percent, signed


def describe_corrected(workdir: Path, concepts: Sequence[str], metric: str, level: float) -> list[str]:
    """The corrected importances by the first metric, in the order of the ranking; none without corrected.csv."""
    if not (workdir / "corrected.csv").exists():
        return []
    table = read_csv(workdir / "corrected.csv")
    rows = table.loc[table["metric"] == metric].set_index("concept")
    rows = rows.loc[[concept for concept in concepts if concept in rows.index]]
    first = rows[:MOST]
    shown = pd.DataFrame(
        {
            "concept": [in_a_line(concept, NAME) for concept in first.index],
            "generated": [signed(value) for value in first["generated"]],
            "corrected": [signed(value) for value in first["importance"]],
            f"{percent(level)} interval": _intervals(first["ci_low"], first["ci_high"]),
            "pairs alone": _intervals(first["pairs_low"], first["pairs_high"]),
            "lambda": [f"{weight:.2f}" for weight in first["generated_weight"]],
        }
    )
    meaning = (
        f"Corrected by the true pictures of {counted(int(rows['pairs'].iloc[0]), 'example')}: the importance on true "
        "counterfactuals, whatever the generator is worth; lambda: how much the generated pictures count (corrected.csv)"
    )
    return [*wrapped(meaning), *aligned(shown).split("\n"), *and_more(len(rows), "corrected.csv"), ""]


def _intervals(low: pd.Series, high: pd.Series) -> list[str]:
    return [f"{signed(a)} to {signed(b)}" for a, b in zip(low, high)]
