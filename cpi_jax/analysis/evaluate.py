"""From complete score tables to importances and checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from cpi_jax.analysis.advice import advise_generation, advise_independence
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError, require_known
from cpi_jax.plan.coverage import measure_coverage
from cpi_jax.plan.record import Plan
from cpi_jax.plan.variants import take_variants
from cpi_jax.settings import Settings
from cpi_jax.statistics.caption_prediction import FOLDS, describe_prediction, predict_from_captions
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.inference import Inference, infer, join_features
from cpi_jax.statistics.interactions import interactions
from cpi_jax.statistics.metrics import METRICS, class_indicators, class_logits, stack_metrics
from cpi_jax.statistics.record import Importance
from cpi_jax.statistics.summary import few_cases, summarize
from cpi_jax.statistics.validity import Generation, Independence, effective_generation, independent_permutation
from cpi_jax.statistics.verdicts import judge, judge_independence, rarer_class, too_weak, worst
from cpi_jax.validation.score_table import validate_cases, validate_labels, validate_table


def validate_settings(examples: Examples, settings: Settings) -> None:
    """Refuses unknown metrics, and columns that are missing or cannot be used, before any image.

    Raises:
      InputError: one sentence.
    """
    for name in settings.statistics.metrics:
        require_known(name, "metric", tuple(METRICS))
    subgroups_of(examples, settings)
    weights = sample_weights(examples, settings)
    validate_cases(weights, clusters=sampling_clusters(examples, settings)[0])
    _check_classes(np.asarray(examples.labels)[weights > 0])


def _check_classes(labels: np.ndarray) -> None:
    """Refuses the labels of the examples in use where a class is missing of two, or has one example."""
    validate_labels(labels, None)
    values, counts = np.unique(labels, return_counts=True)
    if labels.ndim == 1 and len(values) == 2 and counts.min() == 1:
        raise InputError(
            f"one of {len(labels)} labels is {values[counts.argmin()]}: the sampling error of a class cannot be known from "
            "one example, so give at least two"
        )


def validate_outputs(examples: Examples, num_outputs: int, settings: Settings) -> tuple[str, ...]:
    """What to warn of, before any image: classes of the target that no example in use has, and subgroups left out.

    Raises:
      InputError: where one of them would rank.
    """
    absent = absent_classes(np.asarray(examples.labels), sample_weights(examples, settings), num_outputs)
    ranking = settings.statistics.metrics[0]
    if absent and absent[0] == 0 and ranking.endswith("_per_class"):
        raise InputError(
            f"the ranking is by {ranking} of class 0, and no example is of class 0: name another metric first"
        )
    left_out = [
        f"subgroup {settings.statistics.subgroups} = {content} is left out: {reason}"
        for content, _, reason in _subgroups(examples, settings)
        if reason
    ]
    return (*_say_absent(absent, num_outputs), *left_out)


def absent_classes(labels: np.ndarray, weights: np.ndarray, num_outputs: int) -> list[int]:
    """Outputs of the target whose class no example with weight has."""
    if labels.ndim == 2 or num_outputs == 1:
        return []
    return sorted(set(range(num_outputs)) - set(labels[weights > 0].astype(int).tolist()))


def _say_absent(absent: list[int], num_outputs: int) -> tuple[str, ...]:
    if not absent:
        return ()
    listed = ", ".join(map(str, absent[:5])) + (", ..." if len(absent) > 5 else "")
    which = f"class {listed}" if len(absent) == 1 else f"the classes {listed}"
    return (f"no example is of {which} (of {num_outputs} outputs): what is a mean over classes leaves that out",)


def infer_study(plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings, subgroup=None) -> Inference:
    """Importances of the target for every feature and metric, with repeats and influences.

    Args:
      plan: of the study.
      examples: its data.
      scores: the target's logits, float32 [D, V, C].
      settings: of the study.
      subgroup: examples to keep, bool [N]; all by default.

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
            _metrics(settings),
            _strata_of(plan, features),
            None if clusters is None else jnp.asarray(clusters),
            num_clusters=num_clusters,
            num_repeats=settings.statistics.num_bootstrap,
        )
        for lookup, features in plan.lookups
    ]
    return join_features(parts).take(_order(plan))


