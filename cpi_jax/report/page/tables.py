"""Tables of the page: the rankings with their plots, and what differs between groups."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
from markupsafe import Markup

from cpi_jax.report.gaps_text import NAMES as GAPS
from cpi_jax.report.page.forest import axis, row_plot, scale_of_table
from cpi_jax.report.page.numbers import LETTERS, interval, metric_meaning, metric_name, number, p_text
from cpi_jax.report.page.reading import Results
from cpi_jax.wording import in_a_line, signed

ALL = 400  # concepts in the table of the metric that ranks
_FEW = 30  # in the tables of other metrics and of subgroups
_SUBGROUPS = 8
CHECKS = {
    "pass": "✓ pass",
    "fail": "✕ fail",
    "inconclusive": "? not settled",
    "not assessed": "– not looked at",
    "unchecked": "– unchecked",
}


@dataclasses.dataclass(frozen=True)
class View:
    """One ranking: by a metric, of all examples or of a subgroup; `rows` are dicts of what each cell shows."""

    title: str
    metric: str
    meaning: str
    subgroup: str
    rows: list[dict[str, Any]]
    axis: Markup
    left_out: int
    has_truth: bool


def find_views(results: Results) -> list[View]:
    """By the metric that ranks, by the others, and by the one that ranks within each subgroup."""
    metrics = results.record["metrics"]
    views = [_view(results, results.ranking(m), m, "", ALL if m == metrics[0] else _FEW) for m in metrics]
    if "subgroups" in results.tables:
        table = results.tables["subgroups"]
        table = table.loc[table["metric"] == metrics[0]]
        for name, rows in list(table.groupby("subgroup", sort=False))[:_SUBGROUPS]:
            rows = rows.sort_values("importance", ascending=False, kind="stable")
            views.append(_view(results, rows, metrics[0], str(name), _FEW))
    return views


def count_left_out(results: Results) -> int:
    """Subgroups that have no ranking on the page."""
    return (
        max(0, results.tables["subgroups"]["subgroup"].nunique() - _SUBGROUPS) if "subgroups" in results.tables else 0
    )


def _view(results: Results, table: pd.DataFrame, metric: str, subgroup: str, most: int) -> View:
    scale = scale_of_table(table)
    draws = [name for name in table if str(name).startswith("draw_")]
    alpha = 1 - results.level
    rows = []
    row: Any
    for row, of_draws in zip(table[:most].itertuples(), table[draws][:most].to_numpy(float).tolist()):
        mark = "failed" if row.verdict == "fail" else "shown" if row.p_holm <= alpha else "open"
        truth = getattr(row, "oracle", None)
        rows.append(
            {
                "concept": in_a_line(row.concept, LETTERS),
                "rank": str(row.rank) if row.rank and row.rank_valid else "–",
                "rank_key": row.rank if row.rank and row.rank_valid else 10**6,
                "ranks": _ranks(row.rank_low, row.rank_high) if row.rank else "control",
                "importance": row.importance,
                "importance_text": number(row.importance),
                "interval": interval(row.ci_low, row.ci_high),
                "width_key": row.ci_low,
                "p": row.p if row.p_holm != row.p_holm else row.p_holm,
                "p_text": p_text(row.p if row.p_holm != row.p_holm else row.p_holm),
                "verdict": row.verdict,
                "check": CHECKS.get(row.verdict, row.verdict),
                "plot": row_plot(scale, row.importance, row.ci_low, row.ci_high, mark, of_draws, truth),
                "truth_text": "" if truth is None else number(truth),
            }
        )
    title = metric_name(metric) + (f", {in_a_line(subgroup, 40)}" if subgroup else "")
    return View(
        title=title, metric=metric_name(metric), meaning=metric_meaning(metric), subgroup=subgroup, rows=rows,
        axis=axis(scale), left_out=len(table) - len(rows), has_truth="oracle" in table,
    )  # fmt: skip


def _ranks(low: int, high: int) -> str:
    return f"{low} to {high}" if low < high else str(low)


def differences(results: Results) -> dict[str, Any] | None:
    """Importances that differ between subgroups; None where nothing was compared."""
    if "differences" not in results.tables:
        return None
    table = results.tables["differences"]
    table = table.loc[table["metric"] == results.metric]
    if table.empty:
        return None
    return _shown(table, str(table["between"].iloc[0]), "group", "against")


def target_differences(table: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Importances that differ between classifiers."""
    if "metric" in table:
        table = table.loc[table["metric"] == metric]
    return _shown(table, "classifiers", "classifier", "against")


