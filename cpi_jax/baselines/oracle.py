"""The oracle: importance of the concept scores themselves, where a classifier is known to read nothing else."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cpi_jax.importance.functional import importance
from cpi_jax.importance.metrics import MetricFunction, auroc
from cpi_jax.variants import Lookup


def oracle_importance(
    concept_scores: Float[Array, "n k"],
    labels: Int[Array, " n"],
    readout: Callable[[jax.Array], jax.Array],
    strata: Int[Array, "n k"] | None = None,
    metric: MetricFunction = auroc,
) -> Float[Array, " k"]:
    """Importance of each score by the same functional as a study's: everybody else's score in the example's place.

    Runs under jit and vmap; holds K N^2 scores.

    Args:
      concept_scores: what the classifier reads off the N real images; any numbers, each its own value.
      labels: of the examples.
      readout: concept scores [..., K] -> scores of the outcome [...].
      strata: of every example and concept, for conditional permutation (`strata_of_others`).
      metric: of the importance.

    Returns:
      The signed drop of every concept; NaN where a class is missing or everybody is alone in their stratum.
    """
    n, k = concept_scores.shape
    places = jnp.arange(n, dtype=jnp.int32)

    def with_donors(j):  # [N recipients, N donors]
        own = jnp.broadcast_to(concept_scores[:, None], (n, n, k))
        return readout(own.at[:, :, j].set(jnp.broadcast_to(concept_scores[None, :, j], (n, n))))

    permuted = jax.lax.map(with_donors, jnp.arange(k))
    scores = jnp.concatenate([readout(concept_scores), permuted.ravel()])
    rows = n + jnp.arange(k * n * n, dtype=jnp.int32).reshape(k, n, n).swapaxes(0, 1)
    lookup = Lookup(places, rows, jnp.broadcast_to(places[:, None], (n, k)))
    return importance(scores[None], labels, lookup, jnp.ones(n), metric, strata)[0]


def strata_of_others(concepts: Int[np.ndarray, "n k"]) -> Int[np.ndarray, "n k"]:
    """For every concept, examples that agree in all other concepts share a stratum."""
    columns = [
        np.unique(np.delete(concepts, j, axis=1), axis=0, return_inverse=True)[1] for j in range(concepts.shape[1])
    ]
    return np.stack([c.reshape(-1) for c in columns], axis=1).astype(np.int32)
