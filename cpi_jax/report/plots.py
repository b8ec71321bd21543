"""The figures that lie beside a study's results, made from what is on disk by the functions that users call."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.differences_plot import plot_differences
from cpi_jax.report.figures import head, save_figure
from cpi_jax.report.independence_plot import plot_independence
from cpi_jax.report.ranking_plot import plot_ranking
from cpi_jax.report.sheets import draw_sheet, read_sheet
from cpi_jax.report.style import styled
from cpi_jax.report.tables import read_tables
from cpi_jax.wording import about


def write_figures(workdir: str | Path, besides: str = "") -> None:
    """Writes ranking.png, samples.png and, where there was a detector, independence.png into a finished study's folder.

    Args:
      workdir: the folder.
      besides: "svg" or "pdf" for files of that kind, too.
    """
    workdir = Path(workdir)
    write_ranking(workdir, besides)
    tables = read_tables(workdir)
    with styled(alone=True):
        if "permuted" in tables.checks:
            plot_independence(tables, ax=(figure := Figure()))
            save_figure(figure, workdir / "independence.png", besides, dpi=150)
        if sheet := read_sheet(workdir):
            draw_sheet(sheet, figure := Figure())
            head(figure, f"{_about(workdir)}; below a title: the classifier's score")
            save_figure(figure, workdir / "samples.png", besides, dpi=130)


def write_ranking(workdir: Path, besides: str = "") -> None:
    """Writes ranking.png into a finished study's folder."""
    with styled(alone=True):
        plot_ranking(read_tables(workdir), ax=(figure := Figure()))
        head(figure, _about(workdir))
        save_figure(figure, workdir / "ranking.png", besides, dpi=150)


def write_target_differences(folder: Path, besides: str = "") -> None:
    """Writes target_differences.png beside the table of the differences between classifiers, where that has rows."""
    differences = read_csv(folder / "target_differences.csv")
    if not differences.empty:
        with styled(alone=True):
            plot_differences(differences, ax=(figure := Figure()))
            save_figure(figure, folder / "target_differences.png", besides, dpi=150)


def _about(workdir: Path) -> str:
    return about(json.loads((workdir / "provenance.json").read_text(encoding="utf-8")))
