"""What a study found of several classifiers as text for a terminal, read from their folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.checks_text import describe_advice, describe_checks, is_of_target
from cpi_jax.report.differences_text import shown_differences
from cpi_jax.report.lines import MOST, and_more, wrapped
from cpi_jax.wording import NAME, about, aligned, in_a_line, percent, signed

_SIDE_BY_SIDE = 2  # classifiers in a block of lines
_CONCEPTS = 40  # of a block


def describe_comparison(folder: str | Path) -> str:
    """Rankings side by side, what differs, warnings and checks.

    Args:
      folder: of comparison.json, in which each classifier has a folder of its own.
    """
    folder = Path(folder)
    names = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["classifiers"]
    contents = {name: json.loads((folder / name / "importance.json").read_text(encoding="utf-8")) for name in names}
    record = contents[names[0]]["importance"]
    metric, level = record["metrics"][0], record["level"]
    provenance = json.loads((folder / names[0] / "provenance.json").read_text(encoding="utf-8"))
    return "\n".join(
        [
            *wrapped(f"Note: {provenance['note']}" if provenance.get("note") else ""),
            *wrapped(f"Importance: drop of {metric} when a concept is permuted across captions"),
            *wrapped(f"classifiers, on the same pictures: {', '.join(names)}; {about({**provenance, 'target': ''})}"),
            "",
            *_rankings(folder, names, metric, level),
            *_warnings(contents),
            *describe_target_differences(folder, metric, level),
            *_checks({name: read_csv(folder / name / "checks.csv") for name in names}),
        ]
    )


def describe_target_differences(folder: Path, metric: str, level: float) -> list[str]:
    """The differences between the classifiers by a metric, the surest first; none of a single classifier."""
    table = read_csv(folder / "target_differences.csv")
    rows = table.loc[table["metric"] == metric].sort_values("p", kind="stable")
    if rows.empty:
        return []
    shown = shown_differences(rows[:MOST], "classifier", "classifiers", level).assign(
        differs=["yes" if differs else "not shown" for differs in rows["differs"][:MOST]],
        check=[verdict.upper() if verdict == "fail" else verdict for verdict in rows["verdict"][:MOST]],
    )
    meaning = (
        "Differences of importance, the surest first (paired: the same examples and pictures; two-sided, Holm over "
        "concepts and pairs):"
    )
    return [*wrapped(meaning), *aligned(shown).split("\n"), *and_more(len(rows), "target_differences.csv"), ""]


def _rankings(folder: Path, names: list[str], metric: str, level: float) -> list[str]:
    tables = {name: read_csv(folder / name / "importance.csv") for name in names}
    tables = {name: table.loc[table["metric"] == metric].set_index("concept") for name, table in tables.items()}
    order = tables[names[0]].sort_values("importance", ascending=False, kind="stable").index
    lines = []
    for start in range(0, len(names), _SIDE_BY_SIDE):
        block = names[start : start + _SIDE_BY_SIDE]
        shown = pd.DataFrame(
            {
                "concept": [in_a_line(concept, NAME) for concept in order[:_CONCEPTS]],
                **{in_a_line(name, NAME): [_cell(tables[name].loc[c]) for c in order[:_CONCEPTS]] for name in block},
            }
        )
        lines += [*aligned(shown).split("\n"), *([f"... and {len(order) - _CONCEPTS} more"] * (len(order) > _CONCEPTS))]
        lines.append("")
    legend = (
        f"rank (-: the check failed), importance, {percent(level)} interval over examples; the folder of each classifier "
        "has its p-values and all else"
    )
    return [*lines, *wrapped(legend), ""]


def _cell(row: Any) -> str:
    rank = "" if not row["rank"] else f"{row['rank']}." if row["rank_valid"] else "-"
    return f"{rank:>3} {signed(row['importance'])} ({signed(row['ci_low'])} to {signed(row['ci_high'])})"


def _warnings(contents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Warnings, those of some classifiers alone with their names; how much of the study it is, and why draws ended."""
    of: dict[str, list[str]] = {}
    for name, content in contents.items():
        for warning in content["importance"]["warnings"]:
            of.setdefault(warning, []).append(name)
    lines = []
    for warning, whose in of.items():
        lines += wrapped(f"Warning{'' if len(whose) == len(contents) else f', {chr(44).join(whose)}'}: {warning}")
    first = next(iter(contents.values()))
    if first["unfinished"]:
        lines.append(f"Unfinished: all this is of {first['unfinished']} so far, and so are the intervals")
    if first["stopped"]:
        lines.append(f"Stopped {first['stopped']}")
    return [*lines, ""] if lines else []


def _checks(checks: Mapping[str, pd.DataFrame]) -> list[str]:
    """The checks, those of the detector once, and what to do."""
    parts = []
    for number, (name, table) in enumerate(checks.items()):
        of_target = is_of_target(table)
        if "advice" in table:
            table = table.assign(
                advice=[
                    f"{name}: {advice}" if own and advice else advice for own, advice in zip(of_target, table["advice"])
                ]
            )
        parts.append(table if number == 0 else table.loc[of_target])
    called = {f"classifier {name}": table for name, table in checks.items()}
    return [*describe_checks(called), *describe_advice(pd.concat(parts, ignore_index=True))]
