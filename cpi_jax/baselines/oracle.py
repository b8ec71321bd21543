"""The oracle: importance of the concept scores themselves, where a classifier is known to read nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, Num

from cpi_jax.errors import InputError


def oracle_importance(
    concept_scores: Num[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"],
    readout: Callable[[np.ndarray], np.ndarray],
    strata: Int[np.ndarray, "n k"] | None = None,
) -> Float[np.ndarray, " k"]:
    """Drop of AUROC when a score is permuted, by the functional of a study: each other example's score in turn.

    Runs on the host and sorts N^2 scores for every concept.

    Args:
      concept_scores: what the classifier reads off the N real images; any numbers, each its own value.
      labels: {0, 1}.
      readout: concept scores [..., K] -> scores of the outcome [...].
      strata: of every example and concept, for conditional permutation (`strata_of_others`).

    Returns:
      The signed drop for every concept. Examples that are alone in their stratum are left out of both terms.

    Raises:
      InputError: where only one class is left.

    Example:
      The outcome is the first concept: AUROC 1, and 1/3 once its scores come from other examples.

      >>> import cpi_jax, numpy as np
      >>> concepts = np.array([[0, 1], [0, 0], [1, 1], [1, 0]])
      >>> cpi_jax.oracle_importance(concepts, concepts[:, 0], lambda scores: scores[..., 0]).round(3).tolist()
      [0.667, 0.0]
    """
    n, k = concept_scores.shape
    positive = np.asarray(labels) > 0
    own = _scores(readout, concept_scores)
    drops = np.empty(k)
    for j in range(k):
        same = np.ones((n, n), bool) if strata is None else strata[:, None, j] == strata[None, :, j]
        np.fill_diagonal(same, False)  # nobody is their own donor
        donors = same.sum(1)
        used = donors > 0
        if not (positive[used].any() and (~positive[used]).any()):
            raise InputError(f"concept {j} can be permuted among examples of one class only: there is no AUROC")
        swapped = np.broadcast_to(concept_scores[:, None], (n, n, k)).copy()
        swapped[:, :, j] = concept_scores[None, :, j]
        recipient, donor = np.nonzero(same)
        permuted = weighted_auroc(
            _scores(readout, swapped)[recipient, donor], positive[recipient], 1 / donors[recipient]
        )
        drops[j] = weighted_auroc(own[used], positive[used], np.ones(used.sum())) - permuted
    return drops


def _scores(readout: Callable[[np.ndarray], np.ndarray], concept_scores: np.ndarray) -> np.ndarray:
    """Scores in float32, as a study has them: equal contents then tie, in whatever order float64 added them up."""
    return readout(concept_scores).astype(np.float32)


def weighted_auroc(scores: Float[np.ndarray, " n"], positive: np.ndarray, weights: Float[np.ndarray, " n"]) -> float:
    """Chance that a case of the one class scores above one of the other, ties one half (Hanley & McNeil 1982)."""
    order = np.argsort(scores[~positive])
    negative = scores[~positive][order]
    below = np.concatenate([[0.0], np.cumsum(weights[~positive][order])])
    cases = scores[positive]
    won = (below[np.searchsorted(negative, cases, "left")] + below[np.searchsorted(negative, cases, "right")]) / 2
    return float(weights[positive] @ won / (weights[positive].sum() * below[-1]))


def strata_of_others(concepts: Int[np.ndarray, "n k"]) -> Int[np.ndarray, "n k"]:
    """For every concept, examples that agree in all other concepts share a stratum.

    Returns:
      A number of each example's stratum, by concept: the `strata` of `oracle_importance` and of a conditional permutation.

    Example:
      >>> import cpi_jax, numpy as np
      >>> cpi_jax.strata_of_others(np.array([[0, 1], [0, 0], [1, 1]])).tolist()
      [[1, 0], [0, 0], [1, 1]]
    """
    columns = [
        np.unique(np.delete(concepts, j, axis=1), axis=0, return_inverse=True)[1] for j in range(concepts.shape[1])
    ]
    return np.stack([c.reshape(-1) for c in columns], axis=1).astype(np.int32)
