"""The two conditions under which a ranking holds: effective generation and independent permutation (DEPICT, section 3)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from cpi_jax.importance.functional import permuted_metric
from cpi_jax.importance.metrics import auroc
from cpi_jax.variants import Lookup


@struct.dataclass
class Generation:
    """Effective generation: AUROC on real and on generated images; a pytree.

    Attributes:
      real: on the real images, [C].
      generated: on the images of the examples' own captions, averaged over draws, [C].
    """

    real: Float[Array, " c"]
    generated: Float[Array, " c"]


@struct.dataclass
class Independence:
    """Independent permutation, for each permuted feature and each concept that the detector knows; a pytree.

    Attributes:
      change: AUROC of the detector against the concepts of the original captions, after minus before permuting, [F, K].
      follows: AUROC of the detector on the permuted images against the concepts of the permuted captions, [F, K]; high
        where the images carry what their captions say.
      leak: AUROC of the detector's decision about concept k (score > 0) against the permuted presence of the feature,
        minus one half, [F, K]. A permuted feature is independent of every other concept of the caption, so off the
        diagonal this is 0 unless the feature's words paint or erase something else; `change` cannot see that where the
        concepts are independent. Decisions, since a shift of all logits by a crowded scene is no leak.
    """

    change: Float[Array, "f k"]
    follows: Float[Array, "f k"]
    leak: Float[Array, "f k"]


@jax.jit
def effective_generation(
    real: Float[Array, "n c"], generated: Float[Array, "d n c"], labels: Int[Array, "n c"], weights: Float[Array, " n"]
) -> Generation:
    """Compares scores of real and of regenerated images.

    Args:
      real: scores of the real images, [N, C].
      generated: scores of the baseline rows, [D, N, C].
      labels: {0, 1}, [N, C].
      weights: of the examples.
    """
    of_outputs = jax.vmap(auroc, in_axes=(1, 1, None))
    return Generation(
        of_outputs(real, labels, weights), jax.vmap(lambda s: of_outputs(s, labels, weights))(generated).mean(0)
    )


@jax.jit
def independent_permutation(
    scores: Float[Array, "d v k"],
    concepts: Int[Array, "n k"],
    permuted_concepts: Int[Array, "v k"],
    features: Bool[Array, "f k"],
    example: Int[Array, " v"],
    lookup: Lookup,
    weights: Float[Array, " n"],
) -> Independence:
    """What permuting each feature does to the detector's view of each concept, averaged over draws.

    Args:
      scores: the detector's table, [D, V, K].
      concepts: presence in the original captions, [N, K].
      permuted_concepts: presence in each row's caption, [V, K] (`take_variants`).
      features: concepts that each feature permutes, bool [F, K].
      example: the example of each row, [V].
      lookup: where the rows are.
      weights: of the examples.
    """
    present = (permuted_concepts[:, None, :] * features[None]).max(-1)  # [V, F]

    def of_concept(s, before, rows_before, rows_after):  # [V], [N], [V], [V]
        baseline = auroc(s[lookup.baseline], before, weights)
        change = permuted_metric(s, rows_before[:, None], lookup, weights, auroc) - baseline
        follows = permuted_metric(s, rows_after[:, None], lookup, weights, auroc)
        decision = (s > 0).astype(jnp.float32)
        return change, follows, permuted_metric(decision, present, lookup, weights, auroc) - 0.5

    def of_draw(s):
        columns = (s.T, concepts.T, concepts[example].T, permuted_concepts.T)
        return jax.lax.map(lambda x: of_concept(*x), columns)

    return Independence(*(x.mean(0).T for x in jax.vmap(of_draw)(scores)))  # [D, K, F] each


def independence_failures(
    result: Independence, features: Bool[Array, "f k"], *, margin: float, faithful: float
) -> tuple[Bool[Array, "f k"], Bool[Array, "f k"]]:
    """Which entries break the condition.

    Args:
      result: of `independent_permutation`.
      features: concepts that each feature permutes, bool [F, K].
      margin: largest change and leak allowed for a concept that is not permuted.
      faithful: smallest AUROC against the permuted captions for one that is.

    Returns:
      leaks [F, K]: concepts that move though they are not permuted; unfaithful [F, K]: permuted ones that do not follow.
    """
    moved = jnp.maximum(jnp.abs(result.change), jnp.abs(result.leak))
    return ~features & (moved > margin), features & (result.follows < faithful)
