"""Intervals, p-values, their correction for many concepts, and ranks, from estimates, repeats and influences.

Each is one program, also where it is called by itself.
"""

from __future__ import annotations

from functools import partial
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float, Int

from cpi_jax.statistics.sampling_units import SamplingUnits


@jax.jit
def student_tail(t: Float[Array, "..."], df: Float[Array, "..."]) -> Float[Array, "..."]:
    """Probability that Student's t exceeds t, by Wallace's (1959) normal deviate: to 1 % from 4 degrees of freedom on."""
    deviate = (8 * df + 1) / (8 * df + 3) * jnp.sqrt(df * jnp.log1p(t**2 / df))
    return ndtr(-jnp.sign(t) * deviate)


@partial(jax.jit, static_argnames="probability")
def student_quantile(probability: float, df: Float[Array, "..."]) -> Float[Array, "..."]:
    """Quantile of Student's t above one half, the inverse of `student_tail`."""
    deviate = NormalDist().inv_cdf(probability) * (8 * df + 3) / (8 * df + 1)
    return jnp.sqrt(df * jnp.expm1(deviate**2 / df))


@partial(jax.jit, static_argnames="level")
def jackknife_interval(
    estimate: Float[Array, "..."], error: Float[Array, "..."], df: Float[Array, "..."], level: float = 0.95
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """estimate -+ Student's t times its standard error."""
    reach = student_quantile((1 + level) / 2, df) * error
    return estimate - reach, estimate + reach


@partial(jax.jit, static_argnames="alternative")
def jackknife_p(
    estimate: Float[Array, "..."], error: Float[Array, "..."], df: Float[Array, "..."], alternative: str = "greater"
) -> Float[Array, "..."]:
    """p-value against importance <= 0 ("greater") or = 0 ("two-sided"), by Student's t; 1 for an exact null."""
    t = jnp.where(error > 0, estimate / jnp.where(error > 0, error, 1), 0)
    p = student_tail(t, df) if alternative == "greater" else 2 * student_tail(jnp.abs(t), df)
    return jnp.where(jnp.isnan(estimate), jnp.nan, jnp.where((error > 0) | jnp.isnan(error), p, 1.0))


@partial(jax.jit, static_argnames="alternative")
def bootstrap_p(repeats: Float[Array, "b ..."], alternative: str = "greater") -> Float[Array, "..."]:
    """(1 + #{repeats <= 0}) / (B + 1) over the repeats that have a value (Phipson & Smyth 2010)."""
    number = (~jnp.isnan(repeats)).sum(0)
    low, high = ((1 + x.sum(0)) / (number + 1) for x in (repeats <= 0, repeats >= 0))
    p = low if alternative == "greater" else jnp.minimum(2 * jnp.minimum(low, high), 1)
    return jnp.where(number > 0, p, jnp.nan)


@jax.jit
def holm(p: Float[Array, " k"]) -> Float[Array, " k"]:
    """p-values adjusted so that the chance of any false rejection is kept (Holm 1979).

    The i-th smallest is multiplied by K - i + 1, and none falls below a smaller one; valid for tests that depend, too.

    Args:
      p: p-values, float [K].

    Returns:
      Adjusted p-values in the same order, float [K], at most 1.

    Example:
      >>> cpi_jax.holm(jnp.array([0.01, 0.04, 0.03])).round(4)
      Array([0.03, 0.06, 0.06], dtype=float32)
    """
    order = jnp.argsort(p)
    steps = jnp.arange(p.shape[0], 0, -1) * p[order]
    return jnp.minimum(jnp.zeros_like(p).at[order].set(jax.lax.cummax(steps)), 1)


@jax.jit
def benjamini_hochberg(p: Float[Array, " k"]) -> Float[Array, " k"]:
    """p-values adjusted so that the expected share of false rejections is kept (Benjamini & Hochberg 1995).

    The i-th smallest is multiplied by K / i, and none exceeds a larger one; for tests that are independent, or positively
    dependent. A test without a p-value (NaN) stays without one and counts as one of the K.

    Args:
      p: p-values, float [K].

    Returns:
      Adjusted p-values in the same order, float [K], at most 1.

    Example:
      >>> cpi_jax.benjamini_hochberg(jnp.array([0.01, 0.04, 0.03])).round(4)
      Array([0.03, 0.04, 0.04], dtype=float32)
    """
    order = jnp.argsort(p)  # NaN last
    steps = p.shape[0] / jnp.arange(1, p.shape[0] + 1) * p[order]
    largest = jax.lax.cummin(jnp.where(jnp.isnan(steps), jnp.inf, steps), reverse=True)
    adjusted = jnp.zeros_like(p).at[order].set(jnp.minimum(largest, 1))
    return jnp.where(jnp.isnan(p), jnp.nan, adjusted)


@jax.jit
def outranked(
    estimate: Float[Array, " f"],
    influence: Float[Array, "f g"],
    units: SamplingUnits,
    alpha: Float[Array, ""] | float,
    resolution: Float[Array, ""] | float = 0.0,
) -> Bool[Array, "f f"]:
    """[a, b]: a is significantly more important than b, by Holm-corrected two-sided tests of all pairwise differences.

    Args:
      estimate: of the features.
      influence: their influences, averaged over draws.
      units: of the influences.
      resolution: differences and errors below it are rounding (`Inference.resolution`).
      alpha: chance of any false difference.
    """
    difference = estimate[:, None] - estimate[None, :]

    def against(u):
        return units.standard_error(u[None] - influence), units.degrees_of_freedom(u[None] - influence)

    error, df = jax.lax.map(against, influence)
    rounding = (jnp.abs(difference) <= resolution) & (error <= resolution)
    p = jnp.where(rounding, 1.0, jackknife_p(difference, error, df, "two-sided"))
    first, second = np.triu_indices(estimate.shape[0], 1)
    adjusted = jnp.ones_like(p).at[first, second].set(holm(p[first, second]))
    return (jnp.minimum(adjusted, adjusted.T) <= alpha) & (difference > 0)


def rank_interval(above: Bool[Array, "f f"]) -> tuple[Int[Array, " f"], Int[Array, " f"]]:
    """Best and worst rank of each feature: 1 + those significantly above, K - those significantly below.

    Args:
      above: as `outranked` gives it; all intervals hold together with its confidence.
    """
    return 1 + above.sum(0), above.shape[0] - above.sum(1)


@jax.jit
def frequency_outranks(repeats: Float[Array, "b f"]) -> Float[Array, "f f"]:
    """[a, b]: share of bootstrap repeats in which a is more important than b; ties count one half."""
    ok = ~jnp.isnan(repeats).any(1)

    def against(column):
        wins = (column[:, None] > repeats) + 0.5 * (column[:, None] == repeats)
        return jnp.where(ok[:, None], wins, 0).sum(0) / ok.sum()

    return jax.lax.map(against, repeats.T)
