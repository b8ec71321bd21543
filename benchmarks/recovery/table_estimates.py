"""Our importances of the benchmark's models from a world's table of scores."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.recovery.estimates import Estimates, bottleneck_scores, estimate
from benchmarks.recovery.models import PlantedModels
from benchmarks.recovery.worlds import Table
from cpi_jax.data.shapes import CONCEPTS

NUM_CONCEPTS = len(CONCEPTS)


def of_bottlenecks(
    table: Table,
    models: PlantedModels,
    labels: np.ndarray,
    draws: Sequence[int],
    weights: np.ndarray,
    strata: np.ndarray | None = None,
) -> Estimates:
    """Our importances of every bottleneck, from some of the draws and examples of a world."""
    logits = jnp.asarray(table.scores[np.array(draws)][:, :, :NUM_CONCEPTS])
    return _estimate(table, bottleneck_scores(models, logits), labels, weights, strata)


def of_networks(table: Table, labels: np.ndarray, draws: Sequence[int], weights: np.ndarray) -> Estimates:
    """Our importances of every end-to-end network."""
    scores = jnp.moveaxis(jnp.asarray(table.scores[np.array(draws)][:, :, NUM_CONCEPTS:]), -1, 0)
    return _estimate(table, scores, labels, weights, None)


def _estimate(table: Table, scores, labels, weights, strata) -> Estimates:
    ((lookup, features),) = table.plan.lookups
    if tuple(features) != tuple(range(NUM_CONCEPTS)):
        raise ValueError(f"the concepts of {table.world.name} are not all there: {table.plan.skipped}")
    strata = None if strata is None else jnp.asarray(strata)
    found = estimate(scores, jnp.asarray(labels), lookup, jnp.asarray(weights, jnp.float32), strata)
    return jax.tree.map(np.asarray, found)
