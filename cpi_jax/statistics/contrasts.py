"""Intervals and two-sided tests of numbers that do not rank: gaps, differences, shares."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.significance import holm, jackknife_interval, jackknife_p


@struct.dataclass
class Contrasts:
    """F numbers by M metrics with the jackknife's uncertainty; a pytree.

    Attributes:
      value: the estimate, [F, M].
      error: its standard error, [F, M].
      ci_low, ci_high: its interval, [F, M].
      p: against 0, two-sided, [F, M].
      p_holm: corrected over the numbers that are tested, for each metric by itself (Holm 1979); NaN for the others, [F, M].
    """

    value: Float[Array, "f m"]
    error: Float[Array, "f m"]
    ci_low: Float[Array, "f m"]
    ci_high: Float[Array, "f m"]
    p: Float[Array, "f m"]
    p_holm: Float[Array, "f m"]


@partial(jax.jit, static_argnames=("tested", "level"))
def summarize_contrasts(inferred: Inference, tested: tuple[int, ...] | None = None, level: float = 0.95) -> Contrasts:
    """Estimates with intervals and p-values, by the infinitesimal jackknife.

    Args:
      inferred: of a metric with a vector value (`stack_metrics`): [D, F, M].
      tested: indices of the F numbers over which p-values are corrected; all by default.
      level: of the intervals.

    Example:
      >>> from cpi_jax.statistics.sampling_units import sampling_units
      >>> influence = jnp.array([1.0, -1, 1, -1])[None, None, None] / 4
      >>> inferred = cpi_jax.Inference(
      ...     per_draw=jnp.ones((1, 1, 1)), repeats=jnp.empty((0, 1, 1)), influence=influence, scale=jnp.ones(1),
      ...     units=sampling_units(jnp.zeros(4, int), jnp.ones(4), 1),
      ... )
      >>> found = summarize_contrasts(inferred)
      >>> [round(float(x[0, 0]), 2) for x in (found.value, found.error, found.ci_low, found.ci_high)]
      [1.0, 0.58, -0.86, 2.86]
    """
    inferred = inferred.without_rounding()
    value, error, df = inferred.estimate, inferred.standard_error, inferred.degrees_of_freedom
    low, high = jackknife_interval(value, error, df, level)
    p = jackknife_p(value, error, df, "two-sided")
    rows = np.arange(value.shape[0]) if tested is None else np.array(tested, int)
    corrected = jnp.full_like(p, jnp.nan).at[rows].set(jax.vmap(holm, 1, 1)(p[rows]))
    return Contrasts(value, error, low, high, p, corrected)
