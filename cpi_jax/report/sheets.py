"""Sheets of pictures with their titles: the kept images of a finished study, or any others."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.figures import figure_on, save_figure
from cpi_jax.report.style import PLAIN, styled
from cpi_jax.wording import in_a_line

_LINES, _COLUMNS = 12, 30  # of pictures; the first examples and the most important concepts
_LETTERS, _TITLE_LINES = 22, 5  # of a title above a picture

Picture = tuple[np.ndarray, str]  # uint8 [H, W, 3], and what stands above it


def plot_samples(explanation: Any, *, figure: Any = None) -> np.ndarray:
    """Kept examples, one a line: the real image, its regeneration, and the regeneration with each concept changed.

    Below a title stands the classifier's score.

    Args:
      explanation: an `Explanation` that has a folder, or the folder.
      figure: an empty matplotlib figure; by default a new one of pyplot, of a size that fits.

    Returns:
      Axes [examples, 2 + concepts]; what was not kept is an empty place.

    Raises:
      InputError: where there is no folder, or no picture in it.

    Example:
      A study keeps such files.

      >>> import tempfile
      >>> from pathlib import Path
      >>> from PIL import Image
      >>> from matplotlib.figure import Figure  # a notebook shows the figure without it
      >>> folder = Path(tempfile.mkdtemp())
      >>> (folder / "images").mkdir()
      >>> for name in ("real_0", "variant_0", "variant_1"):
      ...     Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "images" / f"{name}.png")
      >>> _ = (folder / "importance.csv").write_text("concept\\ndog\\n")
      >>> _ = (folder / "images" / "samples.csv").write_text(
      ...     "row,example,feature,value,caption,score,output,real_score,real_output\\n"
      ...     "0,0,,,a dog,1.5,,1.2,\\n1,0,dog,,an empty scene,-0.5,,1.2,\\n"
      ... )
      >>> axes = cpi_jax.plot_samples(folder, figure=Figure())
      >>> [ax.get_title().split("\\n") for ax in axes[0]]
      [['real', '+1.20'], ['a dog', '+1.50'], ['dog', '-> absent', '-0.50']]
    """
    folder = explanation
    if not isinstance(explanation, (str, os.PathLike)):
        if not hasattr(explanation, "workdir"):
            raise InputError(f"an Explanation is needed, or a study's folder, not a {type(explanation).__name__}")
        if (folder := explanation.workdir) is None:
            raise InputError("this explanation has no folder with pictures: give explain a workdir on this machine")
    if not (sheet := read_sheet(Path(folder))):
        raise InputError(f"{folder} holds no pictures: a study keeps those of Output(sampled_examples=...) examples")
    return draw_sheet(sheet, figure)


def write_sheet(path: str | Path, sheet: Sequence[Sequence[Picture | None]]) -> None:
    """Writes lines of pictures with their titles, as `cli.preview.preview` gives them; None leaves a place empty.

    Args:
      path: a PNG, JPEG, PDF or SVG file, by its ending.
      sheet: the lines.
    """
    from matplotlib.figure import Figure

    with styled(alone=True):
        draw_sheet(sheet, figure := Figure())
        save_figure(figure, Path(path), "", dpi=130)


def draw_sheet(sheet: Sequence[Sequence[Picture | None]], figure: Any) -> np.ndarray:
    """Draws lines of pictures onto a figure; see `figure_on`. Gives the axes, [lines, columns]."""
    width = max(map(len, sheet))
    with styled():
        figure = figure_on(figure, (1.6 * width, 2.1 * len(sheet) + 0.3))
        axes = figure.subplots(len(sheet), width, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for line, pictures in zip(axes, sheet):
            for axis, picture in zip(line, pictures):
                if picture is not None:
                    axis.imshow(picture[0])
                    title = "\n".join(map(_short, picture[1].split("\n")))
                    axis.set_title(title, fontsize=6.5, loc="center", **PLAIN)
    return axes


def read_sheet(workdir: Path) -> list[list[Picture | None]]:
    """The kept pictures of a study's folder, a line an example; none where no picture was kept."""
    if not (workdir / "images" / "samples.csv").exists():
        return []
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
    return sheet[:_LINES] if any(picture is not None for line in sheet for picture in line) else []


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
    lines = textwrap.wrap(in_a_line(line, _LETTERS * _TITLE_LINES), _LETTERS) if line else [""]
    return "\n".join(lines[:_TITLE_LINES])
