"""The validity checks of a study as lines of text: their outcomes, what failed, and what to do."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.lines import MOST, and_more, wrapped
from cpi_jax.wording import NAME, counted, in_a_line, signed


def describe_checks(checks: Mapping[str, pd.DataFrame]) -> list[str]:
    """Both checks, each in a line, and the comparisons that failed; checks.csv has all of them.

    Args:
      checks: of the only classifier, or of several on the same pictures, by what the text calls each.
    """
    first = next(iter(checks.values()))
    lines = ["Checks (-+ is half a 95% interval; checks.csv has every comparison):"]
    parts = {called: table.loc[is_of_target(table)] for called, table in checks.items()}
    parts["the detector"] = first.loc[(first["check"] == "effective generation") & ~is_of_target(first)]
    lines += _describe_generation(parts)
    if "permuted" not in first:
        return [*lines, "Independent permutation: skipped, no detector; the ranks are not validated"]
    return lines + _describe_independence(first.loc[first["check"] == "independent permutation"])


def is_of_target(checks: pd.DataFrame) -> pd.Series:
    """Which rows of checks.csv are of the classifier; the others are of the detector, whichever classifier is explained."""
    if "concept" not in checks:  # there are none
        return pd.Series(False, index=checks.index)
    return checks["concept"].str.startswith("target: ") & (checks["check"] == "effective generation")


def describe_minimality(workdir: Path) -> list[str]:
    """How much of the kept pictures changes in and beside the masks of what is permuted, where there are masks."""
    path = workdir / "images" / "samples.csv"
    table = read_csv(path) if path.exists() else pd.DataFrame()
    if "change_outside" not in table or not len(known := table.dropna(subset=["change_inside", "change_outside"])):
        return []
    inside, outside = known["change_inside"].mean(), known["change_outside"].mean()
    return wrapped(
        f"Minimality, of {counted(len(known), 'kept picture')} with masks: pixels differ from the example's own image by "
        f"{inside:.1f} in the masks of what is permuted and by {outside:.1f} beside them (root mean squares, 0 to 255)"
    )


def describe_advice(checks: pd.DataFrame) -> list[str]:
    """What to do; of a check's undecided comparisons, for the one that needs most examples."""
    if "advice" not in checks:
        return []
    advised = checks.loc[checks["advice"] != ""]
    undecided = advised["verdict"] == "inconclusive"
    most = advised.loc[undecided].sort_values("needed").groupby("check", sort=False).tail(1)
    sentences = list(dict.fromkeys(pd.concat([advised.loc[~undecided], most])["advice"]))
    lines = [line for sentence in sentences[:MOST] for line in wrapped(f"To do: {sentence}")]
    return [*lines, *and_more(len(sentences), "checks.csv")]


def _describe_generation(parts: Mapping[str, pd.DataFrame]) -> list[str]:
    lines = []
    for name, part in parts.items():
        if len(part):
            lines += wrapped(f"Effective generation, {name}: {_outcomes(part)}{_largest_loss(part)}")
            lines += _failures(part, _loss)
    return lines or ["Effective generation: skipped, no real images to compare with"]


def _describe_independence(rows: pd.DataFrame) -> list[str]:
    passing = rows.loc[(rows["role"] == "other") & (rows["verdict"] == "pass")]
    largest = ""
    if len(passing):
        largest = (
            f"; of those that pass, AUROC changes by {passing['change'].abs().max():.3f} and the leak is "
            f"{passing['leak'].abs().max():.3f} at most"
        )
    line = (
        f"Independent permutation, {counted(len(rows), 'pair')} of a permuted and a detected concept: "
        f"{_outcomes(rows)}{largest}"
    )
    return wrapped(line) + _failures(rows, _dependence)


def _outcomes(rows: pd.DataFrame) -> str:
    """ "6 pass, 1 FAIL", and how many examples would decide what is undecided."""
    counts = collections.Counter("FAIL" if verdict == "fail" else verdict for verdict in rows["verdict"])
    outcomes = ", ".join(f"{n} {verdict}" if len(rows) > 1 else verdict for verdict, n in counts.items())
    needed: Any = rows["needed"].max()
    if not needed > 0:
        return outcomes
    return f"{outcomes} (about {counted(needed, 'example')} would decide{' all' * (len(rows) > 1)})"


def _largest_loss(rows: pd.DataFrame) -> str:
    if len(rows) == 1:
        return f"; {_loss(rows.iloc[0])}"
    known = bool(rows["lost"].notna().any())
    worst: Any = rows.loc[rows["lost"].idxmax()] if known else rows.iloc[0]
    name = in_a_line(worst.concept.partition(": ")[2], NAME)
    return f"; the largest loss is that of {name}: AUROC {worst.auroc_real:.3f} real, {worst.auroc_generated:.3f} generated"


def _loss(row: Any) -> str:
    return (
        f"AUROC {row.auroc_real:.3f} real, {row.auroc_generated:.3f} generated, lost {signed(row.lost, 3)} "
        f"-+ {1.96 * row.lost_error:.3f}"
    )


def _dependence(row: Any) -> str:
    if row.role == "other":
        return (
            f"AUROC {signed(row.change, 3)} -+ {1.96 * row.change_error:.3f}, leak {signed(row.leak, 3)} "
            f"-+ {1.96 * row.leak_error:.3f}"
        )
    return f"follows its words with AUROC {row.auroc_permuted_labels:.3f}"


def _failures(rows: pd.DataFrame, describe: Callable[[Any], str]) -> list[str]:
    failed = rows.loc[rows["verdict"] == "fail"]
    lines = []
    row: Any
    for row in failed[:MOST].itertuples():
        name = in_a_line(row.concept.removeprefix("target: ").removeprefix("detector: "), NAME)
        permuted = getattr(row, "permuted", "")
        if permuted and row.role == "other":
            name = f"permuting {in_a_line(permuted, NAME)} moves {name}"
        lines.append(f"  FAIL: {name}: {describe(row)}")
    return [*lines, *(f"  {line}" for line in and_more(len(failed)))]
