"""Conditional permutation: the groups of examples within which each feature is permuted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError, require_known
from cpi_jax.plan.record import Feature
from cpi_jax.plan.requests import distinct_rows


def make_strata(
    examples: Examples, tokens: np.ndarray, features: Sequence[Feature], condition_on: Sequence[str]
) -> np.ndarray | None:
    """The stratum of each example for each feature: those who agree in all that is conditioned on but the feature itself.

    Args:
      examples: of the study.
      tokens: their tokenised slots, int32 [N, K, S].
      features: what is permuted; a control always freely.
      condition_on: names of concepts and columns, or ("all",) for all concepts.

    Returns:
      int32 [N, F]; None where everybody is one group.

    Raises:
      InputError: for a name that is neither concept nor column, or strata in which nothing can be permuted.
    """
    if not condition_on:
        return None
    names = examples.permutable if tuple(condition_on) == ("all",) else tuple(condition_on)
    for name in names:
        require_known(name, "concept or column", (*examples.permutable, *examples.columns))
    strata = np.zeros((len(examples), len(features)), np.int32)
    for f, feature in enumerate(features):
        if feature.role == "control":
            continue
        conditions = []
        for name in names:
            if name in examples.slot_names:
                k = examples.slot_names.index(name)
                conditions.append(tokens[:, k] if k not in feature.slots else np.zeros((len(tokens), 1), int))
            else:
                conditions.append(examples.contents_of(name)[1].reshape(-1, 1))
        strata[:, f], _ = distinct_rows(np.concatenate(conditions, axis=1))
        if np.bincount(strata[:, f]).max() < 2:
            what = f"no two examples agree in {', '.join(names)}"
            raise InputError(f"{what}, so {feature.name} cannot be permuted among such: condition on less")
    return strata
