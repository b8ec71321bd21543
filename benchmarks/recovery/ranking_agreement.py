"""Every method held against the truth, model by model: concept permutation and families of pixel-space methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import t as student

from benchmarks.recovery.agreement import SCORES, agreement

OURS = "concept permutation"
FAMILIES = {
    "GradCAM": ("GradCAM", "GradCAM (without relu)"),
    "LIME": ("LIME (mean)", "LIME (median)"),
    "gradient": ("gradient", "gradient x input"),
    "occlusion by mask": ("occlusion",),
}


def compare(
    found: Mapping[str, Mapping[tuple[str, str, str], np.ndarray]],
    truth: Mapping[str, np.ndarray],
    ours: Mapping[str, np.ndarray],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Holds every method against the truth; a family of pixel-space methods is given its best variant.

    Args:
      found: importances [M, K] by (method, explained, how), by group of models.
      truth: [M, K] by group.
      ours: [M, K] by group.

    Returns:
      Agreement of every variant, of every model by every family, and the importances by family and group.
    """
    variants, models, shown = [], [], {}
    for group, by_variant in found.items():
        scored = {v: score_models(value, truth[group]) for v, value in by_variant.items()}
        variants += [{"models": group, **_names(v), **frame[list(SCORES)].mean()} for v, frame in scored.items()]
        models.append(score_models(ours[group], truth[group]).assign(models=group, method=OURS, variant=""))
        shown[group] = {OURS: ours[group]}
        for family, members in FAMILIES.items():
            best = max((v for v in scored if v[0] in members), key=lambda v: scored[v].pearson.mean())
            models.append(scored[best].assign(models=group, method=family, variant=" / ".join(best)))
            shown[group][family] = by_variant[best]
    return pd.DataFrame(variants), pd.concat(models, ignore_index=True), shown


def score_models(values: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    """Agreement of every model, one row each."""
    return pd.DataFrame([agreement(v, t) for v, t in zip(values, truth)]).assign(model=np.arange(len(truth)))


def summarize_methods(models: pd.DataFrame) -> pd.DataFrame:
    """Mean of every score over models, half the width of its 95 % interval, and how often ours is ahead in Pearson."""
    rows = []
    for (group, method), part in models.groupby(["models", "method"], sort=False):
        row = {"models": group, "method": method, "variant": part.variant.iloc[0]}
        for name in SCORES:
            values = part[name].dropna()
            half_width = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
            row |= {name: values.mean(), f"{name}_pm": half_width}
        row["ours_ahead"] = np.nan if method == OURS else wins(models, group, method)
        rows.append(row)
    return pd.DataFrame(rows)


def wins(models: pd.DataFrame, group: str, method: str) -> int:
    """Models of which our Pearson correlation is above a method's."""
    part = models[models.models == group].pivot(index="model", columns="method", values="pearson")
    return int((part[OURS] > part[method]).sum())


def mean_of(methods: pd.DataFrame, group: str, method: str, score: str) -> float:
    return float(methods[(methods.models == group) & (methods.method == method)][score].iloc[0])


def _names(variant: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("method", "explained", "how"), variant))
