"""Metrics of one class against the rest, averaged over classes or labels."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array

from cpi_jax.statistics.metrics.decisions import class_indicators
from cpi_jax.statistics.metrics.protocol import Metric
from cpi_jax.statistics.metrics.sums import weighted_sums


def one_vs_rest(
    prepare: Callable[[Array, Array], Partial],
    columns: Callable[[Array, Array], Array],
    average: str,
    prepare_dealt: Callable[[Array, Array, int], Partial] | None = None,
) -> Metric:
    """A metric of scores [N] or [N, C] from one of a single column.

    Args:
      prepare: of the metric of one column: (scores [N], labels {0, 1} [N]) -> prepared metric.
      columns: (scores, labels) -> the scores of each class against the rest, [N, C].
      average: over the classes that occur: "macro" (each counts the same), "weighted" (by the weight of its examples), or
        "per_class" (not at all: a value for each class, NaN for one that does not occur).
      prepare_dealt: likewise; see `Metric`.
    """

    over_classes = functools.partial(_prepare_classes, columns, average)
    dealt = None
    if prepare_dealt is not None:
        dealt = functools.partial(_prepare_dealt_classes, over_classes, prepare_dealt)
    metric = Metric(functools.partial(over_classes, prepare), dealt)
    summary, newline, rest = (prepare.__doc__ or "").partition("\n")
    metric.__doc__ = f"{summary} Over classes: {average}.{newline}{rest}"
    return metric


def _prepare_classes(
    columns: Callable, average: str, prepare: Callable, scores: Array, labels: Array, num_rows: int = 1
) -> Partial:
    """The metric of every class against the rest, prepared; of the only column where there is one."""
    if scores.ndim == 1:
        return prepare(scores, labels)
    true = class_indicators(scores, labels).T
    occurs = true.any(1) & ~true.all(1)
    # One that does not is computed as another class and left out: neither its value nor its derivative is NaN.
    true = jnp.where(occurs[:, None], true, true[occurs.argmax()]).astype(jnp.int32)
    prepared = jax.lax.map(lambda x: prepare(*x), (columns(scores, labels).T, true))
    return Partial(_AVERAGES[average], prepared, true[:, ::num_rows].astype(jnp.float32), occurs.astype(jnp.float32))


def _prepare_dealt_classes(
    over_classes: Callable, prepare_dealt: Callable, scores: Array, labels: Array, num_rows: int
) -> Partial:
    return over_classes(lambda s, true: prepare_dealt(s, true, num_rows), scores, labels, num_rows)


def _each_class(prepared: Partial, *weights: Array) -> Array:
    return jax.lax.map(lambda p: p(*weights), prepared).T  # [B, C]


def _per_class(prepared: Partial, true: Array, occurs: Array, *weights: Array) -> Array:
    return _each_class(prepared, *weights) * jnp.where(occurs > 0, 1, jnp.nan)[None]


def _macro(prepared: Partial, true: Array, occurs: Array, *weights: Array) -> Array:
    return (_each_class(prepared, *weights) * occurs[None]).sum(1) / occurs.sum()


def _by_support(prepared: Partial, true: Array, occurs: Array, *weights: Array) -> Array:
    support = weighted_sums(true, weights[0]) * occurs[:, None]  # [C, B]
    return jnp.sum(_each_class(prepared, *weights) * (support / support.sum(0, keepdims=True)).T, axis=1)


_AVERAGES = {"macro": _macro, "weighted": _by_support, "per_class": _per_class}
