"""What smaller tables, other worlds and faults of the generator do to the importances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from benchmarks.recovery.agreement import SCORES
from benchmarks.recovery.estimates import Estimates, concept_scores, population_importance, true_importance
from benchmarks.recovery.models import PlantedModels
from benchmarks.recovery.ranking_agreement import score_models
from benchmarks.recovery.table_estimates import NUM_CONCEPTS, of_bottlenecks
from benchmarks.recovery.worlds import Table
from cpi_jax.baselines.oracle import strata_of_others
from cpi_jax.data.shapes import CONCEPTS

WRONG = 0.01  # growth of the mean error, in AUROC, from which a concept's importance counts as gone wrong
KINDS = ("plain", "conditional")  # of permutation


def rows_of_sizes(
    table: Table, models: PlantedModels, labels: np.ndarray, whole: np.ndarray, config: ConfigDict
) -> pd.DataFrame:
    """Examples x draws, from one table: up to two disjoint blocks of examples and of draws each."""
    rows = []
    logits = table.real[:, :NUM_CONCEPTS]
    population = population_importance(models)
    for n in sorted({min(n, config.num_examples) for n in (50, 100, 200, 500)}):
        blocks = range(min(2, config.num_examples // n))
        inside = [np.arange(b * n, (b + 1) * n) for b in blocks]
        truths = [whole]
        if n < config.num_examples:
            truths = [true_importance(models, concept_scores(logits[i]), labels[:, i]) for i in inside]
        for d in sorted({min(d, config.draws) for d in (1, 2, 4, config.headline_draws)}):
            parts = []
            for i, truth in zip(inside, truths):
                weights = np.zeros(config.num_examples)
                weights[i] = 1
                for first in range(0, min(2, config.draws // d) * d, d):
                    found = of_bottlenecks(table, models, labels, range(first, first + d), weights)
                    name = f"{n} examples, {d} draw" + ("s" if d > 1 else "")
                    row = _row("size", name, found, truth, examples=n, draws=d)
                    inside_all = (found.low <= population) & (population <= found.high)
                    parts.append(row | {"population_coverage": inside_all.mean()})
            numbers = pd.DataFrame(parts)
            rows.append({**parts[0], **numbers.select_dtypes("number").mean()})
    return pd.DataFrame(rows)


def rows_of_world(
    table: Table,
    name: str,
    models: PlantedModels,
    num_examples: int | None = None,
    draws: Sequence[int] | None = None,
    *,
    kinds: tuple[str, ...],
) -> pd.DataFrame:
    """Plain and conditional permutation in a world, each against its own oracle; of its first examples and some draws."""
    examples = table.examples
    n = num_examples or len(examples)
    draws = range(table.world.draws) if draws is None else draws
    labels = models.labels(examples.concepts, examples.ids)
    first = (np.arange(len(examples)) < n).astype(float)
    scores = concept_scores(table.real[:n, :NUM_CONCEPTS])
    strata = strata_of_others(examples.concepts)
    rows = []
    for kind in kinds:
        of_all, of_first = (None, None) if kind == "plain" else (strata, strata[:n])
        truth = true_importance(models, scores, labels[:, :n], of_first)
        found = of_bottlenecks(table, models, labels, draws, first, of_all)
        shown = name if kinds == KINDS[:1] else f"{name}, {kind}"
        # The checks are of all the table's examples and draws, and of plain permutation.
        checked = kind == "plain" and n == len(examples)
        flagged = {"flagged": _flagged(table) or "none"} if checked else {}
        rows.append(_row("world", shown, found, truth, examples=n, draws=len(draws), **flagged))
    return pd.DataFrame(rows)


def rows_of_faults(table: Table, models: PlantedModels, sound: Table) -> pd.DataFrame:
    """Errors of every concept's importances, beside those of a sound table on its first examples, and its verdict."""
    examples, n = table.examples, len(table.examples)
    labels = models.labels(examples.concepts, examples.ids)
    truth = true_importance(models, concept_scores(table.real[:, :NUM_CONCEPTS]), labels)
    found = of_bottlenecks(table, models, labels, [0], np.ones(n))
    all_labels = models.labels(sound.examples.concepts, sound.examples.ids)
    first = (np.arange(len(sound.examples)) < n).astype(float)
    reference = of_bottlenecks(sound, models, all_labels, [0], first)
    frame = pd.DataFrame(
        {
            "world": table.world.name,
            "concept": CONCEPTS,
            "error": np.abs(found.value - truth).mean(0),
            "error_of_sound": np.abs(reference.value - truth).mean(0),
            "missed": 1 - ((found.low <= truth) & (truth <= found.high)).mean(0),
            "missed_by_sound": 1 - ((reference.low <= truth) & (truth <= reference.high)).mean(0),
        }
    )
    wrong = frame.error - frame.error_of_sound > WRONG
    return frame.assign(wrong=wrong, verdict=[table.verdicts[name] for name in CONCEPTS])


def _row(what: str, name: str, found: Estimates, truth: np.ndarray, **facts) -> dict[str, Any]:
    """One row of the robustness table."""
    error = np.where(found.error > 0, found.error, np.nan)
    inside = (found.low <= truth) & (truth <= found.high)
    scores = score_models(found.value, truth)[list(SCORES)].mean()
    standardized = (found.value - truth) / error
    return {
        "what": what,
        "name": name,
        **facts,
        **scores,
        "coverage": inside.mean(),
        "bias_per_error": np.nanmean(standardized),
        "rms_per_error": np.sqrt(np.nanmean(standardized**2)),
    }


def _flagged(table: Table) -> str:
    return ", ".join(name for name, verdict in table.verdicts.items() if verdict == "fail")
