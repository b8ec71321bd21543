"""The mean drop of AUROC over all permutations of the examples: the closed form that index shuffles converge to."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.metrics import auroc


@jax.jit
def exact_auroc_importance(
    scores: Float[Array, "d v"], labels: Int[Array, " n"], lookup: Lookup
) -> Float[Array, "d f"]:
    """The mean drop of AUROC over all N! permutations, fixed points included: what index shuffles converge to.

    (N^2 A - sum_v n_v A_v) / (N (N - 1)) is the mean permuted AUROC, where A is the AUROC of the rows (i, v) with weights
    n_v / N and A_v that of every example set to v: two different examples receive v and u in n_v n_u, or n_v (n_v - 1), of
    N (N - 1) ways.

    Args:
      scores: one output of the score table, float32 [D, V].
      labels: {0, 1} [N].
      lookup: of features with all their values.

    Returns:
      float32 [D, F]; NaN where the labels are all of one class.

    Example:
      The score table of a classifier that reads the first of two concepts, and not the second.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> labels, weights = concepts[:, 0], jnp.ones(4)
      >>> cpi_jax.exact_auroc_importance(scores, labels, lookup).round(4)
      Array([[0.5, 0. ]], dtype=float32)
    """
    n, _, m = lookup.rows.shape
    ones = jnp.ones(n)

    def of_feature(s, rows, values):  # [N, M], [N]
        count = jnp.zeros(m).at[values].add(1.0)
        mixed = auroc(s[rows].ravel(), jnp.repeat(labels, m), jnp.tile(count / n, n))
        alone = jax.lax.map(lambda row: auroc(s[row], labels, ones), rows.T)
        return (n * n * mixed - jnp.sum(count * alone)) / (n * (n - 1))

    def of_draw(s):
        permuted = jax.lax.map(lambda x: of_feature(s, *x), (lookup.rows.swapaxes(0, 1), lookup.values.T))
        return auroc(s[lookup.baseline], labels, ones) - permuted

    return jax.lax.map(of_draw, scores)
