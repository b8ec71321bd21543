"""Differences of importances, between two subgroups or two classifiers, with the uncertainty of both."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.sampling_units import SamplingUnits


def subgroup_difference(first: Inference, second: Inference) -> Inference:
    """The second subgroup's importances minus the first's, in place of the features.

    Both are of the same study with other weights (`infer`), so that they have the same units and resamples. An example is
    of one subgroup, and its variance stays by class and subgroup. A cluster that has examples in both counts once, with
    what it contributes to the difference; then all units are one group.

    Args:
      first: of the examples of one subgroup, the others without weight.
      second: of those of another.

    Returns:
      An `Inference` of the differences, in the metric's unit.

    Example:
      Half of the examples are of each subgroup; the classifier reads the concept in all of them, so nothing differs.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> metric, key = cpi_jax.accuracy, jax.random.key(0)
      >>> first, second = (
      ...     cpi_jax.infer(key, scores, concepts[:, 0], lookup, jnp.array(weights), metric, num_repeats=0)
      ...     for weights in ([1.0, 0, 1, 0], [0, 1.0, 0, 1])
      ... )
      >>> first.estimate, cpi_jax.subgroup_difference(first, second).estimate
      (Array([1., 0.], dtype=float32), Array([0., 0.], dtype=float32))
    """
    return _subtract(first, second, _join(first.units, second.units))


def target_difference(first: Inference, second: Inference) -> Inference:
    """The second classifier's importances minus the first's, in place of the features.

    Both are of the same pictures, examples and weights (`infer` with the same arguments but for the scores), and so are
    their resamples and planned shuffles. What an example contributes to the difference is the difference of what it
    contributes to both: what the classifiers have in common cancels. Units vary by class, as for one classifier.

    Args:
      first: of one classifier.
      second: of another.

    Returns:
      An `Inference` of the differences, in the metric's unit.

    Example:
      Two classifiers on the same pictures: the first reads one concept, the second the other, which says nothing.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None] - 1  # [draw, variant, classifier]
      >>> first, second = (
      ...     cpi_jax.infer(
      ...         jax.random.key(0), scores[..., c], concepts[:, 0], lookup, jnp.ones(4), cpi_jax.accuracy, num_repeats=0
      ...     )
      ...     for c in (0, 1)
      ... )
      >>> cpi_jax.target_difference(first, second).estimate.round(4)
      Array([-0.6667,  0.    ], dtype=float32)
    """
    return _subtract(first, second, first.units)


def _subtract(first: Inference, second: Inference, units: SamplingUnits) -> Inference:
    return dataclasses.replace(
        second,
        per_draw=second.per_draw - first.per_draw,
        repeats=second.repeats - first.repeats,
        influence=second.influence - first.influence,
        scale=jnp.maximum(first.scale, second.scale),
        units=units,
    )


def _join(first: SamplingUnits, second: SamplingUnits) -> SamplingUnits:
    count = first.num_groups
    a, b = np.asarray(first.group), np.asarray(second.group)
    in_first, in_second = a < count, b < count
    if (in_first & in_second).any():
        group = np.where(in_first | in_second, 0, 2 * count)
    else:
        group = np.where(in_first, a, np.where(in_second, count + b, 2 * count))
    return SamplingUnits(jnp.asarray(group, jnp.int32), 2 * count)
