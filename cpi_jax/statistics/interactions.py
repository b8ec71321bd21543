"""Interactions of concepts: what permuting two together, with one shared donor, costs beyond permuting each alone.

    interaction(a, b) = I(a and b) - I(a) - I(b)

It is zero for a model that is additive in the metric. A nonlinear metric alone makes it non-zero: two concepts whose
logits simply add have an interaction in AUROC, since AUROC saturates.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cpi_jax.statistics.inference import Inference


def interaction_contrasts(triples: Sequence[tuple[int, int, int]], num_features: int) -> Float[Array, "p f"]:
    """One contrast for each (a, b, index of the feature that permutes both)."""
    out = np.zeros((len(triples), num_features), np.float32)
    for row, (a, b, both) in zip(out, triples):
        row[[a, b]] = -1
        row[both] = 1
    return jnp.asarray(out)


def interactions(inferred: Inference, triples: Sequence[tuple[int, int, int]]) -> Inference:
    """Interactions with their repeats and influences, in place of the features.

    Args:
      inferred: of single features and of those that permute two together, F features.
      triples: P triples (a, b, both) of indices of features.

    Returns:
      An `Inference` of P interactions, in the metric's unit.

    Example:
      A classifier that says whether one of two concepts is there, at least: permuting both costs less than the sum of
      what permuting each costs.

      >>> concepts = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]])
      >>> features = jnp.array([[True, False], [False, True], [True, True]])
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants).max(1)[None] - 1
      >>> labels, weights = concepts.max(1), jnp.ones(4)
      >>> inferred = cpi_jax.infer(jax.random.key(0), scores, labels, lookup, weights, cpi_jax.accuracy, num_repeats=0)
      >>> inferred.estimate.round(4)
      Array([0.3333, 0.3333, 0.5   ], dtype=float32)
      >>> round(float(cpi_jax.interactions(inferred, [(0, 1, 2)]).estimate[0]), 3)
      -0.167
    """
    return inferred.contrast(interaction_contrasts(triples, inferred.per_draw.shape[1]))
