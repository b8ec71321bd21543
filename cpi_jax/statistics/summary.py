"""From `Inference` to `Importance`: the interval that is shown, p-values and their correction, ranks, warnings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.errors import InputError, require_known
from cpi_jax.statistics.bootstrap import percentile_interval
from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.record import UNCHECKED, Importance
from cpi_jax.statistics.significance import (
    benjamini_hochberg,
    bootstrap_p,
    frequency_outranks,
    holm,
    jackknife_interval,
    jackknife_p,
    outranked,
    rank_interval,
)
from cpi_jax.validation.choices import CHOICES


def summarize(
    inferred: Inference,
    *,
    names: Sequence[str],
    metrics: Sequence[str],
    ranked: Sequence[bool] | None = None,
    facts: Mapping[str, Any] | None = None,
    verdicts: Sequence[str] | None = None,
    warnings: Sequence[str] = (),
    level: float = 0.95,
    interval: str = "jackknife",
    alternative: str = "greater",
) -> Importance:
    """Makes the record of a study.

    Args:
      inferred: of a metric with a vector value (`stack_metrics`): [D, F, M] and so on.
      names: of the F features.
      metrics: of the M metrics.
      ranked: which features take part in the ranking and in the correction of p-values; all by default.
      facts: `share_changed`, `share_alone`, `num_changed`, `num_new`, `num_impossible`, [F] each, where known.
      verdicts: of each feature's check.
      warnings: to which those about estimates that are missing are added.
      level: of intervals and rank intervals.
      interval: which interval and p-value are shown, "jackknife" or "bootstrap".
      alternative: "greater" or "two-sided".

    Raises:
      InputError: for an interval, an alternative or a level that there is not, or names that are not as many as the
        features or the metrics.

    Example:
      The score table of a classifier that reads the first of two concepts, and not the second.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> labels, weights = concepts[:, 0], jnp.ones(4)
      >>> inferred = cpi_jax.infer(jax.random.key(0), scores, labels, lookup, weights, cpi_jax.accuracy, num_repeats=100)
      >>> cpi_jax.summarize(inferred, names=["dog", "frisbee"], metrics=["accuracy"])
      Importance of 2 concepts by accuracy, 1 draw
      rank ranks concept importance       95% interval      p   holm check
         1   1-1 dog        +0.6667 +0.6667 to +0.6667 <.0001 <.0001 unchecked
         2   2-2 frisbee     0.0000   0.0000 to 0.0000 1.0000 1.0000 unchecked
      p: greater, by the jackknife
    """
    require_known(interval, *CHOICES["interval"])
    require_known(alternative, *CHOICES["alternative"])
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, not {level}")
    if inferred.per_draw.ndim == 2:  # of a metric with one value
        inferred = dataclasses.replace(
            inferred,
            per_draw=inferred.per_draw[..., None],
            repeats=inferred.repeats[..., None],
            influence=inferred.influence[:, :, None],
            scale=inferred.scale[None],
        )
    if inferred.per_draw.shape[1:] != (len(names), len(metrics)):
        f, m = inferred.per_draw.shape[1:]
        raise InputError(f"{len(names)} names and {len(metrics)} metrics are given for {f} features and {m} metrics")
    f = len(names)
    facts = {name: jnp.zeros(f) for name in ("share_changed", "share_alone")} | {
        name: jnp.zeros(f, jnp.int32) for name in ("num_changed", "num_new", "num_impossible")
    } | {name: jnp.asarray(value) for name, value in (facts or {}).items()}  # fmt: skip
    mask = np.ones(f, bool) if ranked is None else np.asarray(ranked, bool)
    statistics = _statistics(inferred, tuple(np.flatnonzero(mask).tolist()), level, interval, alternative)
    if not np.isfinite(statistics["value"]).all():
        m, j = np.argwhere(~np.isfinite(np.asarray(statistics["value"])))[0]
        reason = "a class has no weight among the examples that are used"
        warnings = (*warnings, f"{metrics[m]} of {names[j]} has no value: {reason}")
    return Importance(
        **statistics,
        **facts,
        ranked=jnp.asarray(mask),
        names=tuple(names),
        metrics=tuple(metrics),
        verdicts=(UNCHECKED,) * f if verdicts is None else tuple(verdicts),
        warnings=tuple(warnings),
        level=level,
        interval=interval,
        alternative=alternative,
    )


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _statistics(inferred: Inference, ranked: tuple[int, ...], level: float, interval: str, alternative: str) -> dict:
    columns = np.array(ranked, int)
    return jax.lax.map(
        lambda m: _one_metric(inferred.take(slice(None), m), columns, level, interval, alternative),
        jnp.arange(inferred.per_draw.shape[2]),
    )


def _one_metric(inferred: Inference, ranked: np.ndarray, level: float, interval: str, alternative: str) -> dict:
    inferred = inferred.without_rounding()
    value, error, df = inferred.estimate, inferred.standard_error, inferred.degrees_of_freedom
    boot_p = bootstrap_p(inferred.repeats, alternative)
    low, high, dropped = percentile_interval(inferred.repeats, level)
    p = boot_p
    if interval == "jackknife":
        low, high = jackknife_interval(value, error, df, level)
        p = jackknife_p(value, error, df, alternative)
    above = outranked(value[ranked], inferred.influence.mean(0)[ranked], inferred.units, 1 - level, inferred.resolution)
    best, worst = rank_interval(above)

    has_value = ~jnp.isnan(value[ranked])

    def of_ranked(x, other):
        return jnp.full(value.shape, other, x.dtype).at[ranked].set(jnp.where(has_value, x, other))

    return {
        "per_draw": inferred.per_draw,
        "value": value,
        "error": error,
        "ci_low": low,
        "ci_high": high,
        "p": p,
        "p_holm": of_ranked(holm(p[ranked]), jnp.nan),
        "p_bh": of_ranked(benjamini_hochberg(p[ranked]), jnp.nan),
        "p_bootstrap": boot_p,
        "rank": of_ranked(1 + (value[ranked][:, None] < value[ranked][None]).sum(1), 0),
        "rank_low": of_ranked(best, 0),
        "rank_high": of_ranked(worst, 0),
        "outranks": frequency_outranks(inferred.repeats),
        "share_of_draws": inferred.share_of_draws,
        "dropped": dropped,
    }
