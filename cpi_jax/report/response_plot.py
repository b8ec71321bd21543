"""What the classifier says at each content of a concept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cpi_jax.errors import require_known
from cpi_jax.report.figures import axes_on, legend_above
from cpi_jax.report.style import NAME, PLAIN, SERIES, styled
from cpi_jax.report.tables import interval_of, table_of
from cpi_jax.wording import apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 40  # contents
_COLUMNS = ("concept", "value", "ordered", "output", "examples", "score", "ci_low", "ci_high")


def plot_response(explanation: Any, concept: str, *, ax: Any = None) -> Axes:
    """The mean score at each content of a concept, as if every caption said it, with intervals.

    Counts and ranges come in their order, and a line joins them; other contents are points. A score is a logit.

    Args:
      explanation: an `Explanation`, or its `responses`.
      concept: which one.
      ax: matplotlib axes to draw on; by default those of a new figure of pyplot, of a size that fits.

    Returns:
      The axes; contents stand at x = 0, 1, ... Of a classifier with several outputs each has a curve.

    Raises:
      InputError: for a concept that there is not, or a classifier whose mean scores are not kept.

    Example:
      >>> import pandas as pd
      >>> from matplotlib.figure import Figure  # a notebook shows the figure without it
      >>> responses = pd.DataFrame({"concept": "dogs", "value": ["", "1 dog", "2 dogs"], "score": [-1.0, 0.5, 2.0]})
      >>> responses = responses.assign(ci_low=-1.5, ci_high=2.5, ordered=True, output=0, examples=40)
      >>> ax = cpi_jax.plot_response(responses, "dogs", ax=Figure())
      >>> [label.get_text() for label in ax.get_xticklabels()]
      ['nothing', '1 dog', '2 dogs']
    """
    table = table_of(explanation, "responses", _COLUMNS)
    require_known(concept, "concept", list(dict.fromkeys(table["concept"])))
    rows = table.loc[table["concept"] == concept]
    outputs = list(dict.fromkeys(rows["output"]))
    contents = len(rows) // len(outputs)
    parts = [_most_said(rows.loc[rows["output"] == output]) for output in outputs]
    shown = [content or "nothing" for content in parts[0]["value"]]
    with styled():
        ax = axes_on(ax, (max(4.5, 0.45 * len(shown) + 2), 3.6))
        for n, (output, part) in enumerate(zip(outputs, parts)):
            x = np.arange(len(shown)) + 0.08 * (n - (len(outputs) - 1) / 2)
            color, marker, line = SERIES[n % len(SERIES)]
            reach = np.maximum([part["score"] - part["ci_low"], part["ci_high"] - part["score"]], 0)
            ax.errorbar(
                x, part["score"], yerr=reach, color=color, marker=marker, capsize=3,
                linestyle=line if bool(rows["ordered"].iloc[0]) else "none",
                label=f"mean, {interval_of(explanation)}" if len(outputs) == 1 else f"output {output}",
            )  # fmt: skip
        ax.set_xticks(range(len(shown)), apart(shown, NAME), rotation=35, ha="right", rotation_mode="anchor", **PLAIN)
        ax.set_xlabel(apart([concept], 2 * NAME)[0], **PLAIN)
        ax.set_ylabel("mean score (logit)")
        legend_above(ax)
        if len(shown) < contents:
            ax.set_title(f"the {_MOST} contents with most examples, of {contents}", pad=20)
    return ax


def _most_said(rows: pd.DataFrame) -> pd.DataFrame:
    """The contents with most examples behind them, in the order that they have."""
    return rows.iloc[np.sort(np.argsort(-rows["examples"].to_numpy(), kind="stable")[:_MOST])]