def summarize_study(
    plan: Plan,
    examples: Examples,
    found: Inference,
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
        found.take(np.array(shown)),
        names=names,
        metrics=metric_names(settings, found.per_draw.shape[2]),
        ranked=[plan.features[f].role != "control" for f in shown],
        facts=facts,
        verdicts=[verdicts[name] for name in names] if verdicts else None,
        warnings=(*_say_absent(absent, num_outputs), *few_cases(labels, weights, clusters)),
        level=settings.statistics.level,
        interval=settings.statistics.interval,
        alternative=settings.statistics.alternative,
    )


def summarize_interactions(
    plan: Plan, examples: Examples, found: Inference, settings: Settings, verdicts: dict[str, str] | None = None
) -> Importance | None:
    """The record of the pairs' interactions, with two-sided p-values; None where none was asked for."""
    if not plan.interactions:
        return None
    return summarize(
        interactions(found, plan.interactions),
        names=[f"{plan.names[a]} x {plan.names[b]}" for a, b, _ in plan.interactions],
        metrics=metric_names(settings, found.per_draw.shape[2]),
        verdicts=[worst([verdicts[plan.names[f]] for f in triple]) for triple in plan.interactions]
        if verdicts
        else None,
        level=settings.statistics.level,
        interval=settings.statistics.interval,
        alternative="two-sided",
    )


def summarize_subgroups(
    plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings, verdicts: dict[str, str] | None
) -> dict[str, Importance]:
    """One record for every content of the subgroup column in which the metrics have a value."""
    out = {}
    for name, inside in subgroups_of(examples, settings).items():
        found = infer_study(plan, examples, scores, settings, inside)
        out[name] = summarize_study(plan, examples, found, settings, verdicts, inside, scores.shape[-1])
    return out


def subgroups_of(examples: Examples, settings: Settings) -> dict[str, np.ndarray]:
    """Members of every content of the subgroup column that can be evaluated, bool [N].

    Raises:
      InputError: where there is no such column, or it cannot be told what it holds (`Examples.contents_of`).
    """
    return {content: inside for content, inside, reason in _subgroups(examples, settings) if not reason}


def _subgroups(examples: Examples, settings: Settings) -> Iterator[tuple[str, np.ndarray, str]]:
    """Contents of the subgroup column, their members, and why they cannot be evaluated; empty where they can."""
    if not settings.statistics.subgroups:
        return
    require_known(settings.statistics.subgroups, "column", tuple(examples.columns))
    contents, which = examples.contents_of(settings.statistics.subgroups)
    clusters, _ = sampling_clusters(examples, settings)
    for n, content in enumerate(contents):
        inside = which == n
        try:
            validate_cases(sample_weights(examples, settings, inside), None, clusters)
            _check_classes(np.asarray(examples.labels)[inside])
        except InputError as error:
            yield str(content), inside, str(error)
        else:
            yield str(content), inside, ""


def ranking_metric(plan: Plan, found: Inference) -> Inference:
    """The first metric over the ranked features: what rules of stopping look at."""
    ranked = np.array([f for f, part in enumerate(plan.features) if part.role in ("concept", "group")])
    return found.take(ranked, 0)


def metric_names(settings: Settings, total: int) -> list[str]:
    """Names of the metrics; one for each class where a metric has them."""
    per_class = [name.endswith("_per_class") for name in settings.statistics.metrics]
    classes = 1 + (total - len(per_class)) // max(sum(per_class), 1)
    names = []
    for name, many in zip(settings.statistics.metrics, per_class):
        names += [f"{name}[{c}]" for c in range(classes)] if many and classes > 1 else [name]
    return names


