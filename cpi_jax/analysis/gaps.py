"""Gaps between groups of a column or concept: how large they are, and which concept they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.analysis.cases import sample_weights, sampling_clusters
from cpi_jax.analysis.groups import REST, comparisons, groups_of
from cpi_jax.analysis.importances import in_order_of_features, strata_of
from cpi_jax.data.examples import Examples
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.baseline import infer_baseline
from cpi_jax.statistics.contrasts import summarize_contrasts
from cpi_jax.statistics.few_cases import few_members
from cpi_jax.statistics.inference import Inference, infer, join_features
from cpi_jax.statistics.largest_gaps import largest_gaps
from cpi_jax.statistics.metrics import stack_metrics
from cpi_jax.statistics.metrics.gaps import GAPS, cross_labels
from cpi_jax.statistics.sampling_units import sampling_units

_METRIC = stack_metrics(tuple(GAPS.values()))
_NUMBERS = ("error", "ci_low", "ci_high", "p", "p_holm")


def gap_table(
    plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings, verdicts: Mapping[str, str]
) -> pd.DataFrame | None:
    """Gaps on the own captions, and of each the importance of every concept; None where none are asked for.

    Args:
      plan: of the study.
      examples: its data.
      scores: the target's logits, float32 [D, V, C], of one output or of two that exclude each other.
      settings: of the study.
      verdicts: of the validity of each feature.

    Returns:
      One row a (group, metric, concept): `between` the column, `group` minus `against`, the `metric`; `concept` is "" for
      the gap itself, and for the others the row is what of it goes when the concept is permuted; `estimate`, `error`,
      `ci_low`, `ci_high`, two-sided `p`, `p_holm` over the concepts that are ranked, `verdict`. The largest gaps have an
      estimate alone.
    """
    name = settings.statistics.gaps
    if not name:
        return None
    table = scores[..., 0] if scores.shape[-1] == 1 else scores[..., 1] - scores[..., 0]
    contents, which = groups_of(examples, name)
    weights, labels = sample_weights(examples, settings), np.asarray(examples.labels)
    shown = [f for f, part in enumerate(plan.features) if part.role != "pair"]
    ranked = tuple(place for place, f in enumerate(shown) if plan.features[f].role != "control")
    parts = []
    for content, inside, against in comparisons(contents, which, weights):
        own, importances = infer_gaps(plan, examples, table, settings, inside)
        about = {"between": name, "group": content, "against": against}
        for concepts, found in (
            ([""], summarize_contrasts(own, (), settings.statistics.level)),
            (
                [plan.names[f] for f in shown],
                summarize_contrasts(importances.take(np.array(shown)), ranked, settings.statistics.level),
            ),
        ):
            for m, metric in enumerate(GAPS):
                numbers = {"estimate": np.asarray(found.value)[:, m]}
                numbers |= {key: np.asarray(getattr(found, key))[:, m] for key in _NUMBERS}
                verdict = [verdicts.get(concept, "") for concept in concepts]
                parts.append(
                    pd.DataFrame({**about, "metric": metric, "concept": concepts, **numbers, "verdict": verdict})
                )
    each = [largest_gaps(s > 0, labels, which, weights) for s in table[:, np.asarray(plan.baseline)]]
    for metric in each[0]:
        value = float(np.mean([of_draw[metric] for of_draw in each]))
        about = {"between": name, "group": "largest of any two", "against": "", "metric": metric, "concept": ""}
        parts.append(pd.DataFrame([{**about, "estimate": value, **dict.fromkeys(_NUMBERS, np.nan), "verdict": ""}]))
    return pd.concat(parts, ignore_index=True)


def warn_of_gaps(examples: Examples, settings: Settings) -> tuple[str, ...]:
    """What to warn of: a class with few examples, or clusters, in a group or outside it."""
    name, labels = settings.statistics.gaps, np.asarray(examples.labels)
    if not name:
        return ()
    contents, which = groups_of(examples, name)
    weights = sample_weights(examples, settings)
    members = {
        f"class {value} where {name} is {side}": part & (labels == value)
        for content, inside, against in comparisons(contents, which, weights)
        for side, part in ((repr(content), inside), ("another" if against == REST else repr(against), ~inside))
        for value in (0, 1)
    }
    few = few_members(members, weights, sampling_clusters(examples, settings)[0])
    return tuple(f"gaps: {warning}" for warning in few)


def infer_gaps(
    plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings, group: np.ndarray
) -> tuple[Inference, Inference]:
    """The gaps between a group and the others on the own captions, and the importances of all features for them.

    Args:
      plan: of the study.
      examples: its data.
      scores: one logit an image, float32 [D, V].
      settings: of the study.
      group: its members, bool [N].
    """
    weights = jnp.asarray(sample_weights(examples, settings), jnp.float32)
    clusters, num_clusters = sampling_clusters(examples, settings)
    clusters = None if clusters is None else jnp.asarray(clusters)
    labels, table = cross_labels(np.asarray(examples.labels, np.int32), group), jnp.asarray(scores)
    own = infer_baseline(
        table[:, plan.baseline], labels, weights, _METRIC, clusters, num_classes=4, num_clusters=num_clusters
    )
    parts = [
        infer(
            jax.random.key(0), table, labels, lookup, weights, _METRIC, strata_of(plan, features), clusters,
            num_clusters=num_clusters, num_repeats=0,
        )
        for lookup, features in plan.lookups
    ]  # fmt: skip
    importances = join_features(parts).take(in_order_of_features(plan))
    units = sampling_units(labels, weights, 4, clusters, num_clusters)  # class and group
    ones = jnp.ones(len(GAPS))  # rates are of size 1, also where their gap is small: what is rounding follows from that
    own, importances = (dataclasses.replace(part, units=units, scale=ones) for part in (own, importances))
    return own, importances
