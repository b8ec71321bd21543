"""The page of the shortcut: Markdown, pictures and JSON; every number comes from the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.pages import markdown_table, save_figure, show_picture, subplots
from benchmarks.shortcut.heat import SHOWN_HEAT
from benchmarks.shortcut.record import CLASSIFIERS, Findings, HeatMaps, Sheet
from cpi_jax.files.writing import write_atomically
from cpi_jax.report.style import DIVERGING, ESTIMATE, REFERENCE, TRUTH, styled
from cpi_jax.wording import p_value, signed

TEMPLATE = Path(__file__).with_suffix(".md")
TARGETS = {
    "first_of_biased": ("most important for the biased classifier", "background"),
    "first_of_balanced": ("most important for the balanced classifier", "garment"),
    "gap_between_background_intervals": ("gap between the two intervals of the background", "> 0"),
    "near_or_inside": ("importances within .03 of the oracle, or with it in their interval", "6 of 6"),
    "largest_error": ("largest distance from the oracle", ""),
    "fewest_held": (
        "of 20 draws of 100 examples with true pictures, fewest whose corrected interval holds the oracle",
        ">= 17",
    ),
    "spearman_biased": ("Spearman correlation with the oracle (below .005 is none), biased", "1"),
    "spearman_balanced": ("Spearman correlation with the oracle (below .005 is none), balanced", "1"),
    "lowest_detector_auroc": ("lowest detector AUROC of a content, generated images", ">= .95"),
    "largest_loss_of_auroc": ("largest difference of a classifier's AUROC between real and generated images", "<= .03"),
}
GAPS_SHOWN = {"tpr_gap": "true-positive rate", "fpr_gap": "false-positive rate", "auroc_gap": "AUROC"}
_COLUMNS = ("as captioned", "other tint", "other garment", "other background")


def write_page(found: Findings, folder: str | Path, command: str) -> None:
    """Writes fashion.md, fashion.json and the pictures beside them.

    Args:
      found: of the study.
      folder: made where missing.
      command: that made the run, for the page.
    """
    folder = Path(folder)
    pictures = folder / "fashion"
    pictures.mkdir(parents=True, exist_ok=True)
    with styled(alone=True):
        _plot_importance(found, pictures / "importance.png")
        for sheet in found.sheets:
            _plot_sheet(sheet, pictures / f"{sheet.title}.png")
        _plot_heat(found.heat, pictures / "heat_maps.png")
    write_atomically(folder / "fashion.md", page(found, command))
    frames = ("table", "differences", "gaps", "pairs", "generation", "independence", "attribution")
    content = {"headline": dict(found.headline), "facts": dict(found.facts)}
    content |= {name: json.loads(getattr(found, name).to_json(orient="records")) for name in frames}
    for name in ("importance", "oracle"):
        content[name] = {which: json.loads(record.to_json()) for which, record in getattr(found, name).items()}
    write_atomically(folder / "fashion.json", json.dumps(content, indent=1))


def page(found: Findings, command: str) -> str:
    """The Markdown."""
    rows = [
        {"what": what, "asked": asked, "measured": _shown(found.headline[name])}
        for name, (what, asked) in TARGETS.items()
    ]
    facts = dict(found.facts)
    return TEMPLATE.read_text().format(
        **facts,
        command=command,
        grass=(1 + facts["correlation"]) / 2,
        minutes=facts["seconds"] / 60,
        minutes_generating=facts["seconds_generating"] / 60,
        headline=markdown_table(pd.DataFrame(rows)),
        importance=markdown_table(_importances(found)),
        differences=markdown_table(_differences(found)),
        gaps=markdown_table(_gaps(found)) if len(found.gaps) else "(Not measured in this run.)",
        pairs=markdown_table(_pairs(found)),
        num_pairs=int(found.pairs.pairs.iloc[0]),
        generation=markdown_table(
            found.generation[["concept", "auroc_real", "auroc_generated", "verdict"]],
            dict.fromkeys(("auroc_real", "auroc_generated"), "{:.3f}"),
        ),
        independence=markdown_table(_independence(found), dict.fromkeys(("follows", "change", "leak"), "{:.3f}")),
        attribution=markdown_table(found.attribution, dict.fromkeys(("garment", "background"), "{:.2f}")),
    )


def _shown(value: float | int | str) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _importances(found: Findings) -> pd.DataFrame:
    rows = [
        {
            "classifier": row.classifier,
            "concept": row.concept,
            "importance": f"{row.value:.3f}",
            "95 % interval": f"{row.ci_low:.3f} to {row.ci_high:.3f}",
            "true counterfactuals": f"{row.oracle:.3f}",
            "off by": f"{row.off:.3f}",
            "in the interval": "yes" if row.inside else "no",
            "checks": row.verdict,
        }
        for row in found.table.itertuples()
    ]
    return pd.DataFrame(rows)


def _differences(found: Findings) -> pd.DataFrame:
    rows = [
        {
            "concept": row.concept,
            "difference": f"{row.classifier} minus {row.against}",
            "of importances": signed(row.difference, 3),
            "95 % interval": f"{signed(row.ci_low, 3)} to {signed(row.ci_high, 3)}",
            "p (Holm)": p_value(row.p_holm),
            "differs": "yes" if row.differs else "not shown",
            "checks": row.verdict,
        }
        for row in found.differences[found.differences.metric == found.differences.metric.iloc[0]].itertuples()
    ]
    return pd.DataFrame(rows)


def _gaps(found: Findings) -> pd.DataFrame:
    """Of grass against the rest: each gap, and what of it goes when a concept is permuted."""
    rows = []
    gaps = found.gaps[found.gaps.metric.isin(GAPS_SHOWN) & (found.gaps.group == "on grass")]
    for (name, metric), part in gaps.groupby(["classifier", "metric"], sort=False):
        cells = {
            row.concept: f"{signed(row.estimate, 3)} ({signed(row.ci_low, 3)} to {signed(row.ci_high, 3)})"
            for row in part.itertuples()
        }
        between = f"{part.group.iloc[0]} minus {part.against.iloc[0]}"
        rows.append(
            {
                "classifier": name,
                "gap": f"{GAPS_SHOWN[metric]}, {between}",
                "size": cells.pop(""),
                **{f"of it from {concept}": cell for concept, cell in cells.items()},
            }
        )
    return pd.DataFrame(rows)


def _pairs(found: Findings) -> pd.DataFrame:
    plain = found.table.set_index(["classifier", "concept"])
    rows = []
    for row in found.pairs.itertuples():
        study = plain.loc[(row.classifier, row.concept)]
        share = f"{row.width / row.width_alone:.2f}" if row.width_alone else "-"
        rows.append(
            {
                "classifier": row.classifier,
                "concept": row.concept,
                "true counterfactuals": f"{row.oracle:.3f}",
                "study": f"{study.ci_low:.3f} to {study.ci_high:.3f}",
                "corrected": f"{row.ci_low:.3f} to {row.ci_high:.3f}",
                "pairs alone": f"{row.pairs_low:.3f} to {row.pairs_high:.3f}",
                "draws that hold": f"{row.held} of {row.subsets}",
                "width over the pairs' alone": share,
            }
        )
    return pd.DataFrame(rows)


def _independence(found: Findings) -> pd.DataFrame:
    rows = []
    for slot, part in found.independence.groupby("permuted", sort=False):
        own, others = (part[part.role == role] for role in ("permuted", "other"))
        row = {"permuted": slot, "follows": own.auroc_permuted_labels.min()}
        rows.append(row | {name: others[name].abs().max() for name in ("change", "leak")} | _count(part.verdict))
    return pd.DataFrame(rows)


def _count(verdicts: pd.Series) -> dict[str, int]:
    return {name: int((verdicts == name).sum()) for name in ("pass", "fail", "inconclusive")}


def _plot_importance(found: Findings, path: Path) -> None:
    figure, axes = subplots(1, len(CLASSIFIERS), (9, 2.4), sharex=True)
    for ax, name in zip(axes[0], CLASSIFIERS):
        part = found.table[found.table.classifier == name].iloc[::-1]
        y = np.arange(len(part))
        distances = np.maximum([part.value - part.ci_low, part.ci_high - part.value], 0)
        ax.axvline(0, color=REFERENCE, lw=0.8, zorder=0)
        of_study = {"color": ESTIMATE, "label": "study, 95 % interval"}
        ax.errorbar(part.value, y + 0.1, xerr=distances, fmt="o", capsize=3, **of_study)
        ax.plot(part.oracle, y - 0.15, "d", color=TRUTH, label="true counterfactuals")
        ax.set(yticks=y, yticklabels=part.concept, ylim=(-0.5, len(part) - 0.5), title=f"{name} classifier")
        ax.set_xlabel("importance: drop of AUROC")
    axes[0, 0].legend()
    save_figure(figure, path)


def _plot_sheet(sheet: Sheet, path: Path) -> None:
    """A row for each kind of picture of an example, the true composites first, with both classifiers' scores."""
    count, columns = sheet.images["true"].shape[:2]
    kinds = len(sheet.images)
    figure, axes = subplots(kinds * count, columns, (2.1 * columns, 2.35 * kinds * count))
    for e in range(count):
        for which, (kind, images) in enumerate(sheet.images.items()):
            for p in range(columns):
                ax = axes[kinds * e + which, p]
                show_picture(ax, images[e, p])
                if not which:
                    ax.set_title(f"{_COLUMNS[p]}\n{sheet.said[e][p]}", fontsize=8)
                ax.set_xlabel("   ".join(f"{n} {sheet.scores[n, kind][e, p]:+.1f}" for n in CLASSIFIERS), fontsize=7)
            axes[kinds * e + which, 0].set_ylabel(kind, fontsize=9)
    save_figure(figure, path)


def _plot_heat(heat: HeatMaps, path: Path) -> None:
    lines = [(name, method) for name in CLASSIFIERS for method in SHOWN_HEAT]
    size = (2 * len(heat.images) + 0.4, 2 * (1 + len(lines)))
    figure, axes = subplots(1 + len(lines), len(heat.images), size)
    for row, line in zip(axes, [None, *lines]):
        for ax, image, of_image in zip(row, heat.images, heat.images if line is None else heat.maps[line]):
            show_picture(ax, image)
            if line is not None:
                largest = max(np.abs(of_image).max(), 1e-12)
                ax.imshow(of_image, cmap=DIVERGING, alpha=0.7, vmin=-largest, vmax=largest)
        row[0].set_ylabel("photograph" if line is None else "\n".join(line), fontsize=9)
    save_figure(figure, path)
