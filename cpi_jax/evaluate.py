"""From a complete score table to importances and checks."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from cpi_jax.checks import (
    Generation,
    Independence,
    effective_generation,
    independence_failures,
    independent_permutation,
)
from cpi_jax.data.examples import Examples
from cpi_jax.importance.bootstrap import bootstrap, percentile_interval
from cpi_jax.importance.functional import importance
from cpi_jax.importance.metrics import METRICS
from cpi_jax.study import Plan, Settings
from cpi_jax.variants import take_variants


@dataclasses.dataclass(frozen=True)
class Importance:
    """Importances by metric; arrays are float32.

    Attributes:
      names: the F features.
      metrics: the metrics' names.
      per_draw: signed drop of each metric, [metrics, D, F]; the estimate is the mean over draws.
      ci_low: lower end of the interval, [metrics, F].
      ci_high: upper end, [metrics, F].
      dropped: bootstrap repeats that lost a class, [metrics].
      share_changed: share of captions that a permutation changes, [F].
      num_changed: captions generated for the feature besides the baseline, [F].
    """

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    per_draw: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    dropped: np.ndarray
    share_changed: np.ndarray
    num_changed: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """The estimate: mean over draws, [metrics, F]."""
        return self.per_draw.mean(1)

    def to_frame(self) -> pd.DataFrame:
        """Tidy table, one row per (metric, concept); rank 1 is the largest importance."""
        frames = []
        for m, metric in enumerate(self.metrics):
            value = self.value[m]
            frames.append(
                pd.DataFrame(
                    {
                        "concept": self.names,
                        "metric": metric,
                        "importance": value,
                        "ci_low": self.ci_low[m],
                        "ci_high": self.ci_high[m],
                        "rank": pd.Series(-value).rank(method="min").astype(int),
                        "n_changed": self.num_changed,
                        "share_changed": self.share_changed,
                        "per_change": value / np.maximum(self.share_changed, 1e-12),
                        "draws": self.per_draw.shape[1],
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)


def evaluate_importance(plan: Plan, labels: np.ndarray, scores: np.ndarray, settings: Settings) -> Importance:
    """Importances of the target with bootstrap intervals.

    Args:
      plan: of the study.
      labels: int32 [N].
      scores: the target's table, float32 [D, V, 1].
      settings: of the study.
    """
    labels, table = jnp.asarray(labels), jnp.asarray(scores[..., 0])
    weights = jnp.ones(len(labels))
    per_draw, low, high, dropped = [], [], [], []
    for name in settings.metrics:
        metric = METRICS[name]
        key = jax.random.key(settings.seed + 1)  # the same resamples for every metric
        repeats = bootstrap(key, table, labels, plan.lookup, weights, metric, num_repeats=settings.num_bootstrap)
        interval = percentile_interval(repeats, settings.level)
        per_draw.append(importance(table, labels, plan.lookup, weights, metric))
        for out, x in zip((low, high, dropped), interval):
            out.append(x)
    feature = np.asarray(plan.variants.feature)
    values = np.asarray(plan.lookup.values)
    # A random other example has another value with this probability.
    n = len(values)
    share = [(n * n - (np.bincount(v).astype(float) ** 2).sum()) / (n * (n - 1)) for v in values.T]
    return Importance(
        names=plan.names,
        metrics=tuple(settings.metrics),
        per_draw=np.stack(per_draw),
        ci_low=np.stack(low),
        ci_high=np.stack(high),
        dropped=np.stack(dropped),
        share_changed=np.array(share),
        num_changed=np.bincount(feature[feature >= 0], minlength=len(plan.names)),
    )


def evaluate_independence(plan: Plan, examples: Examples, scores: np.ndarray) -> Independence:
    """What permuting each feature does to the detector's scores, float32 [D, V, K]."""
    concepts = jnp.asarray(examples.concepts, jnp.int32)
    return independent_permutation(
        jnp.asarray(scores),
        concepts,
        take_variants(concepts, plan.features, plan.variants),
        plan.features,
        plan.variants.example,
        plan.lookup,
        jnp.ones(len(examples)),
    )


def independence_table(
    plan: Plan, examples: Examples, result: Independence, settings: Settings
) -> tuple[pd.DataFrame, dict[str, str]]:
    """One row per (permuted concept, concept) with its verdict, and each feature's verdict.

    What cannot be measured, since the detector's concept never varies in these captions, is "not assessed".
    """
    leaks, unfaithful = independence_failures(
        result, plan.features, margin=settings.leak_margin, faithful=settings.min_faithful
    )
    failed, masks = np.asarray(leaks | unfaithful), np.asarray(plan.features)
    assessed = np.isfinite(np.where(masks, result.follows, result.change + result.leak))
    rows = [
        {
            "check": "independent permutation",
            "permuted": name,
            "concept": concept,
            "role": "permuted" if masks[f, k] else "other",
            "change": float(result.change[f, k]),
            "leak": float(result.leak[f, k]),
            "auroc_permuted_labels": float(result.follows[f, k]),
            "verdict": "fail" if failed[f, k] else "pass" if assessed[f, k] else "not assessed",
        }
        for f, name in enumerate(plan.names)
        for k, concept in enumerate(examples.slot_names)
    ]
    table = pd.DataFrame(rows)
    order = ("pass", "not assessed", "fail")  # a feature's verdict is its worst
    worst = table.verdict.map(order.index).groupby(table.permuted).max()
    return table, {name: order[level] for name, level in worst.items()}


def generation_table(names: tuple[str, ...], scorer: str, result: Generation, margin: float) -> pd.DataFrame:
    """One row per output of a scorer: AUROC on real and on generated images, and whether the loss is within the margin."""
    lost = np.asarray(result.real - result.generated)
    return pd.DataFrame(
        {
            "check": "effective generation",
            "concept": [f"{scorer}: {name}" for name in names],
            "auroc_real": np.asarray(result.real),
            "auroc_generated": np.asarray(result.generated),
            "verdict": np.where(np.isnan(lost), "not assessed", np.where(lost > margin, "fail", "pass")),
        }
    )


def evaluate_generation(plan: Plan, labels: np.ndarray, real: np.ndarray, scores: np.ndarray) -> Generation:
    """Effective generation of one scorer.

    Args:
      plan: of the study.
      labels: {0, 1}, [N, C].
      real: its scores of the real images, [N, C].
      scores: its table, [D, V, C].
    """
    generated = jnp.asarray(scores)[:, plan.lookup.baseline]
    return effective_generation(jnp.asarray(real), generated, jnp.asarray(labels), jnp.ones(len(labels)))


def planted_importance(
    plan: Plan, examples: Examples, weights: Any, bias: float, settings: Settings
) -> Float[Array, "metrics f"]:
    """The oracle: importances of the planted logistic model on the concepts themselves, by the same functional."""
    concepts = take_variants(jnp.asarray(examples.concepts, jnp.int32), plan.features, plan.variants)
    logits = concepts @ jnp.asarray(weights, jnp.float32) + bias
    ones, labels = jnp.ones(len(examples)), jnp.asarray(examples.labels)
    columns = [importance(logits[None], labels, plan.lookup, ones, METRICS[m])[0] for m in settings.metrics]
    return jnp.stack(columns)
