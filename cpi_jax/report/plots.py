"""Figures of a finished study, made from what is on disk: the ranking, and how independent the permutation is."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.differences_text import concepts_that_differ
from cpi_jax.report.figures import plain_names, save_figure
from cpi_jax.report.sheets import plot_samples
from cpi_jax.wording import about, in_a_line, p_value, percent, signed

LABELS = {"auroc": "AUROC", "neg_log_loss": "log-likelihood"}
_NAME = 32  # letters of a concept's name
_MOST = 100  # concepts in a ranking or a heat map
_WRITTEN = 14  # concepts, up to which numbers fit into a heat map's cells


def plot_all(workdir: str | Path, besides: str = "") -> None:
    """Draws ranking.png, samples.png and, where there was a detector, independence.png into a finished study's folder.

    Args:
      workdir: the folder.
      besides: "svg" or "pdf" for files of that kind, too.
    """
    workdir = Path(workdir)
    plot_ranking(workdir, besides)
    checks = read_csv(workdir / "checks.csv")
    if "permuted" in checks:
        plot_independence(workdir, checks, besides)
    plot_samples(workdir, besides)


def plot_ranking(workdir: Path, besides: str = "") -> None:
    """Forest plot: signed importance with its interval, one dot per draw, p and ranks, the planted truth where known."""
    record = json.loads((workdir / "importance.json").read_text(encoding="utf-8"))["importance"]
    provenance = json.loads((workdir / "provenance.json").read_text(encoding="utf-8"))
    table, metric = read_csv(workdir / "importance.csv"), record["metrics"][0]
    part = table.loc[table["metric"] == metric].sort_values("importance", kind="stable")
    shown, part = f"; the {_MOST} most important of {len(part)} concepts" * (len(part) > _MOST), part[-_MOST:]
    y = np.arange(len(part))
    with plain_names():
        figure = Figure(figsize=(9.2, 0.42 * len(part) + 2.0), layout="constrained")
        axis = figure.subplots()
        axis.axvline(0, color="0.6", linewidth=0.8)
        reach = np.maximum([part.importance - part.ci_low, part.ci_high - part.importance], 0)
        label = f"estimate, {percent(record['level'])} interval"
        axis.errorbar(part.importance, y, xerr=reach, fmt="o", color="C0", capsize=3, label=label)
        for d in range(len(record["per_draw"][0])):
            axis.plot(
                part[f"draw_{d}"], y - 0.22, ".", color="0.55", markersize=4, label="one draw" if d == 0 else None
            )
        if "oracle" in part:
            axis.plot(part.oracle, y + 0.22, "d", color="C3", markersize=5, label="planted truth")
        failed = part.verdict == "fail"
        between, differing = concepts_that_differ(workdir, metric)
        mark = f" (differs by {in_a_line(between, _NAME)})"
        names = [
            in_a_line(name, _NAME) + (" (check FAILED)" if bad else "") + (mark if name in differing else "")
            for name, bad in zip(part.concept, failed)
        ]
        axis.set_yticks(y, names)
        axis.set_ylim(-0.7, len(part) - 0.3)
        row: Any
        for place, row in enumerate(part.itertuples()):
            numbers = f"p {p_value(row.p)}" + ("" if row.p_holm != row.p_holm else f"   Holm {p_value(row.p_holm)}")
            place_in_ranking = f"ranks {row.rank_low}-{row.rank_high}" if row.rank_valid else "rank not valid"
            words = f"{place_in_ranking if row.rank else 'control'}   check: {row.verdict}"
            axis.text(1.01, place, f"{numbers}\n{words}", transform=axis.get_yaxis_transform(), fontsize=7, va="center")
        axis.set_xlabel(f"importance: drop of {LABELS.get(metric, metric)} when the concept is permuted")
        axis.set_title("\n".join(textwrap.wrap(about(provenance) + shown, 90)), fontsize=9, loc="left")
        figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
        save_figure(figure, workdir / "ranking.png", besides, dpi=150)


def plot_independence(workdir: Path, checks: pd.DataFrame, besides: str = "") -> None:
    """Heat map: how the detector's AUROC for each concept changes when each concept is permuted."""
    part = checks.loc[checks["check"] == "independent permutation"]
    permuted, detected = _first(part["permuted"]), _first(part["concept"])
    change, follows, verdict, role = (
        part.pivot(index="permuted", columns="concept", values=v).reindex(index=permuted, columns=detected)
        for v in ("change", "auroc_permuted_labels", "verdict", "role")
    )
    f, k = change.shape
    written = max(f, k) <= _WRITTEN
    width, height = (1.15, 0.6) if written else (0.3, 0.25)
    with plain_names():
        figure = Figure(figsize=(width * k + 4, height * f + 3), layout="constrained")
        axis = figure.subplots()
        image = axis.imshow(change, cmap="RdBu_r", vmin=-0.5, vmax=0.5, aspect="auto")
        for i in range(f):
            for j in range(k):
                outcome = {"fail": "FAIL" if written else "x", "inconclusive": "?"}.get(verdict.iat[i, j], "")
                text = [signed(change.iat[i, j], 3)] if written else []
                if written and role.iat[i, j] == "permuted":
                    text.append(f"follows {follows.iat[i, j]:.3f}")
                color = "white" if abs(change.iat[i, j]) > 0.3 else "black"
                if in_cell := "\n".join([*text, outcome]).strip():
                    axis.text(j, i, in_cell, ha="center", va="center", fontsize=7, color=color)
        axis.set_xticks(range(k), [in_a_line(name, _NAME) for name in change.columns], rotation=35, ha="right")
        axis.set_yticks(range(f), [in_a_line(name, _NAME) for name in change.index])
        axis.set_xlabel(f"concept that the detector looks for ({'' if written else 'x: FAIL, '}?: inconclusive)")
        axis.set_ylabel("permuted concept")
        figure.colorbar(image, label="change of AUROC, original captions")
        save_figure(figure, workdir / "independence.png", besides, dpi=150)


def _first(names: pd.Series) -> list[str]:
    return list(dict.fromkeys(names))[:_MOST]
