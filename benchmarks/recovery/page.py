"""The page of the recovery benchmark: Markdown, figures and JSON; every number comes from the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata

from benchmarks.pages import markdown_table, save_figure, show_picture, subplots
from benchmarks.recovery.agreement import MATTERS, PERSISTENCE, SCORES
from benchmarks.recovery.ranking_agreement import OURS
from benchmarks.recovery.record import Gallery, Recovery
from benchmarks.recovery.robustness import WRONG
from cpi_jax.data.shapes import CONCEPTS
from cpi_jax.files.writing import write_atomically
from cpi_jax.report.style import DIVERGING, ESTIMATE, GREEN, ORANGE, PALE, REFERENCE, SEQUENTIAL, SMALL, TRUTH, styled

TEMPLATE = Path(__file__).with_suffix(".md")
GROUPS = {"bottleneck": "Bottlenecks", "network": "End-to-end networks"}
TITLES = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "weighted_kendall": "weighted Kendall",
    "rbo": "RBO",
    "top1": "top-1",
    "top3": "top-3",
}
TARGETS = {
    "pearson_mean": ("mean Pearson correlation with the oracle, bottlenecks", ">= 0.97"),
    "top1_rate": ("most important concept right, bottlenecks", ">= 98 %"),
    "wins_over_gradcam": ("bottlenecks where ours is ahead of GradCAM in Pearson", ">= 95 %"),
    "wins_over_lime": ("bottlenecks where ours is ahead of LIME in Pearson", ">= 95 %"),
    "oracle_coverage": ("95 % intervals that hold the oracle, {few_examples} examples, {draws} draws", ">= 90 %"),
    "cnn_spearman_mean": ("mean Spearman correlation with the planted importance, end-to-end networks", ">= 0.9"),
}


def write_page(found: Recovery, folder: str | Path, command: str) -> None:
    """Writes recovery.md, recovery.json and the figures beside them.

    Args:
      found: of the benchmark.
      folder: made where missing.
      command: that made the run, for the page.
    """
    folder = Path(folder)
    figures = folder / "recovery"
    figures.mkdir(parents=True, exist_ok=True)
    with styled(alone=True):
        _plot_scatter(found, figures / "scatter.png")
        _plot_ranks(found, figures / "ranks.png")
        _plot_gallery(found, found.gallery, figures / "heat_maps.png")
    write_atomically(folder / "recovery.md", page(found, command))
    frames = ("methods", "variants", "robustness", "faults", "generation", "cost", "models")
    content = {"headline": found.headline, "facts": dict(found.facts)}
    content |= {name: json.loads(getattr(found, name).to_json(orient="records")) for name in frames}
    content["truth"] = {group: value.tolist() for group, value in found.truth.items()}
    content["estimates"] = {
        group: {name: np.asarray(getattr(e, name)).tolist() for name in ("value", "error", "low", "high")}
        for group, e in found.estimates.items()
    }
    write_atomically(folder / "recovery.json", json.dumps(content, indent=1))


def page(found: Recovery, command: str) -> str:
    """The Markdown."""
    facts = dict(found.facts)
    rows = []
    for name, (what, target) in TARGETS.items():
        value = found.headline[name]
        shown = f"{value} of {facts['num_models']}" if name.startswith("wins") else f"{value:.3f}"
        rows.append({"what": what.format(**facts), "asked": target, "measured": shown})
    faults = dict.fromkeys(("error", "error_of_sound"), "{:.4f}") | dict.fromkeys(
        ("missed", "missed_by_sound"), "{:.0%}"
    )
    generation = dict.fromkeys(found.generation.columns[1:-1], "{:.4f}")
    return TEMPLATE.read_text().format(
        **facts,
        command=command,
        minutes=facts["seconds"] / 60,
        minutes_generating=facts["seconds_generating"] / 60,
        persistence=PERSISTENCE,
        matters=MATTERS,
        wrong=WRONG,
        judgement=_judgement(found),
        gallery=found.styles["network"][found.gallery.model],
        headline=markdown_table(pd.DataFrame(rows)),
        bottlenecks=_methods(found, "bottleneck"),
        networks=_methods(found, "network"),
        styles=_styles(found),
        robustness=_robustness(found),
        faults=markdown_table(found.faults, faults),
        generation=markdown_table(found.generation, generation),
        cost=markdown_table(found.cost, {"images_generated": "{:,}", "seconds": "{:.0f}"}),
        variants=markdown_table(found.variants, dict.fromkeys(SCORES, "{:.3f}")),
    )


def _judgement(found: Recovery) -> str:
    """Whether the checks fail where importances went wrong."""
    sentences = []
    if found.faults.empty:
        return "No generator was spoilt in this run."
    for world, part in found.faults.groupby("world", sort=False):
        wrong, failed = set(part.concept[part.wrong]), set(part.concept[part.verdict == "fail"])
        sentences.append(
            f"{world[0].upper()}{world[1:]}: {len(wrong & failed)} of the {len(wrong)} concepts that went wrong are "
            f"flagged, and {len(failed - wrong)} others."
        )
    return " ".join(sentences)


def _methods(found: Recovery, group: str) -> str:
    rows = []
    for row in found.methods[found.methods.models == group].to_dict("records"):
        cells = {"method": row["method"], "best variant": row["variant"]}
        cells |= {TITLES[s]: f"{row[s]:.3f} -+ {row[f'{s}_pm']:.3f}" for s in SCORES}
        cells["ours ahead"] = (
            "" if np.isnan(row["ours_ahead"]) else f"{row['ours_ahead']:.0f} of {len(found.truth[group])}"
        )
        rows.append(cells)
    return markdown_table(pd.DataFrame(rows))


def _styles(found: Recovery) -> str:
    part = found.models[found.models.models == "bottleneck"]
    part = part.assign(weights=np.array(found.styles["bottleneck"])[part.model])
    frame = part.pivot_table(index="weights", columns="method", values="pearson", sort=False).reset_index()
    return markdown_table(frame, dict.fromkeys(part.method.unique(), "{:.3f}"))


def _robustness(found: Recovery) -> str:
    frame = found.robustness.rename(columns=TITLES).drop(columns=["what", "examples", "draws"])
    formats = dict.fromkeys(TITLES.values(), "{:.3f}") | dict.fromkeys(("coverage", "population_coverage"), "{:.1%}")
    return markdown_table(frame, formats | {"bias_per_error": "{:+.2f}", "rms_per_error": "{:.2f}"})


def _plot_scatter(found: Recovery, path: Path) -> None:
    figure, axes = subplots(1, len(found.truth), (5.2 * len(found.truth), 5))
    for ax, (group, title) in zip(axes[0], GROUPS.items()):
        truth, e = found.truth[group].ravel(), found.estimates[group]
        value = np.asarray(e.value).ravel()
        distances = np.stack([value - np.asarray(e.low).ravel(), np.asarray(e.high).ravel() - value])
        ends = np.array([min(truth.min(), value.min()), max(truth.max(), value.max())])
        ends += np.array([-0.05, 0.05]) * np.ptp(ends)
        ax.plot(ends, ends, color=REFERENCE, lw=1, zorder=0)
        ax.errorbar(truth, value, distances, fmt="o", ms=2.5, lw=0.4, color=ESTIMATE, ecolor=PALE)
        ax.set(xlabel="oracle: drop of AUROC", ylabel="concept permutation, 95 % interval", title=title, xlim=ends)
    save_figure(figure, path)


def _plot_ranks(found: Recovery, path: Path) -> None:
    methods, groups = list(found.shown["bottleneck"]), list(GROUPS.items())
    figure, axes = subplots(len(groups), len(methods), (2.4 * len(methods), 2.7 * len(groups)))
    k = len(CONCEPTS)
    for row, (group, title) in zip(axes, groups):
        for ax, method in zip(row, methods):
            counts = np.zeros((k, k))
            for truth, value in zip(found.truth[group], found.shown[group][method]):
                ranks = (rankdata(-x, method="ordinal").astype(int) - 1 for x in (truth, value))
                np.add.at(counts, tuple(ranks), 1)
            share = counts / len(found.truth[group])
            ax.imshow(share, vmin=0, vmax=1, cmap=SEQUENTIAL)
            for i, j in np.argwhere(share >= 0.1):
                ax.text(
                    j,
                    i,
                    f"{share[i, j]:.0%}",
                    ha="center",
                    va="center",
                    fontsize=SMALL - 1,
                    color="w" if share[i, j] > 0.6 else "k",
                )
            ax.set(xticks=range(k), yticks=range(k), xticklabels=range(1, k + 1), yticklabels=range(1, k + 1))
            ax.set_title(method, fontsize=9)
        row[0].set_ylabel(f"{title}\ntrue rank")
        row[0].set_xlabel("rank given")
    save_figure(figure, path)


def _plot_gallery(found: Recovery, gallery: Gallery, path: Path) -> None:
    n, names = len(gallery.images), list(gallery.heat)
    figure = Figure(figsize=(2 * n + 4.6, 2 * (1 + len(names))), layout="constrained")
    grid = figure.add_gridspec(1 + len(names), n + 2)
    top = int(np.argmax(found.truth["network"][gallery.model]))
    for row, name in enumerate(["real image", *names]):
        for i in range(n):
            ax = figure.add_subplot(grid[row, i])
            show_picture(ax, gallery.images[i])
            if row:
                heat = gallery.heat[name][i]
                largest = max(np.abs(heat).max(), 1e-12)
                ax.imshow(heat, cmap=DIVERGING, alpha=0.75, vmin=-largest, vmax=largest)
            if gallery.masks[i, top].any():
                ax.contour(gallery.masks[i, top], levels=[0.5], colors="k", linewidths=0.8)
            if i == 0:
                ax.set_ylabel(name, fontsize=9)
    ax = figure.add_subplot(grid[:, n:])
    truth = found.truth["network"][gallery.model]
    order = np.argsort(truth)
    series = {"oracle": truth} | {m: found.shown["network"][m][gallery.model] for m in (OURS, "GradCAM", "LIME")}
    height = 0.8 / len(series)
    for s, (name, value) in enumerate(series.items()):
        places = np.arange(len(truth)) + 0.4 - (s + 0.5) * height
        color, hatch = ((TRUTH, ""), (ESTIMATE, "///"), (GREEN, "..."), (ORANGE, "xxx"))[s]
        bars = {"color": color, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
        ax.barh(places, value[order] / max(np.abs(value).max(), 1e-12), height, label=name, **bars)
    ax.set(yticks=range(len(truth)), yticklabels=[CONCEPTS[j] for j in order], xlabel="importance / largest size")
    ax.axvline(0, color=REFERENCE, lw=0.8)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    save_figure(figure, path)
