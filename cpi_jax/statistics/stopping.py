"""When a study has enough draws: every interval is narrow, the top concepts are settled, or draws no longer matter."""

from __future__ import annotations

import numpy as np

from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.significance import jackknife_interval, outranked


def reason_to_stop(
    inferred: Inference,
    *,
    look: int,
    num_looks: int,
    width: float = 0.0,
    top_k: int = 0,
    share_of_draws: float = 0.0,
    level: float = 0.95,
) -> str | None:
    """Why another draw is not needed, in a sentence; None where it is.

    Looking after every draw and stopping at the first success would be wrong more often than it says, and the cases stay
    the same, so that another draw is no fresh chance. The error is therefore spent evenly over the looks (the uniform
    spending function of Lan & DeMets 1983, with a union bound in place of the joint distribution): each has
    (1 - level) / num_looks.

    Args:
      inferred: importances of one metric, [D, F], over the features that are ranked.
      look: which look this is, from 1.
      num_looks: looks that are allowed: the most draws.
      width: stop once every interval is narrower; 0 for never.
      top_k: stop once the k most important features are settled as a set; 0 for never.
      share_of_draws: stop once more draws could remove less than this share of the variance of every estimate; 0 for never.
      level: of the intervals, and the confidence of the top-k set.

    Example:
      The score table of a classifier that reads the first of two concepts, and not the second.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> labels, weights = concepts[:, 0], jnp.ones(4)
      >>> inferred = cpi_jax.infer(jax.random.key(0), scores, labels, lookup, weights, cpi_jax.accuracy, num_repeats=100)
      >>> cpi_jax.reason_to_stop(inferred, look=1, num_looks=4, width=0.1)
      'every interval is narrower than 0.1 (the widest is 0.0000)'
    """
    inferred = inferred.without_rounding()
    value = inferred.estimate
    if width > 0:
        low, high = jackknife_interval(value, inferred.standard_error, inferred.degrees_of_freedom, level)
        if (widest := float((high - low).max())) < width:
            return f"every interval is narrower than {width:g} (the widest is {widest:.4f})"
    if 0 < top_k < len(value):
        above = np.asarray(
            outranked(value, inferred.influence.mean(0), inferred.units, (1 - level) / num_looks, inferred.resolution)
        )
        order = np.argsort(-np.asarray(value))
        if above[np.ix_(order[:top_k], order[top_k:])].all():
            return f"the {top_k} most important concepts are settled at {level:.0%} confidence (look {look} of {num_looks})"
    share = np.asarray(inferred.share_of_draws)
    if share_of_draws > 0 and len(inferred.per_draw) > 1 and share.max() < share_of_draws:
        return (
            f"draws make up {share.max():.0%} of the variance at most: more examples would narrow the intervals, "
            "more draws would not"
        )
    return None
