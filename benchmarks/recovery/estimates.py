"""Importances of many models from one table, and the truth that they are held against."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int, Num

from benchmarks.recovery.models import PlantedModels
from cpi_jax.baselines.oracle import oracle_importance, weighted_auroc
from cpi_jax.statistics.functional import AnyLookup
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.metrics import auroc
from cpi_jax.statistics.significance import jackknife_interval

RESOLUTION = 2.0**-16  # below it a drop of AUROC is float32's rounding, see `Inference.resolution`


@struct.dataclass
class Estimates:
    """Drops of AUROC of M models for K concepts, with standard errors and 95 % intervals, [M, K] each; a pytree."""

    value: Float[Array | np.ndarray, "... k"]
    error: Float[Array | np.ndarray, "... k"]
    low: Float[Array | np.ndarray, "... k"]
    high: Float[Array | np.ndarray, "... k"]


@jax.jit
def estimate(
    scores: Float[Array, "m d v"],
    labels: Int[Array, "m n"],
    lookup: AnyLookup,
    weights: Float[Array, " n"],
    strata: Int[Array, "n k"] | None = None,
) -> Estimates:
    """Importances of every model, from the scores of all of them on the same images.

    Args:
      scores: of the generated images, by model.
      labels: of the examples, by model.
      lookup: of the plan.
      weights: of the examples; zero leaves one out.
      strata: of every example and concept, for conditional permutation.
    """

    def of_model(x):
        found = infer(jax.random.key(0), x[0], x[1], lookup, weights, auroc, strata, num_repeats=0).without_rounding()
        value, error = found.estimate, found.standard_error
        return Estimates(value, error, *jackknife_interval(value, error, found.degrees_of_freedom))

    return jax.lax.map(of_model, (scores, labels))


def concept_scores(logits: Float[Array | np.ndarray, "... k"]) -> Float[Array, "... k"]:
    """A bottleneck's concept scores: the probabilities that its network gives."""
    return jax.nn.sigmoid(logits)


def bottleneck_scores(models: PlantedModels, logits: Float[Array | np.ndarray, "d v k"]) -> Float[Array, "m d v"]:
    """Scores of every bottleneck from the concept logits of the images."""
    return jnp.moveaxis(jnp.asarray(models.logits(np.asarray(concept_scores(logits))), jnp.float32), -1, 0)


def true_importance(
    models: PlantedModels,
    scores: Num[np.ndarray | Array, "n k"],
    labels: Int[np.ndarray, "m n"],
    strata: Int[np.ndarray, "n k"] | None = None,
) -> Float[np.ndarray, "m k"]:
    """The oracle of every model on concept scores of real images: probabilities, or the presence itself.

    What rounding leaves of a drop that is zero is zero, as in the estimates.
    """
    scores = np.asarray(scores, float)

    def of_model(m):
        return oracle_importance(scores, labels[m], lambda s: s @ models.weights[m] + models.bias[m], strata)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # sorting releases the interpreter's lock
        found = np.stack(list(pool.map(of_model, range(len(models)))))
    return np.where(np.abs(found) <= RESOLUTION, 0.0, found)


def population_importance(models: PlantedModels) -> Float[np.ndarray, "m k"]:
    """Importance of every model over all examples there could be: independent concepts of prevalence one half."""
    k = models.weights.shape[1]
    concepts = np.array(list(itertools.product([0, 1], repeat=k)))
    logits = models.logits(concepts)  # [2^K, M]
    positive = 1 / (1 + np.exp(-logits))
    out = np.empty_like(models.weights)
    for m in range(len(models)):
        own = _population_auroc(logits[:, m], positive[:, m])
        for j in range(k):
            other = models.logits(np.where(np.arange(k) == j, 1 - concepts, concepts))[:, m]
            scores = np.concatenate([logits[:, m], other])
            out[m, j] = own - _population_auroc(scores, np.tile(positive[:, m], 2))
    return out


def _population_auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a case of the one class scores above a case of the other, ties one half; equally frequent rows."""
    both = np.repeat([True, False], len(scores))
    return weighted_auroc(np.tile(scores.astype(np.float32), 2), both, np.concatenate([positive, 1 - positive]))
