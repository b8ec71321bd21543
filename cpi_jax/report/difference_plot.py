"""target_differences.png: in which concepts classifiers differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.figures import plain_names, save_figure
from cpi_jax.report.plots import LABELS
from cpi_jax.wording import in_a_line, p_value

_NAME = 32  # letters of a concept's name
_PAIRS, _CONCEPTS = 6, 60  # that are drawn


def plot_target_differences(folder: Path, besides: str = "") -> None:
    """Differences of importances by the ranking metric with their intervals, one panel a pair of classifiers.

    Args:
      folder: of target_differences.csv; nothing is drawn where it has no row.
      besides: "svg" or "pdf" for a file of that kind, too.
    """
    table = read_csv(folder / "target_differences.csv")
    if table.empty:
        return
    metric = table["metric"].iloc[0]
    pairs = list(table.loc[table["metric"] == metric].groupby(["classifier", "against"], sort=False))[:_PAIRS]
    concepts = min(len(pairs[0][1]), _CONCEPTS)
    with plain_names():
        figure = Figure(figsize=(4.6 * len(pairs) + 1.5, 0.4 * concepts + 1.6), layout="constrained")
        axes = figure.subplots(1, len(pairs), squeeze=False, sharex=True)[0]
        for axis, ((name, against), rows) in zip(axes, pairs):
            rows = rows[:concepts].iloc[::-1]
            y = np.arange(len(rows))
            reach = np.maximum([rows["difference"] - rows["ci_low"], rows["ci_high"] - rows["difference"]], 0)
            axis.axvline(0, color="0.6", linewidth=0.8)
            axis.errorbar(rows["difference"], y, xerr=reach, fmt="o", color="C0", capsize=3)
            axis.set_yticks(
                y,
                [
                    in_a_line(concept, _NAME) + (" (check FAILED)" if verdict == "fail" else "")
                    for concept, verdict in zip(rows["concept"], rows["verdict"])
                ],
            )
            axis.set_ylim(-0.7, len(rows) - 0.3)
            for place, p in enumerate(rows["p_holm"]):
                text = "" if p != p else f"Holm {p_value(p)}"
                axis.text(1.01, place, text, transform=axis.get_yaxis_transform(), fontsize=7, va="center")
            axis.set_title(f"{in_a_line(name, _NAME)} minus {in_a_line(against, _NAME)}", fontsize=9, loc="left")
            axis.set_xlabel(f"difference of importance (drop of {LABELS.get(metric, metric)})")
        save_figure(figure, folder / "target_differences.png", besides, dpi=150)
