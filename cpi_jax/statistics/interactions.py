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


def interactions(found: Inference, triples: Sequence[tuple[int, int, int]]) -> Inference:
    """Interactions with their repeats and influences, in place of the features.

    Args:
      found: of single features and of those that permute two together.
      triples: (a, b, both) indices of features.
    """
    return found.contrast(interaction_contrasts(triples, found.per_draw.shape[1]))
