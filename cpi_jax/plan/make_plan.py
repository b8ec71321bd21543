"""From captions to the images that a study needs: features, variants, and where their scores will be."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import UInt64

from cpi_jax.captions.encoding import Tokenizer
from cpi_jax.captions.slots import CaptionSlots, make_slots, validate_lengths
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError
from cpi_jax.plan.control import add_phrase, flip_coins, request_control
from cpi_jax.plan.describe import separator_of
from cpi_jax.plan.enumeration import plan_rows
from cpi_jax.plan.features import choose_features, feature_masks
from cpi_jax.plan.noise import noise_ids
from cpi_jax.plan.record import Feature, Plan
from cpi_jax.plan.requests import (
    Request,
    distinct_rows,
    feature_values,
    plan_shuffles,
    request_shuffles,
    request_values,
)
from cpi_jax.plan.strata import make_strata
from cpi_jax.plan.variants import Lookup, ShuffledLookup
from cpi_jax.settings import Settings
from cpi_jax.validation.score_table import validate_labels


def make_plan(
    examples: Examples,
    tokenizer: Tokenizer,
    length: int,
    settings: Settings,
    pictures: UInt64[np.ndarray, " n"] | None = None,
) -> Plan:
    """Tokenises the captions and lists the images that the study needs.

    Args:
      examples: the study's data.
      tokenizer: the generator's.
      length: tokens that its text encoder reads.
      settings: what is permuted, how captions are joined, the seed, and `statistics.stop_top_k`, which the number of
        features bounds.
      pictures: a hash of each example's real picture, where images are anchored in it.

    Raises:
      InputError: for captions that cannot be used, unknown concepts or columns, labels of one class, nothing that varies,
        too many interactions.
    """
    if len(examples) == 0:
        raise InputError("the data set has no examples")
    texts, order = [tuple(row) for row in examples.slots], examples.order
    if settings.control:
        texts, order = add_phrase(texts, order, settings.control)
    slots = make_slots(
        tokenizer, texts, length=length, separator=separator_of(examples, settings), empty=settings.empty, order=order,
        names=[*examples.ids, repr(settings.control)],
    )  # fmt: skip
    plan = _plan(examples, texts, slots, settings, pictures)
    num_ranked = sum(feature.role in ("concept", "group") for feature in plan.features)
    if settings.statistics.stop_top_k >= num_ranked:
        raise InputError(
            f"stop_top_k must be below the {num_ranked} concepts that are ranked, not {settings.statistics.stop_top_k}"
        )
    if plan.skipped:
        logging.warning("skipped, since every caption says the same of it: %s", ", ".join(plan.skipped))
    return plan


def plan_part(plan: Plan, examples: Examples, which: np.ndarray, settings: Settings) -> Plan:
    """The plan of some of a plan's examples, as if there were no others; see `make_plan`.

    Args:
      plan: of all.
      examples: the chosen ones.
      which: whether each of the plan's examples is chosen, bool [N].
      settings: of the plan.
    """
    rows = np.concatenate([which, np.ones(len(plan.texts) - len(which), bool)])  # the control's row stays
    texts = [text for text, chosen in zip(plan.texts, rows) if chosen]
    kept = np.flatnonzero(rows)
    order = None if plan.slots.order is None else plan.slots.order[kept]
    slots = dataclasses.replace(plan.slots, tokens=plan.slots.tokens[kept], order=order)
    return _plan(examples, texts, slots, settings, None if plan.pictures is None else plan.pictures[which])


def _plan(
    examples: Examples,
    texts: Sequence[tuple[str, ...]],
    slots: CaptionSlots,
    settings: Settings,
    pictures: np.ndarray | None,
) -> Plan:
    validate_labels(examples.labels, None)
    n, tokens = len(examples), np.asarray(slots.tokens)
    own = tokens[:n]
    features, skipped, interactions = choose_features(examples, own, settings)
    masks = feature_masks(features, tokens.shape[1])
    columns = [feature_values(own, mask) for mask in masks]
    values = np.stack([value for value, _ in columns], axis=1)
    strata = make_strata(examples, own, features, settings.condition_on)
    ids = noise_ids(examples.ids)

    requests, makers = _request(features, columns, strata, settings)
    if settings.control:
        values[:, -1] = flip_coins(settings.seed, ids)
        requests.append(request_control(len(features) - 1, n))
        makers.append(functools.partial(Lookup, values=jnp.asarray(values[:, -1:])))
    variants, codes, baseline, rows = plan_rows(tokens, masks, examples.ids, requests, slots.order, pictures)
    lookups = []
    for request, make, row in zip(requests, makers, rows):
        is_control = features[request.features[0]].role == "control"
        own_rows = row[np.arange(n), 0, values[:, -1]] if is_control else baseline
        lookups.append((make(baseline=jnp.asarray(own_rows), rows=jnp.asarray(row)), tuple(request.features)))
    plan = Plan(
        texts=texts,
        slots=slots,
        features=features,
        masks=jnp.asarray(masks),
        contents=np.stack([distinct_rows(own[:, k])[0] for k in range(own.shape[1])], axis=1),
        values=values,
        skipped=skipped,
        interactions=interactions,
        variants=jax.tree.map(np.asarray, variants),
        baseline=jnp.asarray(baseline),
        lookups=tuple(lookups),
        strata=None if strata is None else jnp.asarray(strata),
        codes=codes,
        ids=ids,
        pictures=pictures,
    )
    _validate_lengths(plan, examples.ids)
    return plan


def _request(
    features: Sequence[Feature],
    columns: Sequence[tuple[np.ndarray, np.ndarray]],
    strata: np.ndarray | None,
    settings: Settings,
) -> tuple[list[Request], list[Callable[..., Lookup | ShuffledLookup]]]:
    """What the features but the control need: all values of those that have few, shuffles of the others.

    Returns:
      Up to two requests, and for each what makes its lookup of baseline and rows.
    """
    n = len(columns[0][0])
    permuted = [f for f, feature in enumerate(features) if feature.role != "control"]
    few = [f for f in permuted if len(columns[f][1]) <= settings.max_values]
    many = [f for f in permuted if len(columns[f][1]) > settings.max_values]
    requests: list[Request] = []
    makers: list[Callable[..., Lookup | ShuffledLookup]] = []
    if few:
        chosen = [columns[f] for f in few]
        requests.append(request_values(chosen, few, None if strata is None else strata[:, few]))
        makers.append(functools.partial(Lookup, values=jnp.asarray(np.stack([value for value, _ in chosen], axis=1))))
    if many:
        stratum_of = np.zeros((n, len(features)), np.int32) if strata is None else strata
        shuffles = [
            plan_shuffles(features[f].name, stratum_of[:, f], seed=settings.seed, num_shuffles=settings.num_shuffles)
            for f in many
        ]
        donors = np.stack(shuffles, axis=1)
        requests.append(request_shuffles(donors, [columns[f] for f in many], many))
        makers.append(functools.partial(ShuffledLookup, donors=jnp.asarray(donors)))
    return requests, makers


def _validate_lengths(plan: Plan, ids: np.ndarray) -> None:
    """Refuses captions that the text encoder would cut."""

    def which(v: int) -> str:
        permuted = "a permuted" if plan.variants.feature[v] >= 0 else "the"
        return f"{permuted} caption of example {ids[int(plan.variants.example[v])]}"

    validate_lengths(plan.caption_lengths(), plan.slots.length, which)
