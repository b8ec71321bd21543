"""Importances that differ between subgroups or classifiers, as a forest plot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_jax.report.figures import axes_on, beside, dots, legend_above, metric_label
from cpi_jax.report.style import NAME, PLAIN, REFERENCE, styled
from cpi_jax.report.tables import interval_of, rows_of_metric, table_of
from cpi_jax.wording import apart, in_a_line, p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 60  # differences
_COLUMNS = (
    "against", "metric", "concept", "difference", "ci_low", "ci_high", "p", "p_holm", "verdict", "differs",
)  # fmt: skip


def plot_differences(explanation: Any, *, metric: str = "", ax: Any = None) -> Axes:
    """Forest plot: by how much a concept is more important in one subgroup than in another, the surest difference on top.

    A filled mark is of a difference that is shown (two-sided, corrected over concepts and pairs of subgroups), a hollow one
    of a difference that is not.

    Args:
      explanation: what has `differences`, such as an `Explanation`; or those. In the place of `group` (of the column that
        `between` says) they can have `classifier`, of several on the same pictures.
      metric: which one; the first by default.
      ax: matplotlib axes to draw on; by default those of a new figure of pyplot, of a size that fits.

    Returns:
      The axes; differences stand at y = 0, 1, ..., the surest one on top.

    Raises:
      InputError: where there are no two subgroups, or for a metric that there is not.

    Example:
      >>> import pandas as pd
      >>> from matplotlib.figure import Figure  # a notebook shows the figure without it
      >>> differences = pd.DataFrame({"concept": ["dog", "cat"], "difference": [0.2, 0.0], "p": [0.001, 0.9]})
      >>> differences = differences.assign(between="sex", group="M", against="F", metric="auroc", p_holm=[0.002, 0.9])
      >>> differences = differences.assign(ci_low=-0.1, ci_high=0.3, verdict="pass", differs=[True, False])
      >>> ax = cpi_jax.plot_differences(differences, ax=Figure())
      >>> [label.get_text() for label in ax.get_yticklabels()]
      ['cat', 'dog']
    """
    table = table_of(explanation, "differences", _COLUMNS)
    minuend = "classifier" if "classifier" in table else "group"
    rows, metric = rows_of_metric(table_of(table, "differences", (minuend,)), metric)
    shown = rows.sort_values("p", kind="stable")[:_MOST][::-1]
    y, differs = np.arange(len(shown)), shown["differs"].to_numpy(bool)
    with styled():
        ax = axes_on(ax, (8.6, 0.42 * len(shown) + 1.8))
        ax.axvline(0, color=REFERENCE, linewidth=0.8, zorder=0)
        reach = np.maximum([shown["difference"] - shown["ci_low"], shown["ci_high"] - shown["difference"]], 0)
        dots(ax, shown["difference"][differs], y[differs], reach[:, differs], f"differs, {interval_of(explanation)}")
        dots(ax, shown["difference"][~differs], y[~differs], reach[:, ~differs], "not shown to differ", hollow=True)
        concepts = _labels(shown["concept"], NAME)
        groups = _labels([*shown[minuend], *shown["against"]], NAME)
        pairs = [f"{groups[group]} minus {groups[against]}" for group, against in zip(shown[minuend], shown["against"])]
        several = len(set(pairs)) > 1
        failed = [" (check FAILED)" * (verdict == "fail") for verdict in shown["verdict"]]
        names = [f"{concepts[concept]}{words}" for concept, words in zip(shown["concept"], failed)]
        ax.set_yticks(y, [f"{name}\n{pair}" for name, pair in zip(names, pairs)] if several else names, **PLAIN)
        ax.set_ylim(-0.7, len(shown) - 0.3)
        for place, row in enumerate(shown.to_dict("records")):
            holm = "" if row["p_holm"] != row["p_holm"] else f"   Holm {p_value(row['p_holm'])}"
            differs = "differs   " if row["differs"] else ""
            beside(ax, place, f"p {p_value(row['p'])}{holm}\n{differs}check: {row['verdict']}")
        between = "classifiers" if "between" not in shown else f"subgroups of {shown['between'].iloc[0]}"
        which = f" between {in_a_line(between, 2 * NAME)}" if several else f", {pairs[0]}"
        ax.set_xlabel(f"difference of importance{which} (drop of {metric_label(metric)})", **PLAIN)
        legend_above(ax)
        if len(rows) > _MOST:
            ax.set_title(f"the {_MOST} surest of {len(rows)} differences", pad=20)
    return ax


def _labels(names: Iterable[str], most: int) -> dict[str, str]:
    """What each name is called in the figure."""
    names = list(dict.fromkeys(names))
    return dict(zip(names, apart([str(name) for name in names], most)))
