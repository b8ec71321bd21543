"""The share of what the target knows that each concept makes up, as a table."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.analysis.cases import sample_weights, sampling_clusters
from cpi_jax.analysis.importances import metric_names, metrics_of
from cpi_jax.data.examples import Examples
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.baseline import infer_baseline
from cpi_jax.statistics.contrasts import summarize_contrasts
from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.known_share import chance_logits, known_share


def share_table(
    plan: Plan,
    examples: Examples,
    inference: Inference,
    scores: np.ndarray,
    settings: Settings,
    verdicts: Mapping[str, str],
) -> pd.DataFrame | None:
    """Importances relative to the distance from chance; None unless `statistics.known_shares`.

    Args:
      plan: of the study.
      examples: its data.
      inference: its importances.
      scores: the target's logits, float32 [D, V, C].
      settings: of the study.
      verdicts: of the validity of each feature.

    Returns:
      One row a (metric, concept): `share`, `error`, `ci_low`, `ci_high`, NaN where the metric is not clearly above chance;
      the metric's `baseline` on the own captions and by `chance`; `verdict`.
    """
    if not settings.statistics.known_shares:
        return None
    clusters, num_clusters = sampling_clusters(examples, settings)
    weights, labels, count = sample_weights(examples, settings), np.asarray(examples.labels), scores.shape[-1]
    labels = np.where((weights > 0).reshape(-1, *[1] * (labels.ndim - 1)), labels, labels[np.argmax(weights > 0)])

    def of(table):
        return infer_baseline(
            jnp.asarray(table if count > 1 else table[..., 0], jnp.float32),
            jnp.asarray(labels, jnp.int32),
            jnp.asarray(weights, jnp.float32),
            metrics_of(settings),
            None if clusters is None else jnp.asarray(clusters),
            num_classes=max(count, 2),
            num_clusters=num_clusters,
        )

    own = scores[:, np.asarray(plan.baseline)]
    # As many draws of the one as of the other: the same program serves for both.
    by_chance = np.broadcast_to(np.asarray(chance_logits(labels, weights, count)), own.shape)
    baseline, chance = of(own), of(by_chance)
    shown = np.array([f for f, part in enumerate(plan.features) if part.role != "pair"])
    found = summarize_contrasts(known_share(inference.take(shown), baseline, chance), (), settings.statistics.level)
    parts = []
    for m, metric in enumerate(metric_names(settings, found.value.shape[1])):
        names = {"share": "value"} | {name: name for name in ("error", "ci_low", "ci_high")}
        concepts = [plan.names[f] for f in shown]
        parts.append(
            pd.DataFrame(
                {
                    "metric": metric,
                    "concept": concepts,
                    **{name: np.asarray(getattr(found, field))[:, m] for name, field in names.items()},
                    "baseline": float(baseline.estimate[0, m]),
                    "chance": float(chance.estimate[0, m]),
                    "verdict": [verdicts[concept] for concept in concepts],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
