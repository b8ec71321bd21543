"""What the pages of the benchmarks are written with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cpi_jax.report.figures import save_figure as write_figure


def markdown_table(frame: pd.DataFrame, formats: dict[str, str] | None = None) -> str:
    """A frame as Markdown; `formats` of its columns, nothing where a cell is missing."""
    formats = formats or {}
    names = list(frame.columns)
    lines = [names, ["---"] * len(names)]
    lines += [
        ["" if pd.isna(row[n]) else formats.get(n, "{}").format(row[n]) for n in names]
        for row in frame.to_dict("records")
    ]
    return "\n".join("| " + " | ".join(str(n).replace("_", " ") for n in line) + " |" for line in lines)


def subplots(lines: int, columns: int, figsize: tuple[float, float], **more: Any) -> tuple[Figure, np.ndarray]:
    """A figure, and its axes [lines, columns]."""
    figure = Figure(figsize=figsize, layout="constrained")
    return figure, figure.subplots(lines, columns, squeeze=False, **more)


def show_picture(ax: Axes, image: np.ndarray) -> None:
    """A picture [H, W, 3] without ticks and frame."""
    ax.imshow(image)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure; the same figure is the same file."""
    write_figure(figure, path, "", dpi=110)
