"""Which features a study permutes: concepts, groups of them, pairs for interactions, and the control."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import numpy as np

from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError, require_known
from cpi_jax.plan.record import Feature
from cpi_jax.settings import Settings


def choose_features(
    examples: Examples, tokens: np.ndarray, settings: Settings
) -> tuple[tuple[Feature, ...], tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    """The features that vary, the concepts that do not, and which features make up each interaction.

    Args:
      examples: whose concepts are permuted.
      tokens: their tokenised slots, int32 [N, K, S].
      settings: `concepts`, `groups`, `interactions` and the most of them, `condition_on` and `control` are read.

    Returns:
      F features, a control the last one; names of concepts that never vary; indices (a, b, both) of features.

    Raises:
      InputError: for a name that is no concept, nothing that varies, what cannot interact, or two features of one name.
    """
    slot_names = tuple(examples.slot_names)
    chosen = tuple(dict.fromkeys(settings.concepts or examples.permutable))
    for name in (*chosen, *(name for group in settings.groups for name in group)):
        require_known(name, "concept", examples.permutable)
    varies = dict(zip(slot_names, (tokens != tokens[:1]).any((0, 2))))
    names = [name for name in chosen if varies[name]]
    skipped = tuple(name for name in chosen if not varies[name])
    if not names:
        raise InputError("none of the chosen concepts varies over these captions, so there is nothing to permute")
    pairs = _choose_pairs(examples, names, settings)

    def joint(members: Sequence[str], role: str) -> Feature:
        return Feature(" + ".join(members), role, tuple(sorted(slot_names.index(name) for name in set(members))))

    features = [joint((name,), "concept") for name in names]
    for members, role in [(group, "group") for group in settings.groups] + [(pair, "pair") for pair in pairs]:
        if joint(members, role).slots not in [feature.slots for feature in features]:
            features.append(joint(members, role))
    slots = [feature.slots for feature in features]
    interactions = tuple((names.index(a), names.index(b), slots.index(joint((a, b), "pair").slots)) for a, b in pairs)
    if settings.control:
        features.append(Feature(f"control: {settings.control}", "control", (len(slot_names),)))
    _refuse_same_names([feature.name for feature in features], "a group, a pair or the control")
    _refuse_same_names([f"{a} x {b}" for a, b in pairs], "an interaction")
    return tuple(features), skipped, interactions


def feature_masks(features: Sequence[Feature], num_slots: int) -> np.ndarray:
    """Slots of each feature, bool [F, K]."""
    masks = np.zeros((len(features), num_slots), bool)
    for mask, feature in zip(masks, features):
        mask[list(feature.slots)] = True
    return masks


def _choose_pairs(examples: Examples, names: Sequence[str], settings: Settings) -> tuple[tuple[str, str], ...]:
    """Pairs of the named concepts, which vary, whose interaction is measured."""
    every_pair = tuple(settings.interactions) == ("all",)
    # Settings hold pairs alone, or ("all",).
    named = cast(tuple[tuple[str, str], ...], settings.interactions)
    pairs = tuple(itertools.combinations(names, 2) if every_pair else dict.fromkeys(named))
    if len(pairs) > settings.max_interactions:
        raise InputError(
            f"{len(pairs)} interactions are asked for and the plan holds {settings.max_interactions}: name the pairs that "
            "matter, or raise max_interactions"
        )
    conditions = set(examples.permutable if tuple(settings.condition_on) == ("all",) else settings.condition_on)
    for pair in pairs:
        if len(pair) == 2 and conditions & set(pair):
            reason = "needs both to be permuted freely: leave them out of condition_on"
            raise InputError(f"the interaction of {pair[0]} and {pair[1]} {reason}")
        if len(pair) != 2 or pair[0] == pair[1]:
            raise InputError(f"an interaction is of two concepts, not of {', '.join(pair)}")
        for name in pair:
            require_known(name, "concept to interact", names)
    return pairs


def _refuse_same_names(names: Sequence[str], kind: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{kind} would be called {name!r}, as another feature is: rename a concept")
