"""The two conditions under which a ranking holds: effective generation and independent permutation (DEPICT, section 3).

Here they are measured; `cpi_jax.statistics.verdicts` judges them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from cpi_jax.statistics.functional import (
    AnyLookup,
    Prepared,
    Strata,
    evaluate_with_influence,
    prepare,
    prepare_permuted,
)
from cpi_jax.statistics.metrics import Metric, auroc
from cpi_jax.statistics.metrics.sums import weighted_sums
from cpi_jax.statistics.sampling_units import sampling_units


@struct.dataclass
class Estimate:
    """Numbers with their standard errors; a pytree."""

    value: Float[Array, "..."]
    error: Float[Array, "..."]


@struct.dataclass
class Generation:
    """Effective generation of one scorer; a pytree.

    Attributes:
      real: AUROC on the real images, [C].
      generated: on the images of the examples' own captions, averaged over draws, [C].
      lost: real minus generated, with the standard error of the paired difference.
    """

    real: Float[Array, " c"]
    generated: Float[Array, " c"]
    lost: Estimate


@struct.dataclass
class Independence:
    """Independent permutation, for each permuted feature and each concept that the detector knows; a pytree.

    Attributes:
      change: AUROC of the detector against the concepts of the original captions, after minus before permuting, [F, K].
      follows: AUROC of the detector on the permuted images against the concepts of the permuted captions, [F, K]; high
        where the images carry what their captions say and the detector sees it.
      real: AUROC of the detector on the real images, [K]; None without real images.
      shortfall: `real` minus `follows`, with the standard error of the paired difference: what the detector misses on
        permuted images beyond what it misses anyway, [F, K]. Without real images 1 takes the place of `real`, the most
        that it can be.
      leak: AUROC of the detector's decision about concept k (score > 0) against the permuted presence of the feature,
        minus that of its decision on the example's own image, [F, K]; of a feature with several contents, the one with
        the largest upper bound.
        Off the diagonal this is 0 unless the feature's words paint or erase something else; `change` cannot see that where
        the concepts are independent. Decisions, since a shift of all logits by a crowded scene is no leak.
    """

    change: Estimate
    follows: Estimate
    leak: Estimate
    shortfall: Estimate
    real: Estimate | None = None


@jax.jit
def effective_generation(
    real: Float[Array, "n c"],
    generated: Float[Array, "d n c"],
    labels: Int[Array, "n c"],
    weights: Float[Array, " n"],
    clusters: Int[Array, " n"] | None = None,
) -> Generation:
    """Compares scores of real and of regenerated images.

    Args:
      real: scores of the real images, [N, C].
      generated: scores of the baseline rows, [D, N, C].
      labels: {0, 1}, [N, C].
      weights: of the examples.
      clusters: of the examples, int32 [N] below N; standard errors are then of clusters.

    Returns:
      AUROC and its losses; NaN for an output without weight in both classes.

    Example:
      The detector orders the real images of a concept, and one generated image of each class wrongly.

      >>> real, generated = jnp.array([[3.0], [1.0], [-1.0], [-2.0]]), jnp.array([[[1.0], [-1.0], [1.5], [-2.0]]])
      >>> generation = cpi_jax.effective_generation(real, generated, jnp.array([[1], [1], [0], [0]]), jnp.ones(4))
      >>> float(generation.real[0]), float(generation.generated[0]), float(generation.lost.value[0])
      (1.0, 0.5, 0.5)
    """

    def of_output(x):
        one, many, label = x  # [N], [D, N], [N]
        on_real, on_generated = auroc.prepare(one, label), jax.lax.map(lambda s: auroc.prepare(s, label), many)

        def both(w):
            column = w[:, None]
            return jnp.stack([on_real(column)[0], jax.lax.map(lambda p: p(column)[0], on_generated).mean()])

        before, after = both(weights)
        gradient = jax.jacrev(both)(weights)
        return before, after, _error((gradient[0] - gradient[1]) * weights, label, weights, clusters)

    before, after, error = jax.lax.map(of_output, (real.T, jnp.moveaxis(generated, 2, 0), labels.T))
    return Generation(before, after, Estimate(before - after, error))


@jax.jit
def independent_permutation(
    scores: Float[Array, "d v k"],
    concepts: Int[Array, "n k"],
    permuted_concepts: Int[Array, "v k"],
    contents: Bool[Array, "r v f"],
    lookup: AnyLookup,
    weights: Float[Array, " n"],
    strata: Strata = None,
    clusters: Int[Array, " n"] | None = None,
    real: Float[Array, "n k"] | None = None,
) -> Independence:
    """What permuting each feature does to the detector's view of each concept, averaged over draws.

    Args:
      scores: the detector's table, [D, V, K].
      concepts: presence in the original captions, [N, K].
      permuted_concepts: presence in each row's caption, [V, K] (`take_variants`).
      contents: R indicators of what each row's caption says in the slots of each feature: that it says something, or one
        for each thing that it can say (repeated where a feature has fewer), [R, V, F].
      lookup: where the rows are.
      weights: of the examples.
      strata: within which the features were permuted.
      clusters: of the examples, int32 [N] below N; standard errors are then of clusters.
      real: the detector's scores of the real images, [N, K].

    Returns:
      AUROCs and their differences, [F, K]; NaN for a concept without weight in both classes.

    Example:
      A detector that reads the first of two concepts, and not the second: the images follow the first concept's words.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> permuted_concepts = cpi_jax.take_variants(concepts, features, variants)
      >>> scores = (permuted_concepts * jnp.array([2.0, 0.0]) - 1)[None]
      >>> independence = cpi_jax.independent_permutation(
      ...     scores, concepts, permuted_concepts, permuted_concepts[None] > 0, lookup, jnp.ones(4)
      ... )
      >>> independence.follows.value  # [permuted feature, concept]
      Array([[1. , 0.5],
             [1. , 0.5]], dtype=float32)
    """
    contents = contents.astype(jnp.int32)
    # The baseline row of each row's example; padded entries (-1) are sent past the end and dropped.
    rows = jnp.where(lookup.rows < 0, scores.shape[1], lookup.rows)
    baseline = jnp.broadcast_to(lookup.baseline[:, None, None], rows.shape)
    own_row = jnp.zeros(scores.shape[1], jnp.int32).at[rows].set(baseline, mode="drop")

    def of_concept(x):
        s, before, after, on_real = x  # [D, V], [N], [V], [N]

        def evaluated(prepared: Prepared) -> tuple[Array, Array]:
            value, influence = evaluate_with_influence(prepared, lookup, weights, strata)
            return value.mean(0), influence.mean(0)

        def with_error(value: Array, influence: Array) -> Estimate:
            return Estimate(value, _error(influence, before, weights, clusters))

        def estimate(prepared: Prepared, sign: float = 1.0) -> Estimate:
            value, influence = evaluated(prepared)
            return with_error(sign * value, influence)

        labels = jnp.broadcast_to(after[:, None], contents.shape[1:])
        decision = (s > 0).astype(jnp.float32)
        both = jnp.stack([decision, decision[:, own_row]], -1)
        leaks = jax.lax.map(lambda content: estimate(prepare_permuted(both, content, lookup, _auroc_beyond)), contents)
        bound = jnp.abs(leaks.value) + 1.645 * leaks.error  # all of them lie within a margin if the largest does
        largest = jnp.where(jnp.isnan(bound), -1.0, bound).argmax(0)
        follows, of_follows = evaluated(prepare_permuted(s, labels, lookup, auroc))
        most, of_most = jnp.ones(()), jnp.zeros_like(weights)
        if on_real is not None:
            prepared = auroc.prepare(on_real, before)
            most, gradient = jax.value_and_grad(lambda w: prepared(w[:, None])[0])(weights)
            of_most = gradient * weights
        return Independence(
            change=estimate(prepare(s, before, lookup, auroc), -1.0),
            follows=with_error(follows, of_follows),
            leak=jax.tree.map(lambda x: jnp.take_along_axis(x, largest[None], 0)[0], leaks),
            shortfall=with_error(most - follows, of_most[None] - of_follows),
            real=None if on_real is None else with_error(most, of_most),
        )

    on_real = None if real is None else real.T
    of_concepts = jax.lax.map(of_concept, (jnp.moveaxis(scores, 2, 0), concepts.T, permuted_concepts.T, on_real))
    return jax.tree.map(lambda x: x.T, of_concepts)  # [K, F] and [K]


@Metric
def _auroc_beyond(decisions: Array, labels: Array) -> Partial:
    """AUROC of the first column of decisions {0, 1} minus that of the second.

    The area of a decision is the mean of its recall and its specificity, and what both columns say alike cancels.
    """
    positive = labels > 0
    return Partial(_mean_difference, decisions[:, 0] - decisions[:, 1], jnp.stack([positive, ~positive]))


def _mean_difference(difference: Array, classes: Array, weights: Array) -> Array:
    of_class = classes.astype(weights.dtype)
    sums = weighted_sums(jnp.concatenate([of_class * difference[None], of_class]), weights)
    return (sums[0] / sums[2] - sums[1] / sums[3]) / 2


def _error(influence: Array, labels: Array, weights: Array, clusters: Array | None) -> Array:
    n = influence.shape[-1]
    if clusters is not None:
        influence = jnp.moveaxis(jax.ops.segment_sum(jnp.moveaxis(influence, -1, 0), clusters, n), 0, -1)
    return sampling_units(labels, weights, 2, clusters, n).standard_error(influence)
