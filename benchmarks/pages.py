"""What the pages of the benchmarks are written with."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd


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


def save_figure(figure, path: Path) -> None:
    """Writes a figure and closes it; the same figure is the same file."""
    if figure.get_layout_engine() is None:
        figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
