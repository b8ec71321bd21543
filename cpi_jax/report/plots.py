"""Pictures of a study, made from what is on disk."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

LABELS = {"auroc": "AUROC", "neg_log_loss": "log-likelihood"}


def plot_all(workdir: str | Path) -> None:
    """Draws ranking.png, samples.png and, where there was a detector, independence.png into a finished study's folder."""
    workdir = Path(workdir)
    plot_ranking(workdir)
    checks = pd.read_csv(workdir / "checks.csv")
    if "permuted" in checks:
        plot_independence(workdir, checks)
    plot_samples(workdir)


def plot_ranking(workdir: Path) -> None:
    """Forest plot: signed importance with its interval, one dot per draw, p and ranks, the planted truth where known."""
    record = json.loads((workdir / "importance.json").read_text())["importance"]
    table, metric = pd.read_csv(workdir / "importance.csv"), record["metrics"][0]
    part = table[table.metric == metric].sort_values("importance")
    y = np.arange(len(part))
    figure, axis = plt.subplots(figsize=(8.6, 0.5 * len(part) + 1.7), layout="constrained")
    axis.axvline(0, color="0.6", linewidth=0.8)
    reach = np.maximum([part.importance - part.ci_low, part.ci_high - part.importance], 0)
    label = f"estimate, {record['level']:.0%} interval"
    axis.errorbar(part.importance, y, xerr=reach, fmt="o", color="C0", capsize=3, label=label)
    for d in range(len(record["per_draw"][0])):
        axis.plot(part[f"draw_{d}"], y - 0.22, ".", color="0.55", markersize=4, label="one draw" if d == 0 else None)
    if "oracle" in part:
        axis.plot(part.oracle, y + 0.22, "d", color="C3", markersize=5, label="planted truth")
    failed = part.verdict == "fail"
    axis.set_yticks(y, [name + (" (check FAILED)" if bad else "") for name, bad in zip(part.concept, failed)])
    for place, row in zip(y, part.itertuples()):
        numbers = f"p {_p(row.p)}" + ("" if row.p_holm != row.p_holm else f"   Holm {_p(row.p_holm)}")
        place_in_ranking = f"ranks {row.rank_low}-{row.rank_high}" if row.rank_valid else "rank not valid"
        words = f"{place_in_ranking if row.rank else 'control'}   check: {row.verdict}"
        axis.text(1.01, place, f"{numbers}\n{words}", transform=axis.get_yaxis_transform(), fontsize=7, va="center")
    axis.set_xlabel(f"importance: drop of {LABELS.get(metric, metric)} when the concept is permuted")
    axis.legend(loc="lower right", fontsize=8)
    figure.savefig(workdir / "ranking.png", dpi=150)
    plt.close(figure)


def _p(p: float) -> str:
    return "< .0001" if p < 1e-4 else f"{p:.4f}"


def plot_independence(workdir: Path, checks: pd.DataFrame) -> None:
    """Heat map: how the detector's AUROC for each concept changes when each concept is permuted."""
    part = checks[checks.check == "independent permutation"]
    order = {"index": list(dict.fromkeys(part.permuted)), "columns": list(dict.fromkeys(part.concept))}
    change, follows, verdict, role = (
        part.pivot(index="permuted", columns="concept", values=v).reindex(**order)
        for v in ("change", "auroc_permuted_labels", "verdict", "role")
    )
    f, k = change.shape
    figure, axis = plt.subplots(figsize=(1.15 * k + 2.6, 0.6 * f + 2.2), layout="constrained")
    image = axis.imshow(change, cmap="RdBu_r", vmin=-0.5, vmax=0.5, aspect="auto")
    for i in range(f):
        for j in range(k):
            text = f"{change.iat[i, j]:+.3f}"
            if role.iat[i, j] == "permuted":
                text += f"\nfollows {follows.iat[i, j]:.3f}"
            outcome = {"fail": "\nFAIL", "inconclusive": "\n?"}.get(verdict.iat[i, j], "")
            color = "white" if abs(change.iat[i, j]) > 0.3 else "black"
            axis.text(j, i, text + outcome, ha="center", va="center", fontsize=7, color=color)
    axis.set_xticks(range(k), change.columns, rotation=35, ha="right")
    axis.set_yticks(range(f), change.index)
    axis.set_xlabel("concept that the detector looks for")
    axis.set_ylabel("permuted concept")
    figure.colorbar(image, label="change of AUROC, original captions")
    figure.savefig(workdir / "independence.png", dpi=150)
    plt.close(figure)


def plot_samples(workdir: Path) -> None:
    """Grid: each kept example's real image, its regeneration, and the regeneration with each concept changed."""
    parts = sorted((workdir / "variants.parquet").glob("part-*.parquet"))
    table = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
    kept = sorted(int(path.stem.removeprefix("variant_")) for path in (workdir / "images").glob("variant_*.png"))
    baselines = [row for row in kept if not table.feature[row]]
    if not baselines:
        return
    features = [name for name in dict.fromkeys(table.feature) if name]
    order = list(pd.read_csv(workdir / "importance.csv").concept.drop_duplicates())
    features = [name for name in order if name in features]  # pairs of interactions are left out
    figure, axes = plt.subplots(
        len(baselines),
        2 + len(features),
        figsize=(1.5 * (2 + len(features)), 1.75 * len(baselines) + 0.3),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat:
        axis.axis("off")
    for line, baseline in zip(axes, baselines):
        rows = table[table.example_id == table.example_id[baseline]]
        _show(line[0], workdir / "images" / f"real_{baseline}.png", "real")
        for row in rows[rows.feature.isin(["", *features])].drop_duplicates("feature").itertuples():
            place = 2 + features.index(row.feature) if row.feature else 1
            title = f"{row.feature}\n-> {row.value or 'absent'}" if row.feature else "regenerated"
            _show(line[place], workdir / "images" / f"variant_{row.Index}.png", title)
    figure.savefig(workdir / "samples.png", dpi=130)
    plt.close(figure)


def plot_sheet(path: str | Path, sheet: list[list[tuple[np.ndarray, str]]]) -> None:
    """Lines of pictures with their titles, as `cpi_jax.preview.preview` gives them."""
    width = max(map(len, sheet))
    figure, axes = plt.subplots(
        len(sheet), width, figsize=(1.6 * width, 2.1 * len(sheet)), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for line, pictures in zip(axes, sheet):
        for axis, (image, title) in zip(line, pictures):
            axis.imshow(image)
            axis.set_title("\n".join(textwrap.fill(part, 22) for part in title.split("\n")), fontsize=6.5)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _show(axis: plt.Axes, path: Path, title: str) -> None:
    if path.exists():
        axis.imshow(np.asarray(Image.open(path)))
        axis.set_title(title, fontsize=6.5)
