"""Importance relative to what the classifier knows: the distance of its metric from chance."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cpi_jax.statistics.inference import Inference

CLEAR = 3.0  # standard errors that the distance must exceed


def known_share(inferred: Inference, baseline: Inference, chance: Inference) -> Inference:
    """Importance over (metric on the own captions - metric by chance), with influences by the delta method.

    With K the distance from chance, S = I / K has the influence (u_I - S u_K) / K. Near K = 0 no such interval holds: where
    K is not above 3 of its standard errors, the share is NaN.

    Args:
      inferred: importances of F features by M metrics.
      baseline: of the metrics on the own captions (`infer_baseline`).
      chance: of the metrics where nothing but the classes' shares is known; scores as `chance_logits` gives them.

    Returns:
      An `Inference` of the shares, averaged over draws: [1, F, M].

    Example:
      The classifier knows one concept and nothing else: without it, it is as good as chance, to 1 / N.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]] * 10), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(40))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> labels, weights = concepts[:, 0], jnp.ones(40)
      >>> metric = cpi_jax.stack_metrics((cpi_jax.auroc,))
      >>> inferred = cpi_jax.infer(jax.random.key(0), scores, labels, lookup, weights, metric, num_repeats=0)
      >>> baseline, chance = (
      ...     cpi_jax.infer_baseline(s, labels, weights, metric)
      ...     for s in (scores[:, lookup.baseline], cpi_jax.chance_logits(labels, weights, 1)[None, :, 0])
      ... )
      >>> cpi_jax.known_share(inferred, baseline, chance).estimate[:, 0].round(3)
      Array([1.026, 0.   ], dtype=float32)
    """
    inferred = inferred.without_rounding()
    distance = baseline.estimate - chance.estimate  # [1, M]
    of_distance = baseline.influence.mean(0) - chance.influence.mean(0)  # [1, M, G]
    clear = distance > CLEAR * baseline.units.standard_error(of_distance)
    distance = jnp.where(clear, distance, jnp.nan)
    share = inferred.estimate / distance
    influence = (inferred.influence.mean(0) - share[..., None] * of_distance) / distance[..., None]
    return Inference(
        per_draw=share[None],
        repeats=jnp.empty((0, *share.shape)),
        influence=influence[None],
        scale=jnp.ones(share.shape[1]),
        units=inferred.units,
    )


def chance_logits(
    labels: Int[Array | np.ndarray, "n ..."], weights: Float[Array | np.ndarray, " n"], num_outputs: int
) -> Float[Array, "n c"]:
    """The same logits for every example: of a classifier that knows the classes' shares alone, float32 [N, C].

    Args:
      labels: class index [N], or {0, 1} for each of several labels [N, C].
      weights: of the examples.
      num_outputs: C; one for two classes.

    Example:
      >>> round(float(cpi_jax.chance_logits(jnp.array([1, 0, 1, 1]), jnp.ones(4), 1)[0, 0]), 3)  # log(3 / 1)
      1.099
    """
    labels, weights = np.asarray(labels), np.asarray(weights, np.float64)
    exclusive = labels.ndim == 1 and num_outputs > 1
    true = labels[:, None] == np.arange(num_outputs) if exclusive else labels.reshape(len(labels), -1) > 0
    share = np.clip(weights @ true / weights.sum(), 1e-6, 1 - 1e-6)
    logits = np.log(share) - (0 if exclusive else np.log1p(-share))
    return jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (len(labels), num_outputs))
