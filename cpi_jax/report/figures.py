"""Where figures are drawn, and how they are written, whatever they show."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_jax.errors import InputError
from cpi_jax.files.writing import write_atomically
from cpi_jax.report.style import ESTIMATE, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def axes_on(ax: Any, size: tuple[float, float]) -> Axes:
    """The axes to draw on.

    Args:
      ax: the caller's own axes; None for a new figure of pyplot; an empty `matplotlib.figure.Figure`, which pyplot does not
        know of.
      size: of a new or an empty figure, in inches.

    Raises:
      InputError: for something else, such as an array of axes.
    """
    from matplotlib.axes import Axes

    if isinstance(ax, Axes):
        return ax
    return figure_on(ax, size, "ax must be one matplotlib Axes").add_subplot()


def figure_on(
    figure: Any, size: tuple[float, float], wanted: str = "figure must be a matplotlib Figure"
) -> Figure | SubFigure:
    """The figure to draw on: a new one of pyplot for None, else an empty one or an empty part of one; see `axes_on`."""
    from matplotlib.figure import Figure, SubFigure

    if figure is None:
        import matplotlib.pyplot as plt  # only here: it keeps figures, and chooses how they are shown

        return plt.figure(figsize=size, layout="constrained")
    if not isinstance(figure, (Figure, SubFigure)):
        raise InputError(f"{wanted}, or None for a new figure, not {_named(figure)}")
    if there := figure.get_axes():
        raise InputError(f"the figure has {len(there)} axes already: give one of them, or an empty figure")
    if isinstance(figure, Figure):
        figure.set_size_inches(size)
        if figure.get_layout_engine() is None:
            figure.set_layout_engine("constrained")
    return figure


def dots(ax: Axes, x: Any, y: Any, reach: Any, label: str, *, hollow: bool = False) -> None:
    """Estimates with their intervals, `reach` [2, N] to the left and to the right; hollow ones for what does not count."""
    face = "none" if hollow else ESTIMATE
    ax.errorbar(x, y, xerr=reach, fmt="o", color=ESTIMATE, markerfacecolor=face, capsize=3, label=label)


def beside(ax: Axes, y: float, text: str) -> None:
    """Writes to the right of the axes, at a height of theirs."""
    ax.text(1.01, y, text, transform=ax.get_yaxis_transform(), fontsize=SMALL, va="center")


def legend_above(ax: Axes) -> None:
    """What marks are of, in a line above the axes, where none of them is covered; a title needs `pad=20`."""
    handles, labels = ax.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda n: handles[n] not in ax.containers)  # estimates first
    keys = [handles[n] for n in order], [labels[n] for n in order]
    ax.legend(*keys, loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0.2)


def metric_label(metric: str) -> str:
    """A metric as axes name it."""
    return {"auroc": "AUROC", "neg_log_loss": "log-likelihood"}.get(metric, metric)


def head(figure: Figure, text: str) -> None:
    """Writes above a figure what it is of, at the left, in lines that it is wide enough for."""
    letters = max(30, int(10 * figure.get_size_inches()[0]))
    figure.suptitle("\n".join(textwrap.wrap(text, letters)), x=0.01, ha="left")


def save_figure(figure: Figure, path: Path, besides: str, dpi: int) -> None:
    """Writes a figure to a file of the kind that its ending says and, where `besides` is "svg" or "pdf", to one of that.

    Raises:
      InputError: where it cannot be written, as on a full disk.
    """
    for file in (path, path.with_suffix(f".{besides}")) if besides else (path,):
        kind, buffer = file.suffix.removeprefix("."), io.BytesIO()
        changing = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}.get(kind)  # the same figure, the same file
        figure.savefig(buffer, dpi=dpi, format=kind, metadata={changing: None} if changing else None)
        write_atomically(file, buffer.getvalue())


def _named(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"an array of {shape}" if shape is not None else repr(value)
