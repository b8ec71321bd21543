"""What was sampled, an example or a cluster each, and the standard error that follows from the units' influences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from cpi_jax.errors import InputError


@struct.dataclass
class SamplingUnits:
    """What was sampled, an example or a cluster each, in groups that may vary differently; a pytree.

    Attributes:
      group: the class of each example, or 0 for clusters; `num_groups` for a unit without weight, int32 [G].
      num_groups: how many groups there are.
    """

    group: Int[Array, " g"]
    num_groups: int = struct.field(pytree_node=False)

    @property
    def sizes(self) -> Float[Array, " q"]:
        """Units of each group that have weight."""
        return jax.ops.segment_sum(jnp.ones(self.group.shape[0]), self.group, self.num_groups)

    def variances(self, influence: Float[Array, "... g"]) -> Float[Array, "... q"]:
        """Each group's part of the variance: n_q / (n_q - 1) times its squared influences (DeLong 1988 for AUROC)."""
        squares = jax.ops.segment_sum(jnp.moveaxis(influence**2, -1, 0), self.group, self.num_groups)
        return jnp.einsum("q...,q->...q", squares, self.sizes / jnp.maximum(self.sizes - 1, 1))

    @jax.jit
    def standard_error(self, influence: Float[Array, "... g"]) -> Float[Array, "..."]:
        """Infinitesimal-jackknife standard error of an estimate whose units have these influences (Efron 1982)."""
        return jnp.sqrt(self.variances(influence).sum(-1))

    @jax.jit
    def degrees_of_freedom(self, influence: Float[Array, "... g"]) -> Float[Array, "..."]:
        """Of that standard error (Welch 1947, Satterthwaite 1946): few where a small group carries the variance."""
        variances = self.variances(influence)
        spread = variances**2 @ (1 / jnp.maximum(self.sizes - 1, 1))
        return jnp.where(spread > 0, variances.sum(-1) ** 2 / jnp.where(spread > 0, spread, 1), self.sizes.sum())

    @jax.jit
    def cautious_degrees_of_freedom(self, influence: Float[Array, "... g"]) -> Float[Array, "..."]:
        """The same without the assumption that influences are normal; at most as many.

        A variance V is a sum of squares over units, and has the variance that follows from their spread; Satterthwaite's
        number is then 2 V^2 over it. Few where a few units carry a group's variance: another sample may well lack them.
        """
        factors = self.sizes / jnp.maximum(self.sizes - 1, 1)
        variances = self.variances(influence)
        fourths = self.variances(influence**2) * factors**2 - variances**2 / jnp.maximum(self.sizes - 1, 1)
        total, spread = variances.sum(-1), fourths.sum(-1)
        own = jnp.where(spread > 0, 2 * total**2 / jnp.where(spread > 0, spread, 1), jnp.inf)
        return jnp.minimum(self.degrees_of_freedom(influence), jnp.maximum(own, 1))


def sampling_units(
    labels: Int[Array, "n ..."],
    weights: Float[Array, " n"],
    num_classes: int,
    clusters: Int[Array, " n"] | None = None,
    num_clusters: int | None = None,
) -> SamplingUnits:
    """The units of a study: clusters, or examples in groups by their class (one group where each has several labels)."""
    if clusters is not None:
        weight = jax.ops.segment_sum(weights, clusters, num_clusters)
        return SamplingUnits(jnp.where(weight > 0, 0, 1), 1)
    if labels.ndim == 2:
        return SamplingUnits(jnp.where(weights > 0, 0, 1), 1)
    return SamplingUnits(jnp.where(weights > 0, jnp.clip(labels, 0, num_classes - 1), num_classes), num_classes)


def count_units(num_examples: int, clusters: Int[Array, " n"] | None, num_clusters: int | None) -> int:
    """How many units were sampled.

    Raises:
      InputError: for clusters whose number is not given; traced code cannot count them.
    """
    if clusters is None:
        return num_examples
    if num_clusters is None:
        raise InputError("say how many clusters there are: num_clusters")
    return num_clusters
