"""The ranking as a forest plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cpi_jax.report.figures import axes_on, beside, dots, legend_above, metric_label
from cpi_jax.report.style import DRAW, NAME, PLAIN, REFERENCE, TRUTH, styled
from cpi_jax.report.tables import interval_of, rows_of_metric, table_of
from cpi_jax.wording import apart, in_a_line, p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 100  # concepts
_COLUMNS = (
    "concept", "metric", "importance", "ci_low", "ci_high", "p", "p_holm", "rank", "rank_low", "rank_high", "verdict",
)  # fmt: skip


def plot_ranking(explanation: Any, *, metric: str = "", ax: Any = None) -> Axes:
    """Forest plot: importances with their intervals, the most important concept on top.

    Beside each concept stand its p-values, the ranks that the data allow and the outcome of its checks. A hollow mark is of
    a concept whose check failed; a small dot is one draw; a diamond the planted truth, where it is known.

    Args:
      explanation: an `Explanation`; an `Importance`, such as that of a subgroup; or a table of `Importance.to_frame`.
      metric: which one; the first by default.
      ax: matplotlib axes to draw on; by default those of a new figure of pyplot, of a size that fits.

    Returns:
      The axes; concepts stand at y = 0, 1, ..., the least important one at 0.

    Raises:
      InputError: for a metric that there is not, or something else than these.

    Example:
      >>> import pandas as pd
      >>> from matplotlib.figure import Figure  # a notebook shows the figure without it
      >>> table = pd.DataFrame({"concept": ["dog", "cat"], "metric": "auroc", "importance": [0.2, 0.0]})
      >>> table = table.assign(ci_low=[0.1, -0.1], ci_high=[0.3, 0.1], p=[0.001, 0.5], p_holm=[0.002, 0.5])
      >>> table = table.assign(rank=[1, 2], rank_low=[1, 2], rank_high=[1, 2], verdict="pass", level=0.95)
      >>> ax = cpi_jax.plot_ranking(table, ax=Figure())
      >>> [label.get_text() for label in ax.get_yticklabels()]
      ['cat', 'dog']
    """
    rows, metric = rows_of_metric(table_of(explanation, "table", _COLUMNS), metric)
    shown = rows.sort_values("importance", kind="stable", na_position="first")[-_MOST:]
    y, failed = np.arange(len(shown)), (shown["verdict"] == "fail").to_numpy()
    with styled():
        ax = axes_on(ax, (9.2, 0.42 * len(shown) + 1.8))
        ax.axvline(0, color=REFERENCE, linewidth=0.8, zorder=0)
        reach = np.maximum([shown["importance"] - shown["ci_low"], shown["ci_high"] - shown["importance"]], 0)
        label = f"estimate, {interval_of(explanation)}"
        dots(ax, shown["importance"][~failed], y[~failed], reach[:, ~failed], label)
        if failed.any():
            dots(ax, shown["importance"][failed], y[failed], reach[:, failed], "check FAILED", hollow=True)
        draws = [name for name in shown if str(name).startswith("draw_")]
        for name in draws if len(draws) > 1 else ():
            label = "one draw" if name == draws[0] else None
            ax.plot(shown[name], y - 0.22, ".", color=DRAW, markersize=4, label=label)
        if "oracle" in shown:
            ax.plot(shown["oracle"], y + 0.22, "d", color=TRUTH, markersize=5, label="planted truth")
        ax.set_yticks(y, _names(explanation, shown, metric), **PLAIN)
        ax.set_ylim(-0.7, len(shown) - 0.3)
        for place, words in enumerate(map(_beside, shown.to_dict("records"))):
            beside(ax, place, words)
        ax.set_xlabel(f"importance: drop of {metric_label(metric)} when the concept is permuted", **PLAIN)
        legend_above(ax)
        if len(rows) > _MOST:
            ax.set_title(f"the {_MOST} most important of {len(rows)} concepts", pad=20)
    return ax


def _names(explanation: Any, shown: pd.DataFrame, metric: str) -> list[str]:
    """The concepts, and what differs between subgroups or failed; in words, since a colour alone says nothing."""
    differences = None if isinstance(explanation, pd.DataFrame) else getattr(explanation, "differences", None)
    differing, mark = set(), ""
    if differences is not None and len(differences):
        of_metric = differences.loc[(differences["metric"] == metric) & differences["differs"]]
        differing = set(of_metric["concept"])
        mark = f" (differs by {in_a_line(str(differences['between'].iloc[0]), NAME)})"
    return [
        name + (" (check FAILED)" if verdict == "fail" else "") + (mark if concept in differing else "")
        for name, concept, verdict in zip(apart(list(shown["concept"]), NAME), shown["concept"], shown["verdict"])
    ]


def _beside(row: dict[str, Any]) -> str:
    numbers = f"p {p_value(row['p'])}" + ("" if row["p_holm"] != row["p_holm"] else f"   Holm {p_value(row['p_holm'])}")
    ranks = f"ranks {row['rank_low']}-{row['rank_high']}" if row["verdict"] != "fail" else "rank not valid"
    return f"{numbers}\n{ranks if row['rank'] else 'control'}   check: {row['verdict']}"
