"""Importances on true counterfactuals, from those of generated pictures and a few true ones, as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.analysis.cases import sampling_clusters
from cpi_jax.analysis.importances import infer_study, metric_names
from cpi_jax.analysis.true_pairs import TrueScores
from cpi_jax.data.examples import Examples
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.prediction_powered import correct_by_pairs, corrected_interval


def corrected_table(
    plan: Plan,
    examples: Examples,
    inference: Inference,
    scores: np.ndarray,
    true: TrueScores | None,
    settings: Settings,
    verdicts: Mapping[str, str],
) -> pd.DataFrame | None:
    """Corrected importances of every concept and group; None without true pairs.

    Args:
      plan: of the study.
      examples: its data.
      inference: the importances on the generated pictures.
      scores: the target's logits of the generated pictures, float32 [D, V, C].
      true: its logits of the true pictures.
      settings: of the study.
      verdicts: of the validity of each feature.

    Returns:
      One row a (metric, concept): the `importance` on true counterfactuals with `error`, `ci_low`, `ci_high`; `generated`,
      that of the generated pictures; `pairs_alone` with its own interval, `pairs_low`, `pairs_high`; `generated_weight`,
      lambda; `pairs`, how many examples have true pictures; and `verdict`, of the generated pictures.
    """
    if true is None:
        return None
    pairs = true.pairs
    clusters, num_clusters = sampling_clusters(examples, settings)
    table = np.zeros((1, *scores.shape[1:]), np.float32)  # of examples without pairs, which count for nothing
    table[0, np.asarray(plan.baseline)[pairs.paired]] = true.of_real[pairs.paired]
    table[0, pairs.rows] = true.of_pictures
    together = np.concatenate([table, scores])  # one program for both
    there = infer_study(plan, examples, together, settings, num_bootstrap=0, recipients=pairs.paired)
    shown = np.array([f for f, part in enumerate(plan.features) if part.role in ("concept", "group")])
    of_true, of_generated = (_draws(there.take(shown), draws) for draws in (slice(0, 1), slice(1, None)))
    units = pairs.paired if clusters is None else np.bincount(clusters, pairs.paired, num_clusters or 0) > 0
    corrected, weight = correct_by_pairs(of_true, of_generated, inference.take(shown), jnp.asarray(units))
    level, alone = settings.statistics.level, dataclasses.replace(of_true, units=corrected.units)
    corrected, alone, plain = (part.without_rounding() for part in (corrected, alone, inference.take(shown)))
    error, low, high = corrected_interval(corrected, level)
    _, low_alone, high_alone = corrected_interval(alone, level)
    parts = []
    for m, metric in enumerate(metric_names(settings, error.shape[1])):
        concepts = [plan.names[f] for f in shown]
        columns = {
            "importance": corrected.estimate,
            "error": error,
            "ci_low": low,
            "ci_high": high,
            "generated": plain.estimate,
            "pairs_alone": alone.estimate,
            "pairs_low": low_alone,
            "pairs_high": high_alone,
            "generated_weight": weight,
        }
        numbers = {name: np.asarray(column)[:, m] for name, column in columns.items()}
        about = {"pairs": int(pairs.paired.sum()), "verdict": [verdicts[concept] for concept in concepts]}
        parts.append(pd.DataFrame({"metric": metric, "concept": concepts, **numbers, **about}))
    return pd.concat(parts, ignore_index=True)


def _draws(inferred: Inference, which: slice) -> Inference:
    """The same of some of its draws."""
    return dataclasses.replace(inferred, per_draw=inferred.per_draw[which], influence=inferred.influence[which])
