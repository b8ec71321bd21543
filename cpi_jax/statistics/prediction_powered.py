"""A few true scores correct many generated ones: prediction-powered importances."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.sampling_units import SamplingUnits
from cpi_jax.statistics.significance import student_quantile


def correct_by_pairs(
    true: Inference, generated_there: Inference, generated: Inference, paired: Bool[Array, " g"]
) -> tuple[Inference, Float[Array, "f m"]]:
    """Importances on true counterfactuals, from the few examples that have them and the generated pictures of all.

    With S the examples that have true pictures and lambda in [0, 1],

        I = I(true, S) + lambda (I(generated, all) - I(generated, S))

    is about the true pictures whatever the generator is worth, since over random S the mean of the parenthesis is 0
    (Angelopoulos et al. 2023, arXiv 2301.09633). Lambda minimises the variance, for each feature and metric (PPI++, arXiv
    2311.01453): where the generator is of no use it is 0, and what remains is the estimate from the pairs alone; so it is
    where the 95 % interval would otherwise be the wider one. A unit's influence is that of the whole sum; the variance is
    by class, and by whether a unit has true pictures.

    Args:
      true: of the true pictures, whose recipients are S (`infer`), in one draw.
      generated_there: of the generated pictures, with the same recipients.
      generated: of the generated pictures of all examples.
      paired: which sampling units have true pictures.

    Returns:
      The corrected importances, averaged over draws, [1, F, M]; and lambda, [F, M].

    Example:
      The generator paints the first concept in half of the pictures that name it, but always in the same examples'.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]] * 10), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(40))
      >>> true = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> generated = jnp.where(variants.example % 8 < 4, true, -1.0)
      >>> labels, pairs = concepts[:, 0], jnp.arange(40) % 5 < 2
      >>> metric = cpi_jax.stack_metrics((cpi_jax.accuracy,))
      >>> importances = [
      ...     cpi_jax.infer(
      ...         jax.random.key(0), scores, labels, lookup, jnp.ones(40), metric, num_repeats=0, recipients=recipients
      ...     )
      ...     for scores, recipients in ((true, pairs * 1.0), (generated, pairs * 1.0), (generated, None))
      ... ]
      >>> corrected, weight = cpi_jax.correct_by_pairs(*importances, pairs)
      >>> [round(float(x.estimate[0, 0]), 3) for x in (*importances, corrected)]
      [0.513, 0.256, 0.256, 0.513]
    """
    units = _split(generated.units, paired)
    of_pairs = true.influence.mean(0)
    of_rest = generated.influence.mean(0) - generated_there.influence.mean(0)
    weight = _least_variance(units, of_pairs, of_rest)
    wider = _reach(units, of_pairs + weight[..., None] * of_rest) > _reach(units, of_pairs)
    weight = jnp.where(wider, 0, weight)
    estimate = true.estimate + weight * (generated.estimate - generated_there.estimate)
    corrected = dataclasses.replace(
        generated,
        per_draw=estimate[None],
        repeats=jnp.empty((0, *estimate.shape)),
        influence=(of_pairs + weight[..., None] * of_rest)[None],
        scale=jnp.maximum(true.scale, generated.scale),
        units=units,
    )
    return corrected, weight


def _split(units: SamplingUnits, paired: Bool[Array, " g"]) -> SamplingUnits:
    """Every group in two, those without and those with true pictures; a unit without weight stays in none."""
    count = units.num_groups
    group = jnp.where(units.group < count, units.group + count * paired, 2 * count)
    return SamplingUnits(group.astype(jnp.int32), 2 * count)


def _reach(units: SamplingUnits, influence: Float[Array, "f m g"], level: float = 0.95) -> Float[Array, "f m"]:
    """Half the width of an interval."""
    return student_quantile((1 + level) / 2, units.cautious_degrees_of_freedom(influence)) * units.standard_error(
        influence
    )


def _least_variance(
    units: SamplingUnits, of_pairs: Float[Array, "f m g"], of_rest: Float[Array, "f m g"]
) -> Float[Array, "f m"]:
    """The weight in [0, 1] that minimises the variance of `of_pairs + weight * of_rest`, a parabola of the weight."""
    plus, minus = (units.variances(of_pairs + sign * of_rest).sum(-1) for sign in (1, -1))
    square = units.variances(of_rest).sum(-1)
    least = (minus - plus) / (4 * jnp.where(square > 0, square, 1))
    return jnp.where(square > 0, jnp.clip(least, 0, 1), 0.0)


def corrected_interval(
    corrected: Inference, level: float = 0.95
) -> tuple[Float[Array, "f m"], Float[Array, "f m"], Float[Array, "f m"]]:
    """Standard error and interval of a corrected importance, or of the pairs alone.

    A hundred pairs may lack the few examples on which an importance depends: the degrees of freedom are those of the
    influences' own tails (`SamplingUnits.cautious_degrees_of_freedom`).

    Args:
      corrected: of `correct_by_pairs`; or the true pictures' importances, with the same units.
      level: of the interval.
    """
    reach = _reach(corrected.units, corrected.influence.mean(0), level)
    return corrected.standard_error, corrected.estimate - reach, corrected.estimate + reach


def draw_subset(labels: Int[np.ndarray, "n ..."], weights: Float[np.ndarray, " n"], num: int, seed: int) -> np.ndarray:
    """A random subset of the examples with weight, of each class as many as its share: indices in their order, [num].

    Where a share is no whole number, the classes with the largest remainders get one more. Examples with several labels
    each are one class.

    Args:
      labels: class index [N], or {0, 1} for each of several labels [N, C].
      weights: of the examples, [N].
      num: how many, at most as many as have weight.
      seed: of the draw.

    Example:
      >>> draw_subset(np.array([0, 0, 0, 1, 1, 1]), np.array([1.0, 1, 1, 1, 1, 0]), 3, seed=0).tolist()
      [1, 2, 3]
    """
    rng, used = np.random.default_rng(seed), np.asarray(weights) > 0
    labels = np.zeros(len(used), int) if labels.ndim == 2 else np.asarray(labels)
    members = [np.flatnonzero(used & (labels == value)) for value in np.unique(labels[used])]
    shares = num * np.array([len(of_class) for of_class in members]) / used.sum()
    counts = np.floor(shares + 1e-9).astype(int)
    counts[np.argsort(counts - shares, kind="stable")[: num - counts.sum()]] += 1
    chosen = [rng.choice(of_class, count, replace=False) for of_class, count in zip(members, counts)]
    return np.sort(np.concatenate(chosen))
