"""Both validity checks of a study, as a table and as each feature's verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.analysis.advice import advise_generation, advise_independence
from cpi_jax.analysis.cases import label_names, sample_weights, sampling_clusters
from cpi_jax.analysis.importances import in_order_of_features, strata_of
from cpi_jax.data.examples import Examples
from cpi_jax.plan.record import Plan
from cpi_jax.plan.variants import take_variants
from cpi_jax.settings import Settings
from cpi_jax.statistics.metrics import class_indicators, class_logits
from cpi_jax.statistics.validity import Generation, Independence, effective_generation, independent_permutation
from cpi_jax.statistics.verdicts import judge, judge_independence, rarer_class, too_weak, worst


@dataclasses.dataclass(frozen=True)
class DetectorChecks:
    """What the checks say of the detector and of the pictures that it sees, whichever target is explained.

    Attributes:
      generation: its effective generation; None without real images or detector.
      independence: independent permutation, one row a comparison; None without detector.
      verdicts: of independent permutation, by feature; None without detector.
    """

    generation: pd.DataFrame | None = None
    independence: pd.DataFrame | None = None
    verdicts: Mapping[str, str] | None = None


def check_detector(
    plan: Plan, examples: Examples, real: np.ndarray | None, scores: np.ndarray, settings: Settings
) -> DetectorChecks:
    """Both validity checks, as far as they are the detector's.

    Args:
      plan: of the study.
      examples: its data.
      real: its logits [N, K] of the real images; None without images.
      scores: its logits [D, V, K] of the generated ones.
      settings: of the study.
    """
    generation = None
    if real is not None:
        measured = evaluate_generation(examples, examples.concepts, real, scores[:, plan.baseline], settings)
        generation = generation_table(examples.concept_names, "detector", measured, settings, examples.concepts)
    independence, verdicts = independence_table(
        plan, examples, evaluate_independence(plan, examples, scores, settings, real), settings
    )
    return DetectorChecks(generation, independence, verdicts)


def check_target(
    plan: Plan,
    examples: Examples,
    real: np.ndarray | None,
    scores: np.ndarray,
    settings: Settings,
    detector: DetectorChecks = DetectorChecks(),
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Both validity checks as a table, and each feature's verdict for a target.

    Args:
      plan: of the study.
      examples: its data.
      real: the target's logits [N, C] of the real images; None without images.
      scores: its logits [D, V, C] of the generated ones.
      settings: of the study.
      detector: the checks by the detector; without one there are none.
    """
    frames = []
    if real is not None:
        measured = evaluate_generation(examples, examples.labels, real, scores[:, plan.baseline], settings)
        names = label_names(scores.shape[-1])
        frames.append(generation_table(names, "target", measured, settings, examples.labels))
    if detector.generation is not None:
        frames.append(detector.generation)
    generation = pd.concat(frames, ignore_index=True) if frames else None
    if detector.independence is not None:
        frames.append(detector.independence)
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["check"])
    return table, join_verdicts(plan, examples, detector.verdicts, generation)


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
    of_real, of_generated = jnp.asarray(real), jnp.asarray(generated)
    if real.shape[1] > 1:
        classes = jnp.asarray(labels)
        truth = class_indicators(of_real, classes)
        of_real = class_logits(of_real, classes)
        of_generated = jax.vmap(lambda s: class_logits(s, classes))(of_generated)
    else:
        truth = np.asarray(labels).reshape(-1, 1) > 0
    clusters, _ = sampling_clusters(examples, settings)
    return effective_generation(
        of_real,
        of_generated,
        jnp.asarray(truth, jnp.int32),
        jnp.asarray(sample_weights(examples, settings), jnp.float32),
        None if clusters is None else jnp.asarray(clusters),
    )


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
    concepts, slots = concepts_of_rows(plan, examples)
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
                jnp.asarray(concepts[:, : len(examples.concept_names)]),
                jnp.asarray(np.moveaxis(concepts[:, own], 0, 1) > 0),
                lookup,
                jnp.asarray(sample_weights(examples, settings), jnp.float32),
                strata_of(plan, features),
                None if clusters is None else jnp.asarray(clusters),
                None if real is None else jnp.asarray(real),
            )
        )
    of_real, parts = parts[0].real, [part.replace(real=None) for part in parts]
    joined = jax.tree.map(lambda *x: jnp.concatenate(x, axis=0), *parts)
    return jax.tree.map(lambda x: x[in_order_of_features(plan)], joined).replace(real=of_real)


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
    plan: Plan, examples: Examples, independence: Mapping[str, str] | None, generation: pd.DataFrame | None
) -> dict[str, str]:
    """Each feature's verdict: of its permutation; "fail" where generation failed for the target or its own concepts."""
    out = dict(independence or dict.fromkeys(plan.names, "unchecked"))
    failed = set() if generation is None else set(generation.concept[generation.verdict == "fail"])
    for part in plan.features:
        own = {name for name, slot in zip(examples.concept_names, examples.concept_slots) if slot in part.slots}
        if any(name.startswith("target: ") for name in failed) or {f"detector: {name}" for name in own} & failed:
            out[part.name] = "fail"
    return out


def concepts_of_rows(plan: Plan, examples: Examples) -> tuple[np.ndarray, list[int]]:
    """Presence of every concept, and of the control's phrase, in each row's caption, int32 [V, J]; their slots."""
    num_rows, num_slots = plan.slots.tokens.shape[:2]
    slots = [*examples.concept_slots, *range(len(examples.slot_names), num_slots)]
    concepts = np.zeros((num_rows, len(slots)), np.int32)
    concepts[: len(examples), : len(examples.concept_names)] = examples.concepts
    concepts[len(examples) :, len(examples.concept_names) :] = 1  # the donor of the control
    return np.asarray(take_variants(jnp.asarray(concepts), plan.masks[:, np.array(slots)], plan.variants)), slots
