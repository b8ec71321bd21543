"""From a complete score table to the importances of a study."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.analysis.cases import absent_classes, describe_absent, sample_weights, sampling_clusters, subgroups_of
from cpi_jax.data.examples import Examples
from cpi_jax.plan.coverage import measure_coverage
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.few_cases import few_cases
from cpi_jax.statistics.inference import Inference, infer, join_features
from cpi_jax.statistics.interactions import interactions
from cpi_jax.statistics.metrics import METRICS, Metric, stack_metrics
from cpi_jax.statistics.record import Importance
from cpi_jax.statistics.summary import summarize
from cpi_jax.statistics.verdicts import worst
from cpi_jax.validation.score_table import validate_table


def infer_study(
    plan: Plan,
    examples: Examples,
    scores: np.ndarray,
    settings: Settings,
    subgroup: np.ndarray | None = None,
    num_bootstrap: int | None = None,
    recipients: np.ndarray | None = None,
) -> Inference:
    """Importances of the target for every feature and metric, with repeats and influences.

    Args:
      plan: of the study.
      examples: its data.
      scores: the target's logits, float32 [D, V, C].
      settings: of the study.
      subgroup: examples to keep, bool [N]; all by default.
      num_bootstrap: repeats, where they are not those of the settings.
      recipients: examples that the metrics are of, bool [N], where the others only give values to them.

    Raises:
      InputError: for labels, weights or clusters that nothing can be computed from.
    """
    weights = sample_weights(examples, settings, subgroup)
    clusters, num_clusters = sampling_clusters(examples, settings)
    # A metric knows the classes that occur by the labels: one that only examples without weight have does not.
    labels = np.asarray(examples.labels)
    labels = np.where((weights > 0).reshape(-1, *[1] * (labels.ndim - 1)), labels, labels[np.argmax(weights > 0)])
    validate_table(scores, labels, weights, plan.strata, clusters)
    table = jnp.asarray(scores if scores.shape[-1] > 1 else scores[..., 0])
    parts = [
        infer(
            jax.random.key(settings.seed + 1),  # the same resamples for every lookup
            table,
            jnp.asarray(labels, jnp.int32),
            lookup,
            jnp.asarray(weights, jnp.float32),
            metrics_of(settings),
            strata_of(plan, features),
            None if clusters is None else jnp.asarray(clusters),
            num_clusters=num_clusters,
            num_repeats=settings.statistics.num_bootstrap if num_bootstrap is None else num_bootstrap,
            recipients=None if recipients is None else jnp.asarray(recipients, jnp.float32),
        )
        for lookup, features in plan.lookups
    ]
    return join_features(parts).take(in_order_of_features(plan))


def summarize_study(
    plan: Plan,
    examples: Examples,
    inference: Inference,
    settings: Settings,
    verdicts: dict[str, str] | None = None,
    subgroup: np.ndarray | None = None,
    num_outputs: int = 1,
) -> Importance:
    """The record of a study's features, pairs left out; `num_outputs` of the target, to name classes that do not occur."""
    shown = [f for f, part in enumerate(plan.features) if part.role != "pair"]
    weights = sample_weights(examples, settings, subgroup)
    clusters, _ = sampling_clusters(examples, settings)
    coverage = measure_coverage(plan, weights > 0)
    facts = {name: getattr(coverage, name)[shown] for name in ("share_changed", "share_alone")}
    facts = {name: value.astype(np.float32) for name, value in facts.items()} | {
        name: getattr(coverage, name)[shown].astype(np.int32) for name in ("num_changed", "num_new", "num_impossible")
    }
    names, labels = [plan.names[f] for f in shown], np.asarray(examples.labels)
    absent = absent_classes(labels, weights, num_outputs)
    return summarize(
        inference.take(np.array(shown)),
        names=names,
        metrics=metric_names(settings, inference.per_draw.shape[2]),
        ranked=[plan.features[f].role != "control" for f in shown],
        facts=facts,
        verdicts=[verdicts[name] for name in names] if verdicts else None,
        warnings=(*describe_absent(absent, num_outputs), *few_cases(labels, weights, clusters)),
        level=settings.statistics.level,
        interval=settings.statistics.interval,
        alternative=settings.statistics.alternative,
    )


def summarize_interactions(
    plan: Plan, examples: Examples, inference: Inference, settings: Settings, verdicts: dict[str, str] | None = None
) -> Importance | None:
    """The record of the pairs' interactions, with two-sided p-values; None where none was asked for."""
    if not plan.interactions:
        return None
    return summarize(
        interactions(inference, plan.interactions),
        names=[f"{plan.names[a]} x {plan.names[b]}" for a, b, _ in plan.interactions],
        metrics=metric_names(settings, inference.per_draw.shape[2]),
        verdicts=[worst([verdicts[plan.names[f]] for f in triple]) for triple in plan.interactions]
        if verdicts
        else None,
        level=settings.statistics.level,
        interval=settings.statistics.interval,
        alternative="two-sided",
    )


def infer_subgroups(
    plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings
) -> dict[str, tuple[np.ndarray, Inference]]:
    """Members [N] and importances of every content of the subgroup column in which the metrics have a value."""
    return {
        name: (inside, infer_study(plan, examples, scores, settings, inside))
        for name, inside in subgroups_of(examples, settings).items()
    }


def summarize_subgroups(
    plan: Plan,
    examples: Examples,
    inferences: Mapping[str, tuple[np.ndarray, Inference]],
    settings: Settings,
    verdicts: dict[str, str] | None,
    num_outputs: int,
) -> dict[str, Importance]:
    """One record for each of the subgroups; `num_outputs` of the target."""
    return {
        name: summarize_study(plan, examples, inference, settings, verdicts, inside, num_outputs)
        for name, (inside, inference) in inferences.items()
    }


def ranking_metric(plan: Plan, inference: Inference) -> Inference:
    """The first metric over the ranked features: what rules of stopping look at."""
    ranked = np.array([f for f, part in enumerate(plan.features) if part.role in ("concept", "group")])
    return inference.take(ranked, 0)


def metric_names(settings: Settings, total: int) -> list[str]:
    """Names of the metrics; one for each class where a metric has them."""
    per_class = [name.endswith("_per_class") for name in settings.statistics.metrics]
    classes = 1 + (total - len(per_class)) // max(sum(per_class), 1)
    names = []
    for name, many in zip(settings.statistics.metrics, per_class):
        names += [f"{name}[{c}]" for c in range(classes)] if many and classes > 1 else [name]
    return names


def metrics_of(settings: Settings) -> Metric:
    return stack_metrics(tuple(METRICS[name] for name in settings.statistics.metrics))


def strata_of(plan: Plan, features: tuple[int, ...]) -> jax.Array | None:
    return None if plan.strata is None else plan.strata[:, np.array(features)]


def in_order_of_features(plan: Plan) -> np.ndarray:
    """Where each feature stands when the lookups' features are put side by side."""
    return np.argsort([f for _, features in plan.lookups for f in features])
