"""Pictures of a study, made from what is on disk."""

from __future__ import annotations

import json
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from cpi_jax.files.csv_files import read_csv
from cpi_jax.wording import about, in_a_line, p_value, percent, signed

LABELS = {"auroc": "AUROC", "neg_log_loss": "log-likelihood"}
_NAME = 32  # letters of a concept's name
_MOST = 100  # concepts in a ranking or a heat map
_LINES, _COLUMNS = 12, 30  # of pictures; the first examples and the most important concepts
_WRITTEN = 14  # concepts, up to which numbers fit into a heat map's cells
_TITLE, _TITLE_LINES = 22, 5  # letters in a line above a picture

Picture = tuple[np.ndarray, str]  # uint8 [H, W, 3], and what stands above it


def plot_all(workdir: str | Path, besides: str = "") -> None:
    """Draws ranking.png, samples.png and, where there was a detector, independence.png into a finished study's folder.

    Args:
      workdir: the folder.
      besides: "svg" or "pdf" for files of that kind, too.
    """
    workdir = Path(workdir)
    plot_ranking(workdir, besides)
    checks = read_csv(workdir / "checks.csv")
    if "permuted" in checks:
        plot_independence(workdir, checks, besides)
    plot_samples(workdir, besides)


def plot_ranking(workdir: Path, besides: str = "") -> None:
    """Forest plot: signed importance with its interval, one dot per draw, p and ranks, the planted truth where known."""
    record = json.loads((workdir / "importance.json").read_text(encoding="utf-8"))["importance"]
    provenance = json.loads((workdir / "provenance.json").read_text(encoding="utf-8"))
    table, metric = read_csv(workdir / "importance.csv"), record["metrics"][0]
    part = table[table.metric == metric].sort_values("importance", kind="stable")
    shown, part = f"; the {_MOST} most important of {len(part)} concepts" * (len(part) > _MOST), part[-_MOST:]
    y = np.arange(len(part))
    with _drawing():
        figure = Figure(figsize=(9.2, 0.42 * len(part) + 2.0), layout="constrained")
        axis = figure.subplots()
        axis.axvline(0, color="0.6", linewidth=0.8)
        reach = np.maximum([part.importance - part.ci_low, part.ci_high - part.importance], 0)
        label = f"estimate, {percent(record['level'])} interval"
        axis.errorbar(part.importance, y, xerr=reach, fmt="o", color="C0", capsize=3, label=label)
        for d in range(len(record["per_draw"][0])):
            axis.plot(
                part[f"draw_{d}"], y - 0.22, ".", color="0.55", markersize=4, label="one draw" if d == 0 else None
            )
        if "oracle" in part:
            axis.plot(part.oracle, y + 0.22, "d", color="C3", markersize=5, label="planted truth")
        failed = part.verdict == "fail"
        names = [in_a_line(name, _NAME) + (" (check FAILED)" if bad else "") for name, bad in zip(part.concept, failed)]
        axis.set_yticks(y, names)
        axis.set_ylim(-0.7, len(part) - 0.3)
        for place, row in zip(y, part.itertuples()):
            numbers = f"p {p_value(row.p)}" + ("" if row.p_holm != row.p_holm else f"   Holm {p_value(row.p_holm)}")
            place_in_ranking = f"ranks {row.rank_low}-{row.rank_high}" if row.rank_valid else "rank not valid"
            words = f"{place_in_ranking if row.rank else 'control'}   check: {row.verdict}"
            axis.text(1.01, place, f"{numbers}\n{words}", transform=axis.get_yaxis_transform(), fontsize=7, va="center")
        axis.set_xlabel(f"importance: drop of {LABELS.get(metric, metric)} when the concept is permuted")
        axis.set_title("\n".join(textwrap.wrap(about(provenance) + shown, 90)), fontsize=9, loc="left")
        figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
        _save(figure, workdir / "ranking.png", besides, dpi=150)


def plot_independence(workdir: Path, checks: pd.DataFrame, besides: str = "") -> None:
    """Heat map: how the detector's AUROC for each concept changes when each concept is permuted."""
    part = checks[checks.check == "independent permutation"]
    order = {"index": _first(part.permuted), "columns": _first(part.concept)}
    change, follows, verdict, role = (
        part.pivot(index="permuted", columns="concept", values=v).reindex(**order)
        for v in ("change", "auroc_permuted_labels", "verdict", "role")
    )
    f, k = change.shape
    written = max(f, k) <= _WRITTEN
    width, height = (1.15, 0.6) if written else (0.3, 0.25)
    with _drawing():
        figure = Figure(figsize=(width * k + 4, height * f + 3), layout="constrained")
        axis = figure.subplots()
        image = axis.imshow(change, cmap="RdBu_r", vmin=-0.5, vmax=0.5, aspect="auto")
        for i in range(f):
            for j in range(k):
                outcome = {"fail": "FAIL" if written else "x", "inconclusive": "?"}.get(verdict.iat[i, j], "")
                text = [signed(change.iat[i, j], 3)] if written else []
                if written and role.iat[i, j] == "permuted":
                    text.append(f"follows {follows.iat[i, j]:.3f}")
                color = "white" if abs(change.iat[i, j]) > 0.3 else "black"
                if said := "\n".join([*text, outcome]).strip():
                    axis.text(j, i, said, ha="center", va="center", fontsize=7, color=color)
        axis.set_xticks(range(k), [in_a_line(name, _NAME) for name in change.columns], rotation=35, ha="right")
        axis.set_yticks(range(f), [in_a_line(name, _NAME) for name in change.index])
        axis.set_xlabel(f"concept that the detector looks for ({'' if written else 'x: FAIL, '}?: inconclusive)")
        axis.set_ylabel("permuted concept")
        figure.colorbar(image, label="change of AUROC, original captions")
        _save(figure, workdir / "independence.png", besides, dpi=150)


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
    with _drawing():
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
        _save(figure, Path(path), besides, dpi=130)


def _first(names: pd.Series) -> list[str]:
    return list(dict.fromkeys(names))[:_MOST]


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


@contextmanager
def _drawing() -> Iterator[None]:
    """Names are shown letter by letter, not as mathematics; a sign that the font lacks is a box."""
    with matplotlib.rc_context({"text.parse_math": False, "svg.hashsalt": "cpi_jax"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def _save(figure: Figure, path: Path, besides: str, dpi: int) -> None:
    figure.savefig(path, dpi=dpi)
    if besides:
        undated = {"svg": "Date", "pdf": "CreationDate"}[besides]
        figure.savefig(path.with_suffix(f".{besides}"), dpi=dpi, metadata={undated: None})