def _shown(table: pd.DataFrame, between: str, group: str, against: str) -> dict[str, Any]:
    rows = table.loc[table["differs"]].sort_values("p", kind="stable")[:_FEW]
    return {
        "between": in_a_line(between, LETTERS),
        "compared": len(table),
        "rows": [
            {
                "concept": in_a_line(row["concept"], LETTERS),
                "groups": f"{in_a_line(str(row[group]), 40) or 'nothing'} minus "
                f"{in_a_line(str(row[against]), 40) or 'nothing'}",
                "difference": signed(row["difference"], 3).replace("-", "−"),
                "interval": interval(row["ci_low"], row["ci_high"]),
                "p": p_text(row["p_holm"]),
            }
            for _, row in rows.iterrows()
        ],
    }


def gaps(results: Results) -> dict[str, Any] | None:
    """Gaps of the classifier between groups, and what of each goes when a concept is shuffled; None without gaps.csv."""
    if "gaps" not in results.tables:
        return None
    table = results.tables["gaps"]
    own = table.loc[(table["concept"] == "") & table["ci_low"].notna()]
    parts = table.loc[(table["concept"] != "") & (table["p_holm"] <= 1 - results.level)].sort_values("p", kind="stable")

    def described(row: Any) -> dict[str, str]:
        return {
            "concept": in_a_line(row.concept, LETTERS) if row.concept else "",
            "gap": GAPS.get(row.metric) or str(row.metric),
            "groups": f"{in_a_line(row.group, 40) if row.group else 'nothing'} minus "
                f"{in_a_line(row.against, 40) if row.against else 'nothing'}",
            "estimate": number(row.estimate),
            "interval": interval(row.ci_low, row.ci_high),
        }  # fmt: skip

    return {
        "between": in_a_line(str(table["between"].iloc[0]), LETTERS) if len(table) else "",
        "own": [described(row) for row in own[:_FEW].itertuples()],
        "parts": [described(row) for row in parts[:_FEW].itertuples()],
    }


def interactions(results: Results) -> list[dict[str, str]]:
    """Pairs of concepts whose joint importance is not the sum of theirs; the surest first."""
    if "interactions" not in results.tables:
        return []
    table = results.tables["interactions"]
    table = table.loc[table["metric"] == results.metric].sort_values("p", kind="stable")
    return [
        {
            "pair": in_a_line(row.concept, 2 * LETTERS),
            "importance": number(row.importance),
            "interval": interval(row.ci_low, row.ci_high),
            "p": p_text(row.p_holm),
        }
        for row in table[:_FEW].itertuples()
    ]


def shares(results: Results) -> list[dict[str, str]]:
    """Importances as shares of what the classifier knows, where they were asked for."""
    if "shares" not in results.tables:
        return []
    table = results.tables["shares"]
    table = table.loc[(table["metric"] == results.metric) & table["share"].notna()].sort_values(
        "share", ascending=False
    )
    return [
        {
            "concept": in_a_line(row.concept, LETTERS),
            "share": f"{100 * row.share:.0f}%".replace("-", "−"),
            "interval": f"{100 * row.ci_low:.0f}% to {100 * row.ci_high:.0f}%".replace("-", "−"),
        }
        for row in table[:_FEW].itertuples()
    ]
