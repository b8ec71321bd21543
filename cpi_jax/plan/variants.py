"""Captions to generate, what each of them holds, and where its scores are found: records of arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Int

AnyArray = Array | np.ndarray


@struct.dataclass
class Variants:
    """Captions to generate, one per row of the score table; a pytree.

    Row r is the caption of `example[r]` whose slots of feature `feature[r]` are taken from the caption of `donor[r]`.

    Attributes:
      example: index of the example, int32 [V].
      feature: index of the feature, -1 for the example's own caption (the baseline), int32 [V].
      value: index of the value within the feature, -1 for the baseline, int32 [V].
      donor: an example that has this value; the example itself for the baseline, int32 [V].

    Example:
      Two captions of one slot, the second of which is generated with the first one's slot besides.

      >>> variants = Variants(*map(jnp.array, ([0, 1, 1], [-1, -1, 0], [-1, -1, 0], [0, 1, 0])))
      >>> take_variants(jnp.array([[7], [8]]), jnp.array([[True]]), variants)[:, 0].tolist()
      [7, 8, 7]
    """

    example: Int[AnyArray, " v"]
    feature: Int[AnyArray, " v"]
    value: Int[AnyArray, " v"]
    donor: Int[AnyArray, " v"]

    def take(self, rows: AnyArray) -> Variants:
        """Some of the variants, in the order of the rows named."""
        return jax.tree.map(lambda x: x[rows], self)


@struct.dataclass
class Lookup:
    """Where the score of (example, feature, value) is, for features all of whose values are enumerated; a pytree.

    Attributes:
      baseline: row of each example's own caption, int32 [N].
      rows: row of each value, int32 [N, F, M]; the baseline row at the example's own value, -1 past a feature's values.
      values: each example's own value, int32 [N, F].

    Example:
      `plan_variants` makes it; a table whose rows are laid out otherwise has one of its own.

      >>> lookup = Lookup(baseline=jnp.array([0, 2]), rows=jnp.array([[[0, 1]], [[3, 2]]]), values=jnp.array([[0], [1]]))
      >>> int(lookup.rows[1, 0, lookup.values[1, 0]]) == int(lookup.baseline[1])
      True
    """

    baseline: Int[Array, " n"]
    rows: Int[Array, "n f m"]
    values: Int[Array, "n f"]


@struct.dataclass
class ShuffledLookup:
    """Where the scores of R planned shuffles are, for features with many values; a pytree.

    Attributes:
      baseline: row of each example's own caption, int32 [N].
      rows: row of each example in each shuffle, int32 [N, F, R].
      donors: the example that it receives from, int32 [N, F, R].

    Example:
      One shuffle of one feature, in which two examples give each other their values.

      >>> shuffled = ShuffledLookup(
      ...     baseline=jnp.array([0, 2]), rows=jnp.array([[[1]], [[3]]]), donors=jnp.array([[[1]], [[0]]])
      ... )
      >>> shuffled.rows.shape  # examples, features, shuffles
      (2, 1, 1)
    """

    baseline: Int[Array, " n"]
    rows: Int[Array, "n f r"]
    donors: Int[Array, "n f r"]


def permuted_slots(features: Bool[AnyArray, "f k"], variants: Variants) -> Bool[AnyArray, "v k"]:
    """Which slots of each variant come from its donor; none of a baseline."""
    return features[variants.feature] & (variants.feature >= 0)[:, None]


@jax.jit
def take_variants(
    per_slot: Int[Array, "n k ..."], features: Bool[Array, "f k"], variants: Variants
) -> Int[Array, "v k ..."]:
    """What the variants' captions hold: the feature's slots from the donor, the others from the example.

    Args:
      per_slot: anything known per example and slot: tokens [N, K, S], or the presence of concepts [N, K].
      features: masks of the features, bool [F, K].
      variants: V rows.

    Returns:
      The same of each variant, [V, K, ...].

    Example:
      >>> presence = jnp.array([[1, 0], [0, 1]])
      >>> features = jnp.eye(2, dtype=bool)
      >>> variants, _ = cpi_jax.plan_variants(presence[:, :, None], features, [3, 4])
      >>> sorted(take_variants(presence, features, variants)[variants.example == 0].tolist())
      [[0, 0], [1, 0], [1, 1]]
    """
    permuted = permuted_slots(features, variants)
    permuted = permuted.reshape(permuted.shape + (1,) * (per_slot.ndim - 2))
    return jnp.where(permuted, per_slot[variants.donor], per_slot[variants.example])
