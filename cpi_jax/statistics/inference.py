"""From a score table to estimates, their bootstrap repeats and their influences: everything that uncertainty needs.

The arrays are linear in the features, so that a contrast (a difference, an interaction) has its repeats and influences
as the same contrast of theirs.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from cpi_jax.errors import InputError
from cpi_jax.statistics.bootstrap import repeats_of
from cpi_jax.statistics.functional import AnyLookup, Strata, evaluate_with_influence, prepare
from cpi_jax.statistics.metrics import MetricFunction
from cpi_jax.statistics.sampling_units import SamplingUnits, count_units, sampling_units


@struct.dataclass
class Inference:
    """Estimates and what their uncertainty follows from; a pytree. The trailing axes are the metric's, and so is the unit.

    Attributes:
      per_draw: the functional in every draw, [D, F, ...].
      repeats: bootstrap repeats, averaged over draws, [B, F, ...].
      influence: what each sampling unit (an example, or a cluster) contributes in every draw, [D, F, ..., G].
      scale: size of the metric on the examples' own captions, [...].
      units: the sampling units.
    """

    per_draw: Float[Array, "d f ..."]
    repeats: Float[Array, "b f ..."]
    influence: Float[Array, "d f ... g"]
    scale: Float[Array, "..."]
    units: SamplingUnits

    @property
    def estimate(self) -> Float[Array, "f ..."]:
        """Mean over draws."""
        return self.per_draw.mean(0)

    @property
    def standard_error(self) -> Float[Array, "f ..."]:
        """By the infinitesimal jackknife."""
        return self.units.standard_error(self.influence.mean(0))

    @property
    def degrees_of_freedom(self) -> Float[Array, "f ..."]:
        """Of the standard error."""
        return self.units.degrees_of_freedom(self.influence.mean(0))

    @property
    def resolution(self) -> Float[Array, "..."]:
        """What float32 leaves of a drop that is exactly zero: where estimate and error are both below, they are zero."""
        return 2.0**-16 * self.scale

    @jax.jit
    def without_rounding(self) -> Inference:
        """Drops that are zero up to rounding (a concept that moves no decision, an interaction of a concept not read)."""
        resolution = self.resolution[None]
        zero = (jnp.abs(self.estimate) <= resolution) & (self.standard_error <= resolution)
        return dataclasses.replace(
            self,
            per_draw=jnp.where(zero[None], 0, self.per_draw),
            repeats=jnp.where(zero[None] & ~jnp.isnan(self.repeats), 0, self.repeats),
            influence=jnp.where(zero[None, ..., None], 0, self.influence),
        )

    @property
    @jax.jit
    def share_of_draws(self) -> Float[Array, "f ..."]:
        """Share of the variance that more draws would reduce; NaN for one draw.

        Draws are nested in examples: the spread of a unit's influences over draws, over D, is the part of its mean's square
        that the draws put there.
        """
        num_draws = self.influence.shape[0]
        if num_draws < 2:
            return jnp.full(self.estimate.shape, jnp.nan)
        of_draws = (self.influence.var(0, ddof=1) / num_draws).sum(-1)
        total = (self.influence.mean(0) ** 2).sum(-1)
        return jnp.where(total > 0, jnp.minimum(of_draws / jnp.where(total > 0, total, 1), 1), 0)

    def take(self, *index: object) -> Inference:
        """Some of the features (and, with a second index, of the metrics)."""
        at = (slice(None), *index)
        scale = self.scale[index[1:]]
        arrays = {name: getattr(self, name)[at] for name in ("per_draw", "repeats", "influence")}
        return dataclasses.replace(self, **arrays, scale=scale)

    def contrast(self, weights: Float[Array, "p f"]) -> Inference:
        """P linear combinations of the features."""
        return dataclasses.replace(
            self,
            per_draw=jnp.einsum("pf,df...->dp...", weights, self.per_draw),
            repeats=jnp.einsum("pf,bf...->bp...", weights, self.repeats),
            influence=jnp.einsum("pf,df...->dp...", weights, self.influence),
        )


@partial(jax.jit, static_argnames=("metric", "num_clusters", "num_repeats"))
def infer(
    key: PRNGKeyArray,
    scores: Float[Array, "d v ..."],
    labels: Int[Array, "n ..."],
    lookup: AnyLookup,
    weights: Float[Array, " n"],
    metric: MetricFunction,
    strata: Strata = None,
    clusters: Int[Array, " n"] | None = None,
    *,
    num_clusters: int | None = None,
    num_repeats: int = 1000,
    recipients: Float[Array, " n"] | None = None,
) -> Inference:
    """Importances, their bootstrap repeats and their influences, from one sorted table.

    Args:
      key: of the resampling; consumed.
      scores: the score table, float32 [D, V] or [D, V, C].
      labels: of each example.
      lookup: where the rows are.
      weights: sample weights, float [N], zero outside a subgroup.
      metric: as in `importance`; `stack_metrics` makes several into one.
      strata: as in `importance`.
      clusters: cluster of each example, int32 [N], from 0.
      num_clusters: how many there are.
      num_repeats: B; 0 for none.
      recipients: 1 for the examples that the metric is of, 0 for those that only give values to them, float [N]; all by
        default. There are no repeats of such importances.

    Raises:
      InputError: for clusters whose number is not given, or repeats of some recipients.

    Example:
      The score table of a classifier that reads the first of two concepts, and not the second.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> labels, weights = concepts[:, 0], jnp.ones(4)
      >>> key = jax.random.key(0)
      >>> inferred = cpi_jax.infer(key, scores, labels, lookup, weights, cpi_jax.accuracy, num_repeats=100)
      >>> inferred.estimate.round(4)
      Array([0.6667, 0.    ], dtype=float32)
      >>> inferred.repeats.shape  # of 100 bootstrap samples, for 2 concepts
      (100, 2)
    """
    count_units(len(weights), clusters, num_clusters)
    if num_repeats and recipients is not None:
        raise InputError("importances of some recipients have no bootstrap repeats: num_repeats must be 0")
    num_classes = max(scores.shape[2], 2) if scores.ndim == 3 else 2
    prepared = prepare(scores, labels, lookup, metric)
    per_draw, of_units = evaluate_with_influence(prepared, lookup, weights, strata, recipients)
    if clusters is not None:
        summed = jax.ops.segment_sum(jnp.moveaxis(of_units, -1, 0), clusters, num_clusters)
        of_units = jnp.moveaxis(summed, 0, -1)
    repeats = jnp.empty((0, *per_draw.shape[1:]))
    if num_repeats:
        repeats = repeats_of(
            key, prepared, lookup, weights, strata, clusters, num_clusters=num_clusters, num_repeats=num_repeats
        )
    counted = weights if recipients is None else weights * recipients
    return Inference(
        per_draw=per_draw,
        repeats=repeats,
        influence=of_units,
        scale=jnp.abs(jax.lax.map(lambda p: p(counted[:, None])[0], prepared.baseline)).mean(0),
        units=sampling_units(labels, weights, num_classes, clusters, num_clusters),
    )


def join_features(parts: list[Inference]) -> Inference:
    """The features of several lookups side by side; the parts must come of the same key."""
    arrays = {
        name: jnp.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("per_draw", "repeats", "influence")
    }
    return dataclasses.replace(parts[0], **arrays)
