"""Both classifiers' importances beside those of the exact counterfactuals, and the headline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.shortcut.record import CLASSIFIERS
from cpi_jax.analysis.importances import infer_study, summarize_study
from cpi_jax.statistics.record import Importance
from cpi_jax.study import Study

NONE = 0.005  # an importance smaller than this counts as none where ranks are compared: a sure classifier ties there


def importances(study: Study, tables: Mapping[str, np.ndarray]) -> dict[str, Importance]:
    """Importances of every classifier in score tables of the study's variants."""
    inferred = {name: infer_study(study.plan, study.examples, tables[name], study.settings) for name in CLASSIFIERS}
    return {name: summarize_study(study.plan, study.examples, of, study.settings) for name, of in inferred.items()}


def checks_of(name: str, checks: pd.DataFrame) -> pd.DataFrame:
    """A classifier's checks, with its name where they are of it."""
    return checks.assign(concept=checks.concept.str.replace("target: label", f"classifier: {name}"))


def side_by_side(importance: Mapping[str, Importance], oracle: Mapping[str, Importance]) -> pd.DataFrame:
    frames = []
    for name, found in importance.items():
        columns = {column: np.asarray(getattr(found, column))[0] for column in ("value", "ci_low", "ci_high", "rank")}
        columns |= {"oracle": np.asarray(oracle[name].value)[0], "oracle_error": np.asarray(oracle[name].error)[0]}
        frames.append(pd.DataFrame({"classifier": name, "concept": found.names, **columns, "verdict": found.verdicts}))
    table = pd.concat(frames, ignore_index=True)
    return table.assign(
        off=(table.value - table.oracle).abs(),
        inside=(table.ci_low <= table.oracle) & (table.oracle <= table.ci_high),
    )


def headline_of(table: pd.DataFrame, generation: pd.DataFrame) -> dict[str, Any]:
    of = {name: table[table.classifier == name].set_index("concept") for name in CLASSIFIERS}
    biased, balanced = (of[name].loc["background"] for name in CLASSIFIERS)
    detected = generation[generation.concept.str.startswith("detector: ")]
    lost = generation[generation.concept.str.startswith("classifier: ")]
    return {
        "first_of_biased": of["biased"].value.idxmax(),
        "first_of_balanced": of["balanced"].value.idxmax(),
        "gap_between_background_intervals": float(biased.ci_low - balanced.ci_high),
        "largest_error": float(table.off.max()),
        "near_or_inside": int(((table.off <= 0.03) | table.inside).sum()),
        **{f"spearman_{name}": _rank_correlation(of[name].value, of[name].oracle) for name in CLASSIFIERS},
        "lowest_detector_auroc": float(detected.auroc_generated.min()),
        "largest_loss_of_auroc": float((lost.auroc_real - lost.auroc_generated).abs().max()),
    }


def _rank_correlation(value: pd.Series, truth: pd.Series) -> float:
    value, truth = (np.where(np.abs(x) < NONE, 0.0, x) for x in (value, truth))
    return float(spearmanr(value, truth).statistic)