def sample_weights(examples: Examples, settings: Settings, subgroup: np.ndarray | None = None) -> np.ndarray:
    """Weight of every example, float [N]; zero outside the subgroup."""
    weights = np.ones(len(examples))
    if settings.statistics.weights:
        require_known(settings.statistics.weights, "column", tuple(examples.columns))
        try:
            weights = np.asarray(examples.columns[settings.statistics.weights], float)
        except ValueError as error:
            raise InputError(
                f"the weights in column {settings.statistics.weights!r} must be numbers: {error}"
            ) from None
    return weights if subgroup is None else weights * subgroup


def sampling_clusters(examples: Examples, settings: Settings) -> tuple[np.ndarray | None, int | None]:
    """Cluster of every example, int32 [N], and how many there are."""
    if not settings.statistics.cluster:
        return None, None
    require_known(settings.statistics.cluster, "column", tuple(examples.columns))
    names, clusters = examples.contents_of(settings.statistics.cluster)
    return clusters.astype(np.int32), len(names)


def check_study(
    plan: Plan,
    examples: Examples,
    real: Mapping[str, np.ndarray],
    tables: Mapping[str, np.ndarray],
    settings: Settings,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Both validity checks as a table, and each feature's verdict.

    Args:
      plan: of the study.
      examples: its data.
      real: logits [N, C] of "target" and "detector" for the real images; empty without images.
      tables: logits [D, V, C] of both for the generated ones; the detector may be missing.
      settings: of the study.
    """
    frames, independence = [], None
    num_outputs = tables["target"].shape[-1]
    truths = {"target": examples.labels, "detector": examples.concepts}
    names = {
        "target": _label_names(num_outputs),
        "detector": examples.concept_names,
    }
    for name, scores in real.items():
        generated = tables[name][:, np.asarray(plan.baseline)]
        found = evaluate_generation(examples, truths[name], scores, generated, settings)
        frames.append(generation_table(names[name], name, found, settings, truths[name]))
    generation = pd.concat(frames, ignore_index=True) if frames else None
    if "detector" in tables:
        found = evaluate_independence(plan, examples, tables["detector"], settings, real.get("detector"))
        frame, independence = independence_table(plan, examples, found, settings)
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["check"])
    return table, join_verdicts(plan, examples, independence, generation)


def evaluate_generation(
    examples: Examples, labels: np.ndarray, real: np.ndarray, generated: np.ndarray, settings: Settings
) -> Generation:
    """Effective generation of one scorer.

    Args:
      examples: of the study.
      labels: of its outputs: class index [N], or {0, 1} [N, C].
      real: its logits of the real images, [N, C].
      generated: of the baseline rows, [D, N, C].
      settings: of the study.
    """
    if real.shape[1] > 1:
        truth = class_indicators(jnp.asarray(real), jnp.asarray(labels))
        real = class_logits(jnp.asarray(real), jnp.asarray(labels))
        generated = jax.vmap(lambda s: class_logits(s, jnp.asarray(labels)))(jnp.asarray(generated))
    else:
        truth = np.asarray(labels).reshape(-1, 1) > 0
    clusters, _ = sampling_clusters(examples, settings)
    return effective_generation(
        jnp.asarray(real),
        jnp.asarray(generated),
        jnp.asarray(truth, jnp.int32),
        jnp.asarray(sample_weights(examples, settings), jnp.float32),
        None if clusters is None else jnp.asarray(clusters),
    )


def describe_captions_alone(examples: Examples, settings: Settings, real: np.ndarray | None = None) -> Iterator[str]:
    """What the captions alone know of the labels, in a line, and a warning where they give one away.

    Nothing of labels that too few examples have, or lack.

    Args:
      examples: of the study.
      settings: of the study.
      real: the target's logits of the real images, [N, C]; None without images or before they are scored.
    """
    labels = np.asarray(examples.labels)
    if labels.ndim == 1:
        num_classes = max(labels.max() + 1, 2 if real is None else real.shape[1])
        classes = (
            np.arange(num_classes) if num_classes > 2 or (real is not None and real.shape[1] > 1) else np.array([1])
        )
        true = labels[:, None] == classes
    else:
        true = labels > 0
    if real is not None and real.shape[1] > 1:
        real = np.asarray(class_logits(jnp.asarray(real), jnp.asarray(labels)))
    counts, names = true.sum(0), ("the label",) if true.shape[1] == 1 else _label_names(true.shape[1])
    enough = np.flatnonzero(np.minimum(counts, len(true) - counts) >= FOLDS)  # examples to learn from and to ask about
    if not len(enough):
        return iter(())
    true, names, real = true[:, enough], [names[c] for c in enough], None if real is None else real[:, enough]
    clusters, _ = sampling_clusters(examples, settings)
    found = predict_from_captions(examples.slots, true.astype(int), sample_weights(examples, settings), clusters, real)
    return describe_prediction(found, names, examples.slot_names, settings.checks.generation_margin)


def _label_names(num_outputs: int) -> tuple[str, ...]:
    return ("label",) if num_outputs == 1 else tuple(f"class {c}" for c in range(num_outputs))


def generation_table(
    names: tuple[str, ...], scorer: str, result: Generation, settings: Settings, labels: np.ndarray
) -> pd.DataFrame:
    """One row per output of a scorer: AUROC on real and on generated images, and whether they differ within the margin."""
    lost, error = np.asarray(result.lost.value), np.asarray(result.lost.error)
    labels = np.asarray(labels)
    if labels.ndim == 1:
        labels = labels[:, None] == (1 if len(lost) == 1 else np.arange(len(lost)))
    excess = np.abs(lost) - settings.checks.generation_margin
    verdicts = judge(excess, error, len(labels), rarer_class(labels))
    table = pd.DataFrame(
        {
            "check": "effective generation",
            "concept": [f"{scorer}: {name}" for name in names],
            "auroc_real": np.asarray(result.real),
            "auroc_generated": np.asarray(result.generated),
            "lost": lost,
            "lost_error": error,
            "verdict": verdicts.outcome,
            "needed": verdicts.needed,
        }
    )
    return table.assign(
        advice=[advise_generation(row, settings.checks.generation_margin) for row in table.itertuples()]
    )


def evaluate_independence(
    plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings, real: np.ndarray | None = None
) -> Independence:
    """What permuting each feature does to the detector's logits, float32 [D, V, K].

    Args:
      plan: of the study.
      examples: its data.
      scores: the detector's logits, [D, V, K].
      settings: of the study.
      real: its logits of the real images, [N, K]; None without images.
    """
    concepts, slots = _concepts_of_rows(plan, examples)
    clusters, _ = sampling_clusters(examples, settings)
    masks = np.asarray(plan.masks)[:, slots]
    parts = []
    for lookup, features in plan.lookups:
        own = [np.flatnonzero(masks[f]) for f in features]
        own = np.stack([np.resize(of, max(map(len, own))) for of in own], axis=1)  # [R, F]
        parts.append(
            independent_permutation(
                jnp.asarray(scores),
                jnp.asarray(examples.concepts, jnp.int32),
                concepts[:, : len(examples.concept_names)],
                jnp.moveaxis(concepts[:, own], 0, 1) > 0,
                lookup,
                jnp.asarray(sample_weights(examples, settings), jnp.float32),
                _strata_of(plan, features),
                None if clusters is None else jnp.asarray(clusters),
                None if real is None else jnp.asarray(real),
            )
        )
    of_real, parts = parts[0].real, [part.replace(real=None) for part in parts]
    joined = jax.tree.map(lambda *x: jnp.concatenate(x, axis=0), *parts)
    return jax.tree.map(lambda x: x[_order(plan)], joined).replace(real=of_real)


def independence_table(
    plan: Plan, examples: Examples, result: Independence, settings: Settings
) -> tuple[pd.DataFrame, dict[str, str]]:
    """One row per (permuted feature, concept) with its verdict, and each feature's verdict.

    What cannot be measured, since the concept never varies in these captions or the detector is too weak for it, is
    "not assessed".
    """
    own = np.asarray(plan.masks)[:, list(examples.concept_slots)]
    verdicts = judge_independence(
        result,
        own,
        np.asarray(examples.concepts) > 0,
        generation_margin=settings.checks.generation_margin,
        leak_margin=settings.checks.leak_margin,
    )
    numbers = {
        "change": result.change.value,
        "change_error": result.change.error,
        "leak": result.leak.value,
        "leak_error": result.leak.error,
        "auroc_permuted_labels": result.follows.value,
        "auroc_permuted_labels_error": result.follows.error,
        "shortfall": result.shortfall.value,
        "shortfall_error": result.shortfall.error,
    }
    real = np.full(own.shape, np.nan) if result.real is None else np.broadcast_to(result.real.value, own.shape)
    weak = np.broadcast_to(too_weak(result.real, examples.concepts), own.shape)
    f, k = (x.ravel() for x in np.indices(own.shape))
    table = pd.DataFrame(
        {
            "check": "independent permutation",
            "permuted": [plan.names[i] for i in f],
            "concept": [examples.concept_names[i] for i in k],
            "role": np.where(own.ravel(), "permuted", "other"),
            "auroc_real": real.ravel(),
            **{name: np.asarray(x).ravel() for name, x in numbers.items()},
            "verdict": verdicts.outcome.ravel(),
            "needed": verdicts.needed.ravel(),
        }
    )
    advice = [
        advise_independence(row, is_weak, settings.checks.generation_margin, settings.checks.leak_margin)
        for row, is_weak in zip(table.itertuples(), weak.ravel().tolist())
    ]
    return table.assign(advice=advice), {name: worst(list(row)) for name, row in zip(plan.names, verdicts.outcome)}


def join_verdicts(
    plan: Plan, examples: Examples, independence: dict[str, str] | None, generation: pd.DataFrame | None
) -> dict[str, str]:
    """Each feature's verdict: of its permutation; "fail" where generation failed for the target or its own concepts."""
    out = dict(independence or dict.fromkeys(plan.names, "unchecked"))
    failed = set() if generation is None else set(generation.concept[generation.verdict == "fail"])
    for part in plan.features:
        own = {name for name, slot in zip(examples.concept_names, examples.concept_slots) if slot in part.slots}
        if any(name.startswith("target: ") for name in failed) or {f"detector: {name}" for name in own} & failed:
            out[part.name] = "fail"
    return out


def planted_importance(
    plan: Plan, examples: Examples, weights: Any, bias: float, settings: Settings
) -> Float[Array, "metrics f"]:
    """The oracle: importances of the planted logistic model on the concepts themselves, by the same functional."""
    concepts = _concepts_of_rows(plan, examples)[0][:, : len(examples.concept_names)]
    logits = concepts @ jnp.asarray(weights, jnp.float32) + bias
    ones = jnp.asarray(sample_weights(examples, settings), jnp.float32)
    labels = jnp.asarray(examples.labels, jnp.int32)
    parts = [
        importance(logits[None], labels, lookup, ones, _metrics(settings), _strata_of(plan, features))[0]
        for lookup, features in plan.lookups
    ]
    return jnp.concatenate(parts)[_order(plan)].T


def _metrics(settings: Settings):
    return stack_metrics(tuple(METRICS[name] for name in settings.statistics.metrics))


def _concepts_of_rows(plan: Plan, examples: Examples) -> tuple[jax.Array, list[int]]:
    """Presence of every concept, and of the control's phrase, in each row's caption, int32 [V, J]; their slots."""
    num_rows, num_slots = plan.slots.tokens.shape[:2]
    slots = [*examples.concept_slots, *range(len(examples.slot_names), num_slots)]
    concepts = np.zeros((num_rows, len(slots)), np.int32)
    concepts[: len(examples), : len(examples.concept_names)] = examples.concepts
    concepts[len(examples) :, len(examples.concept_names) :] = 1  # the donor of the control
    return take_variants(jnp.asarray(concepts), plan.masks[:, np.array(slots)], plan.variants), slots


def _strata_of(plan: Plan, features: tuple[int, ...]) -> jax.Array | None:
    return None if plan.strata is None else plan.strata[:, np.array(features)]


def _order(plan: Plan) -> np.ndarray:
    """Where each feature stands when the lookups' features are put side by side."""
    return np.argsort([f for _, features in plan.lookups for f in features])
