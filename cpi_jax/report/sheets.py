"""Sheets of pictures with their titles: the kept images of a finished study, or any others."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.figures import plain_names, save_figure
from cpi_jax.wording import about, in_a_line

_LINES, _COLUMNS = 12, 30  # of pictures; the first examples and the most important concepts
_TITLE, _TITLE_LINES = 22, 5  # letters in a line above a picture

Picture = tuple[np.ndarray, str]  # uint8 [H, W, 3], and what stands above it


def plot_samples(workdir: Path, besides: str = "") -> None:
    """Grid: each kept example's real image, its regeneration, and the regeneration with each concept changed."""
    if not (workdir / "images" / "samples.csv").exists():
        return
    table = read_csv(workdir / "images" / "samples.csv")
    order = list(dict.fromkeys(read_csv(workdir / "importance.csv").concept))
    shown = [name for name in order if name in set(table.feature)][:_COLUMNS]  # pairs of interactions are left out
    sheet = []
    for _, rows in table.groupby("example", sort=False):
        baseline = rows[rows.feature == ""].iloc[0]
        line = [
            _picture(workdir / "images" / f"real_{baseline.row}.png", f"real{_score(baseline, 'real_')}"),
            _picture(workdir / "images" / f"variant_{baseline.row}.png", f"{baseline.caption}{_score(baseline)}"),
        ]
        for name in shown:
            own = rows[rows.feature == name]
            change = own.iloc[0] if len(own) else None
            title = "" if change is None else f"{name}\n-> {change.value or 'absent'}{_score(change)}"
            line.append(None if change is None else _picture(workdir / "images" / f"variant_{change.row}.png", title))
        sheet.append(line)
    if any(picture is not None for line in sheet for picture in line):
        provenance = json.loads((workdir / "provenance.json").read_text(encoding="utf-8"))
        title = f"{about(provenance)}; below a title: the classifier's score"
        plot_sheet(workdir / "samples.png", sheet[:_LINES], besides, title)


def plot_sheet(path: str | Path, sheet: Sequence[Sequence[Picture | None]], besides: str = "", title: str = "") -> None:
    """Lines of pictures with their titles, as `cpi_jax.cli.preview.preview` gives them; None leaves a place empty."""
    width = max(map(len, sheet))
    with plain_names():
        figure = Figure(figsize=(1.6 * width, 2.1 * len(sheet) + 0.3), layout="constrained")
        axes = figure.subplots(len(sheet), width, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for line, pictures in zip(axes, sheet):
            for axis, picture in zip(line, pictures):
                if picture is not None:
                    axis.imshow(picture[0])
                    axis.set_title("\n".join(map(_short, picture[1].split("\n"))), fontsize=6.5)
        if title:
            figure.suptitle("\n".join(textwrap.wrap(title, 26 * width)), fontsize=8)
        save_figure(figure, Path(path), besides, dpi=130)


def _picture(path: Path, title: str) -> Picture | None:
    try:
        return np.asarray(Image.open(path)), title
    except (OSError, SyntaxError, ValueError):  # none was kept, or it is damaged
        return None


def _score(row: Any, prefix: str = "") -> str:
    """The classifier's score of a picture, and which of several outputs it is."""
    score, output = getattr(row, f"{prefix}score"), getattr(row, f"{prefix}output")
    if score != score:
        return ""
    return f"\n{score:+.2f}" if output != output else f"\noutput {int(output)}: {score:+.2f}"


def _short(line: str) -> str:
    lines = textwrap.wrap(in_a_line(line, _TITLE * _TITLE_LINES), _TITLE) if line else [""]
    return "\n".join(lines[:_TITLE_LINES])
