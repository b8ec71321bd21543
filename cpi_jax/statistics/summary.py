"""From `Inference` to `Importance`: the interval that is shown, p-values and their correction, ranks, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.errors import InputError, require_known
from cpi_jax.settings import ALTERNATIVES, INTERVALS
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
from cpi_jax.wording import counted

AnyArray = jax.Array | np.ndarray
FEW = 20  # positives, or clusters, below which intervals were measured to hold less often than they say


def summarize(
    found: Inference,
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
      found: of a metric with a vector value (`stack_metrics`): [D, F, M] and so on.
      names: of the F features.
      metrics: of the M metrics.
      ranked: which features take part in the ranking and in the correction of p-values; all by default.
      facts: `share_changed`, `share_alone`, `num_changed`, `num_new`, `num_impossible`, [F] each, where known.
      verdicts: of each feature's check.
      warnings: to which those about estimates that are missing are added.
      level: of intervals and rank intervals.
      interval: which interval and p-value are shown, "jackknife" or "bootstrap".
      alternative: "greater" or "two-sided".
    """
    require_known(interval, "interval", INTERVALS)
    require_known(alternative, "alternative", ALTERNATIVES)
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, not {level}")
    if found.per_draw.ndim == 2:  # of a metric with one value
        found = found.replace(
            per_draw=found.per_draw[..., None],
            repeats=found.repeats[..., None],
            influence=found.influence[:, :, None],
            scale=found.scale[None],
        )
    if found.per_draw.shape[1:] != (len(names), len(metrics)):
        f, m = found.per_draw.shape[1:]
        raise InputError(f"{len(names)} names and {len(metrics)} metrics are given for {f} features and {m} metrics")
    f = len(names)
    facts = {name: jnp.zeros(f) for name in ("share_changed", "share_alone")} | {
        name: jnp.zeros(f, jnp.int32) for name in ("num_changed", "num_new", "num_impossible")
    } | {name: jnp.asarray(value) for name, value in (facts or {}).items()}  # fmt: skip
    mask = np.ones(f, bool) if ranked is None else np.asarray(ranked, bool)
    statistics = _statistics(found, tuple(np.flatnonzero(mask).tolist()), level, interval, alternative)
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
def _statistics(found: Inference, ranked: tuple[int, ...], level: float, interval: str, alternative: str) -> dict:
    columns = np.array(ranked, int)
    return jax.lax.map(
        lambda m: _one_metric(found.take(slice(None), m), columns, level, interval, alternative),
        jnp.arange(found.per_draw.shape[2]),
    )


def _one_metric(found: Inference, ranked: np.ndarray, level: float, interval: str, alternative: str) -> dict:
    found = found.without_rounding()
    value, error, df = found.estimate, found.standard_error, found.degrees_of_freedom
    boot_p = bootstrap_p(found.repeats, alternative)
    low, high, dropped = percentile_interval(found.repeats, level)
    p = boot_p
    if interval == "jackknife":
        low, high = jackknife_interval(value, error, df, level)
        p = jackknife_p(value, error, df, alternative)
    above = outranked(value[ranked], found.influence.mean(0)[ranked], found.units, 1 - level, found.resolution)
    best, worst = rank_interval(above)

    has_value = ~jnp.isnan(value[ranked])

    def of_ranked(x, other):
        return jnp.full(value.shape, other, x.dtype).at[ranked].set(jnp.where(has_value, x, other))

    return {
        "per_draw": found.per_draw,
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
        "outranks": frequency_outranks(found.repeats),
        "share_of_draws": found.share_of_draws,
        "dropped": dropped,
    }


def few_cases(labels: np.ndarray, weights: np.ndarray, clusters: np.ndarray | None = None) -> tuple[str, ...]:
    """What to warn of: intervals hold less often than they say below 20 examples, or clusters, of a class.

    They are counted as the effective number (Kish 1965): the squared sum of their weights over the sum of their squares,
    so many of equal weight would carry the same variance.

    Args:
      labels: class index [N], or {0, 1} for each of several labels [N, C].
      weights: of the examples.
      clusters: of the examples.
    """
    labels, weights = np.asarray(labels).astype(int), np.asarray(weights, float)
    kind = "example" if clusters is None else "cluster"
    each, unit = np.unique(np.arange(len(labels)) if clusters is None else clusters, return_inverse=True)
    if labels.ndim == 2:
        members = {f"label {c} = {value}": labels[:, c] == value for c in range(labels.shape[1]) for value in (0, 1)}
    else:
        members = {f"class {value}": labels == value for value in np.unique(labels)}
    counts = {}
    for name, inside in members.items():
        of_units = np.bincount(unit, weights * inside, len(each))
        if of_units.any():
            counts[name] = (of_units.sum() ** 2 / (of_units**2).sum(), (of_units > 0).sum())
    name, (effective, number) = min(counts.items(), key=lambda item: item[1][0])
    if effective > FEW - 0.5:
        return ()
    many = f" ({number} of unequal weight)" if number > effective + 0.5 else ""
    few = f"only {counted(effective, f'effective {kind}' if many else kind)} of {name}{many}"
    return (f"{few}: intervals hold less often than they say below {FEW}",)
