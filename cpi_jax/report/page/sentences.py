"""The answer in sentences, made of the numbers of the metric that ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from cpi_jax.report.page.numbers import interval, listed, metric_name, number, strong
from cpi_jax.report.page.reading import Results
from cpi_jax.wording import percent


def answer(results: Results) -> list[Markup]:
    """What the classifier relies on, how surely that is ranked, and what it may or may not rely on besides."""
    table, alpha, metric = results.ranking(), 1 - results.level, metric_name(results.metric)
    ranked = table.loc[table["rank"] > 0]
    known = ranked.loc[ranked["verdict"] != "fail"]
    shown = known.loc[known["p_holm"] <= alpha]
    better, used = shown.loc[shown["importance"] < 0], shown.loc[shown["importance"] > 0]
    open_ = known.drop(index=shown.index)
    failed = ranked.loc[ranked["verdict"] == "fail"]
    most = float(failed["importance"].max()) if len(failed) else float("-inf")
    out = [
        _leads(used, known, metric, results, most),
        *_also(used, metric),
        *_directions(used, results),
        *_order(known),
    ]
    if len(better):
        out.append(
            Markup("It does <em>better</em> when {} {} shuffled: {} misleads it.").format(
                _names(better), "is" if len(better) == 1 else "are", "this concept" if len(better) == 1 else "each"
            )
        )
    if len(open_) and len(used):
        out.append(_open(open_, metric))
    if len(failed):
        out.append(
            Markup("{} cannot be judged: {} pictures failed a check (see below), whatever the numbers say.").format(
                _names(failed), "its" if len(failed) == 1 else "their"
            )
        )
    return [*filter(None, out), *_controls(table.loc[table["rank"] == 0], metric, alpha)]


def _leads(used: pd.DataFrame, known: pd.DataFrame, metric: str, results: Results, of_failed: float) -> Markup:
    level = results.level
    if len(used):
        top: Any = used.iloc[0]
        begins = "Of the concepts that can be judged, the" if of_failed > top.importance else "The"
        first = not top.rank_valid or top.rank_high == 1  # else another may be
        return Markup("{} classifier {} on {}: when it is shuffled across captions, {} falls{} by {}.").format(
            begins, "leans most" if first else "relies", strong(top.concept), metric, _from(results), _fall(top, level)
        )
    if known.empty:
        return Markup("Nothing can be said of any concept: the pictures of all of them failed a check (see below).")
    top = known.iloc[0]
    few = "; that is not clearly above 0"
    return Markup(
        "No concept is shown to matter to this classifier. The largest fall of {} is that of {}: {}{}."
    ).format(metric, strong(top.concept), _fall(top, level), few)


def _from(results: Results) -> str:
    """What the metric is without shuffling, where the checks tell."""
    checks = results.checks
    rows = checks.loc[checks["concept"].str.startswith("target: ")] if len(checks) else checks
    if results.metric != "auroc" or len(rows) != 1 or rows["auroc_generated"].isna().any():
        return ""
    return f" from {number(rows['auroc_generated'].iloc[0])}"


def _also(used: pd.DataFrame, metric: str) -> list[Markup]:
    others = used.iloc[1:]
    if others.empty:
        return []
    falls = [
        Markup("{} ({} {})").format(strong(row.concept), number(row.importance), interval(row.ci_low, row.ci_high))
        for row in others.itertuples()
    ]
    return [Markup("It also relies on {}.").format(listed(falls, 6))]


def _directions(used: pd.DataFrame, results: Results) -> list[Markup]:
    """Which concepts raise the one score of a classifier and which lower it, where intervals of its mean do not meet."""
    table = results.tables.get("responses")
    if table is None or table.empty or table["output"].max() > 0:
        return []
    raised, lowered = [], []
    for name in used["concept"]:
        rows = table.loc[table["concept"] == name]
        absent = rows["value"].isin(["", np.nan])
        if len(rows) == 2 and absent.sum() == 1:
            without, named = rows.loc[absent].iloc[0], rows.loc[~absent].iloc[0]
            raised += [strong(name)] * bool(named["ci_low"] > without["ci_high"])
            lowered += [strong(name)] * bool(named["ci_high"] < without["ci_low"])
    said = [
        Markup("{} where captions name {}").format(word, listed(names, 6, "or"))
        for word, names in (("higher", raised), ("lower", lowered))
        if names
    ]
    return [Markup("Its score is {}.").format(Markup(", and ").join(said))] if said else []


def _order(known: pd.DataFrame) -> list[Markup]:
    """Which neighbours in the ranking cannot be told apart; exact, from the ranks that the data allow together."""
    if len(known) < 2 or not known["rank_valid"].all():
        return []
    low, high, out = known["rank_low"].to_numpy(), known["rank_high"].to_numpy(), []
    rank, last = known["rank"].to_numpy(), int(known["rank_high"].max())
    first = 1 if high[0] == 1 else 0
    if first:
        out.append(Markup("Its first place is sure."))
    leading = low == low[first] if first < len(low) else low < 0
    leading[:first] = False
    trailing = high == last
    trailing[:first] = False
    told = {tuple(rank[leading]), tuple(rank[trailing])}
    apart = [
        Markup("ranks {} and {}").format(a[0], a[1]) if len(a) == 2 else Markup("ranks {} to {}").format(a[0], a[-1])
        for a in sorted(told)
        if len(a) > 1 and list(a) == list(range(a[0], a[-1] + 1))
    ]
    if apart:
        out.append(
            Markup("With these data, {} cannot be told apart{}.").format(
                apart[0], Markup(", nor can {}").format(apart[1]) if len(apart) > 1 else ""
            )
        )
    return out


def _open(rows: pd.DataFrame, metric: str) -> Markup:
    most: Any = rows.loc[rows["ci_high"].idxmax()] if rows["ci_high"].notna().any() else rows.iloc[0]
    bound = Markup("these data leave room for a fall of {} by at most {}").format(metric, number(max(most.ci_high, 0)))
    if len(rows) > 1:
        bound += Markup(" (that of {})").format(strong(most.concept))
    return Markup("Nothing shows that {} {}: {}.").format(
        listed([strong(name) for name in rows["concept"]], word="or"), "matters" if len(rows) == 1 else "matter", bound
    )


def _controls(rows: pd.DataFrame, metric: str, alpha: float) -> list[Markup]:
    """Of a phrase that says nothing: what moves the metric by itself."""
    out = []
    row: Any
    for row in rows.itertuples():
        moved = row.ci_low > 0 or row.ci_high < 0
        out.append(
            Markup("As a test of the method, {}, which says nothing, was shuffled too: {} changes by {} {}{}.").format(
                strong(row.concept), metric, number(row.importance), interval(row.ci_low, row.ci_high),
                ": more than nothing, so mistrust importances of this size" if moved else ", as it should be",
            )
        )  # fmt: skip
    return out


def _fall(row: Any, level: float) -> Markup:
    return Markup("<b>{}</b> <span class='ci'>({} interval {})</span>").format(
        number(row.importance), percent(level), interval(row.ci_low, row.ci_high)
    )


def _names(rows: pd.DataFrame) -> Markup:
    return listed([strong(name) for name in rows["concept"]])
