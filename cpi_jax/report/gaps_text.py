"""Gaps between groups as lines of text: how large they are, and which concepts they come from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.lines import MOST, and_more, wrapped
from cpi_jax.wording import NAME, aligned, in_a_line, p_value, percent, signed

NAMES = {
    "tpr_gap": "true-positive rate",
    "fpr_gap": "false-positive rate",
    "positive_rate_gap": "positive rate",
    "auroc_gap": "AUROC",
    "calibration_gap": "calibration (predicted minus observed)",
    "equalized_odds_difference": "equalised odds",
    "demographic_parity_difference": "demographic parity",
}


def describe_gaps(workdir: Path, level: float) -> list[str]:
    """The gaps of every group, and the concepts whose part of them is shown to differ from 0; none without gaps.csv."""
    if not (workdir / "gaps.csv").exists():
        return []
    gaps, lines = read_csv(workdir / "gaps.csv"), []
    largest = gaps.loc[gaps["metric"].isin(["equalized_odds_difference", "demographic_parity_difference"])]
    gaps = gaps.drop(index=largest.index)
    own = gaps.loc[gaps["concept"] == ""]
    groups = own.drop_duplicates("group")
    for row in groups[:MOST].itertuples():
        of_group = own.loc[own["group"] == row.group]
        said = "; ".join(
            f"{NAMES[gap.metric]} {signed(gap.estimate, 3)} ({signed(gap.ci_low, 3)} to {signed(gap.ci_high, 3)})"
            for gap in of_group.itertuples()
        )
        lines += wrapped(f"Gaps, {_said(row.between)} {_said(row.group)} minus {_said(row.against)}: {said}")
    lines += and_more(len(groups), "gaps.csv")
    said = ", ".join(f"{NAMES[row.metric]} {row.estimate:.3f}" for row in largest.itertuples())
    lines += wrapped(
        f"Largest between any two groups, without an interval since a maximum is above 0 by chance: {said}; intervals at "
        f"{percent(level)} (gaps.csv)"
    )
    parts = gaps.loc[(gaps["concept"] != "") & (gaps["p_holm"] <= 1 - level)].sort_values("p", kind="stable")
    if parts.empty:
        return [*lines, "No concept is shown to have a part in them (Holm)", ""]
    rows = parts[:MOST]
    shown = pd.DataFrame(
        {
            "concept": [in_a_line(concept, NAME) for concept in rows["concept"]],
            "gap of": [NAMES[metric].partition(" (")[0] for metric in rows["metric"]],
            "group": [in_a_line(group, NAME) or "nothing" for group in rows["group"]],
            "goes when permuted": [signed(part, 3) for part in rows["estimate"]],
            "interval": [
                f"{signed(low, 3)} to {signed(high, 3)}" for low, high in zip(rows["ci_low"], rows["ci_high"])
            ],
            "holm": [p_value(p) for p in rows["p_holm"]],
            "check": [verdict.upper() if verdict == "fail" else verdict for verdict in rows["verdict"]],
        }
    )
    meaning = (
        "Concepts that gaps come from, as far as is shown (Holm-corrected, two-sided): what of a gap goes when permuted"
    )
    return [*lines, *wrapped(meaning), *aligned(shown).split("\n"), *and_more(len(parts), "gaps.csv"), ""]


def _said(name: str) -> str:
    return in_a_line(name, NAME) if name else "nothing"
