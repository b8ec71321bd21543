"""Weighted metrics: (scores, labels, weights) -> a number where higher is better.

Scores are logits. The task follows from the shapes:

    binary       scores [N],     labels {0, 1} [N]
    multi-class  scores [N, C],  labels class index [N]
    multi-label  scores [N, C],  labels {0, 1} [N, C]

A class that no example has, or that all have, can be told from nothing: means over classes leave it out, and its own
value is NaN.

Every metric runs under jit, vmap and grad in the weights. A `Metric` works in two steps: `prepare(scores, labels)` does
what does not depend on the weights, above all sorting, once; the prepared metric then takes many weight vectors as the
columns of an array [N, B]. The call `metric(scores, labels, weights)` does both. A plain function of the same three
arguments serves wherever a metric is asked for (`as_metric`).

Of permuted examples the mean over permutations is wanted. Each example has M rows and takes one of them, so `prepare_dealt`
prepares N M rows, and what it gives takes weights [N, B] and the rows' chances [N, M, B]. For sums over examples, and
ratios of them, that is the metric of all rows weighted by their chances; average precision has a form of its own.

`protocol` says what a metric is, `decisions` what scores say of a class; `sums`, `roc` and `precision_recall` hold the
metrics themselves, and `averages` makes those of one column into metrics of several classes.
"""

from __future__ import annotations

from functools import partial

from cpi_jax.statistics.metrics.averages import one_vs_rest
from cpi_jax.statistics.metrics.decisions import class_indicators, class_logits, signed_decisions
from cpi_jax.statistics.metrics.precision_recall import prepare_average_precision, prepare_dealt_precision
from cpi_jax.statistics.metrics.protocol import Metric, MetricFunction, as_metric, stack_metrics
from cpi_jax.statistics.metrics.roc import prepare_auroc
from cpi_jax.statistics.metrics.sums import (
    accuracy,
    balanced_accuracy,
    neg_brier,
    neg_log_loss,
    prepare_f1,
    top_k_accuracy,
)

__all__ = [
    "METRICS",
    "Metric",
    "MetricFunction",
    "accuracy",
    "as_metric",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "class_indicators",
    "class_logits",
    "f1",
    "is_own",
    "neg_brier",
    "neg_log_loss",
    "stack_metrics",
    "top_k_accuracy",
    "value_range",
]

# Metrics of one class against the rest, whose average over the classes can be chosen.
_AVERAGED = {
    "auroc": partial(one_vs_rest, prepare_auroc, class_logits),
    "average_precision": partial(
        one_vs_rest, prepare_average_precision, class_logits, prepare_dealt=prepare_dealt_precision
    ),
    "f1": partial(one_vs_rest, prepare_f1, signed_decisions),
}
auroc = _AVERAGED["auroc"]("macro")
average_precision = _AVERAGED["average_precision"]("macro")
f1 = _AVERAGED["f1"]("macro")

METRICS: dict[str, Metric] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "neg_log_loss": neg_log_loss,
    "neg_brier": neg_brier,
    "top_3_accuracy": top_k_accuracy(3),
    "top_5_accuracy": top_k_accuracy(5),
    **{
        f"{name}_{average}": averaged(average)
        for name, averaged in _AVERAGED.items()
        for average in ("weighted", "per_class")
    },
}
_OWN = dict(METRICS)  # what else is put there, also under one of these names, is the user's


def is_own(name: str) -> bool:
    """Whether a metric is this package's, so that its name means the same in every process."""
    return name in _OWN and METRICS.get(name) is _OWN[name]


def value_range(name: str) -> tuple[float, float]:
    """The smallest and the largest value of a metric; of the user's own, all numbers."""
    if not is_own(name):
        return -float("inf"), float("inf")
    return (-float("inf"), 0.0) if name.startswith("neg_") else (0.0, 1.0)
