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
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from cpi_jax.errors import InputError

MetricFunction = Callable[[Array, Array, Float[Array, " n"]], Array]


class Metric:
    """A metric in two steps.

    Attributes:
      prepare: (scores, labels) -> prepared metric, a pytree; it takes weights [N, B] and gives [B] or [B, C].
      prepare_dealt: (scores, labels, M) of N M rows, an example's M rows after each other -> its expectation where every
        example takes one of its rows; a pytree that takes weights [N, B] and chances [N, M, B].
    """

    def __init__(
        self,
        prepare: Callable[[Array, Array], Partial],
        prepare_dealt: Callable[[Array, Array, int], Partial] | None = None,
    ):
        self.prepare = prepare
        self.prepare_dealt = prepare_dealt or (lambda scores, labels, m: Partial(_of_all_rows, prepare(scores, labels)))
        functools.update_wrapper(self, prepare)

    def __call__(
        self, scores: Float[Array, "n ..."], labels: Int[Array, "n ..."], weights: Float[Array, " n"]
    ) -> Float[Array, "..."]:
        return self.prepare(scores, labels)(weights[:, None])[0]


def _of_all_rows(prepared: Partial, weights: Array, chances: Array) -> Array:
    return prepared((weights[:, None] * chances).reshape(-1, weights.shape[1]))


def as_metric(metric: MetricFunction) -> Metric:
    """Any metric in two steps; a plain function has no first one, and is mapped over the columns of the weights."""
    if isinstance(metric, Metric):
        return metric
    return Metric(lambda scores, labels: Partial(_MapWeights(metric), scores, labels))


@dataclasses.dataclass(frozen=True)
class _MapWeights:
    metric: MetricFunction

    def __call__(self, scores: Array, labels: Array, weights: Array) -> Array:
        return jax.vmap(self.metric, in_axes=(None, None, 1))(scores, labels, weights)


@functools.cache
def stack_metrics(metrics: tuple[MetricFunction, ...]) -> Metric:
    """Several metrics as one with a vector value: one pass over a table."""

    stacked = tuple(as_metric(metric) for metric in metrics)

    def prepare(scores, labels):
        return Partial(_stacked, tuple(metric.prepare(scores, labels) for metric in stacked))

    def prepare_dealt(scores, labels, m):
        return Partial(_stacked, tuple(metric.prepare_dealt(scores, labels, m) for metric in stacked))

    return Metric(prepare, prepare_dealt)


def _stacked(prepared: Sequence[Partial], *weights: Array) -> Array:
    values = [p(*weights) for p in prepared]
    return jnp.concatenate([v.reshape(v.shape[0], -1) for v in values], axis=1)


# Ranking metrics of one column.


def _prepare_auroc(scores: Array, labels: Array) -> Partial:
    positive = labels > 0
    # Within ties positives first, and negatives first: the mean over both orders counts a tie one half.
    orders = [jnp.lexsort((label, scores)) for label in (~positive, positive)]
    return Partial(_auroc, jnp.any(orders[0] != orders[1]), orders[0], orders[1], positive)


def _auroc(tied: Array, order: Array, other: Array, positive: Array, weights: Array) -> Array:
    won = _won(order, positive, weights)
    won = jax.lax.cond(tied, lambda: (won + _won(other, positive, weights)) / 2, lambda: won)
    on_positive = jnp.where(positive[:, None], weights, 0).sum(0)
    return won / (on_positive * (weights.sum(0) - on_positive))


@jax.custom_jvp
def _won(order: Array, positive: Array, weights: Array) -> Array:
    """Weight of the pairs (positive, negative) whose negative comes first, [B].

    Rows are taken in blocks that stay in the cache: within a block a triangular product, between blocks a running sum.
    """
    n, b = weights.shape
    size = min(max(16, 4096 // b), 256)
    blocks = -(-n // size)

    def cut(x):
        return jnp.pad(x, (0, blocks * size - n)).reshape(blocks, size)

    before = jnp.tril(jnp.ones((size, size), weights.dtype), -1)

    def add(carry, block):
        below, won = carry
        rows, is_positive, is_negative = block
        w = weights[rows]
        negative = w * is_negative[:, None]
        precede = before @ negative + below[None]
        return (below + negative.sum(0), won + (w * is_positive[:, None] * precede).sum(0)), None

    is_positive = positive[order].astype(weights.dtype)
    start = jnp.zeros(b, weights.dtype), jnp.zeros(b, weights.dtype)
    (_, won), _ = jax.lax.scan(add, start, (cut(order), cut(is_positive), cut(1 - is_positive)))
    return won


@_won.defjvp
def _won_derivative(primals, tangents):
    """A positive counts the negatives before it, a negative the positives after it: no scan has to be transposed."""
    order, positive, weights = primals
    w, is_positive = weights[order], positive[order][:, None]
    before, after = jnp.where(is_positive, 0, w), jnp.where(is_positive, w, 0)
    slope = jnp.where(is_positive, jnp.cumsum(before, 0), after.sum(0, keepdims=True) - jnp.cumsum(after, 0))
    return _won(*primals), (slope * tangents[2][order]).sum(0)


def _prepare_average_precision(scores: Array, labels: Array) -> Partial:
    order = jnp.argsort(-scores)
    s = -scores[order]
    last = jnp.searchsorted(s, s, side="right", method="sort") - 1  # of each tie group: one threshold
    return Partial(_average_precision, order, last, labels[order] > 0)


def _average_precision(order: Array, last: Array, positive: Array, weights: Array) -> Array:
    w = weights[order]
    true = jnp.where(positive[:, None], w, 0)
    called, found = jnp.cumsum(w, 0)[last], jnp.cumsum(true, 0)[last]
    precision = found / jnp.where(called > 0, called, 1)
    return (true * precision).sum(0) / true.sum(0)


def _prepare_dealt_precision(scores: Array, labels: Array, num_rows: int) -> Partial:
    own = scores.reshape(-1, num_rows)
    within = jnp.argsort(-own, axis=1)  # each example's rows, best first
    own = -jnp.take_along_axis(own, within, axis=1)
    own_last = jax.vmap(lambda s: jnp.searchsorted(s, s, side="right", method="sort") - 1)(own)
    order = jnp.argsort(own.ravel())
    s = own.ravel()[order]
    last = jnp.searchsorted(s, s, side="right", method="sort") - 1
    return Partial(_dealt_precision, within, own_last, order, last, labels[::num_rows] > 0)


def _dealt_precision(
    within: Array, own_last: Array, order: Array, last: Array, positive: Array, weights: Array, chances: Array
) -> Array:
    """Mean of the average precision where every example takes one of its rows, independently, [B].

    At the threshold of a positive's row its precision is X / C, with C = w_i + the weight of the others that reach it, each
    with its chance q_k, and X = w_i + the positives among them. C is a sum of independent terms, whose first four
    cumulants are running sums over the sorted rows. E[1 / C] is the continued fraction of the distribution of Meixner's
    class that has these cumulants: exact for what is certain, for Poisson and for binomial counts and for their sums with
    what is certain, to which all others are close. E[X | C] is taken as linear in C, which is exact in the same cases.
    """
    b = weights.shape[1]
    total = weights.sum(0, keepdims=True)
    w = weights * ((weights > 0).sum(0, keepdims=True) / total)  # of size 1, whatever their scale
    p = jnp.take_along_axis(chances, within[..., None], axis=1)
    reached = jnp.cumsum(p, axis=1)  # q at each row, if no tie followed

    def in_order(x):  # [N, M, B]
        return x.reshape(-1, b)[order]

    def of_others(cumulant, w):
        """Sum over the others of a cumulant of theirs, at the threshold of every row, in the order of the rows."""
        each = cumulant(reached)
        steps = w[:, None] * (each - cumulant(reached - p))
        own = w[:, None] * jnp.take_along_axis(each, own_last[..., None], axis=1)
        return jnp.cumsum(in_order(steps), 0)[last] - in_order(own)

    true = positive[:, None]
    own = in_order(jnp.broadcast_to(jnp.where(w > 0, w, 1)[:, None], p.shape))
    called, found = own + of_others(_mean, w), own + of_others(_mean, true * w)
    variance, shared = of_others(_variance, w**2), of_others(_variance, true * w**2)
    third, fourth = of_others(_third, w**3), of_others(_fourth, w**4)

    spread = jnp.maximum(variance, 1e-4)  # what is certain up to rounding has no shape
    shift = third / spread
    slope = (fourth / spread - shift**2) / 2
    # 1 / C = 1 / (c - b_1 / (c + shift - b_2 / (c + 2 shift - ...))); no tail of it is smaller than the smallest C.
    tail = jnp.maximum(called + _DEPTH * shift, own)
    for j in range(_DEPTH, 0, -1):
        step = jnp.maximum(j * (jnp.maximum(variance, 0) + (j - 1) * slope), 0)
        tail = jnp.maximum(called + (j - 1) * shift - step / tail, own)
    share = jnp.clip(shared / spread, 0, 1)
    precision = share + (found - share * called) / tail
    counted = in_order(jnp.where(true, w, 0)[:, None] * p)
    return (counted * precision).sum(0) / jnp.where(true, w, 0).sum(0)


_DEPTH = 4  # of the continued fraction: E[1 / C] to 2e-3 at worst, a Poisson count of 2 beside C >= 1


def _mean(q: Array) -> Array:
    return q


def _variance(q: Array) -> Array:
    return q * (1 - q)


def _third(q: Array) -> Array:
    return q * (1 - q) * (1 - 2 * q)


def _fourth(q: Array) -> Array:
    return q * (1 - q) * (1 - 6 * q * (1 - q))


# Metrics made of weighted sums.


def _prepare_f1(scores: Array, labels: Array) -> Partial:
    called, true = scores > 0, labels > 0
    return Partial(_f1, jnp.stack([called & true, called, true]).astype(jnp.float32))


def _f1(indicators: Array, weights: Array) -> Array:
    hit, called, true = _weigh(indicators, weights)
    return 2 * hit / jnp.where(called + true > 0, called + true, jnp.nan)


def _mean_of(values: Array) -> Partial:
    return Partial(_weighted_mean, values.astype(jnp.float32))


def _weighted_mean(values: Array, weights: Array) -> Array:
    return _weigh(values[None], weights)[0] / weights.sum(0)


def _weigh(values: Array, weights: Array) -> Array:
    """Weighted sums [Q, B] of values [Q, N]; not a matrix product, which float32 spoils from 100,000 rows on."""
    return jax.lax.map(lambda row: jnp.sum(row[:, None] * weights, axis=0), values)


@Metric
def accuracy(scores: Array, labels: Array) -> Partial:
    """Share of examples whose decision is right: logit above 0, the largest logit; every label of a multi-label example."""
    right = _decisions(scores, labels) == class_indicators(scores, labels)
    return _mean_of(right if scores.ndim == 1 else right.all(1))


@Metric
def balanced_accuracy(scores: Array, labels: Array) -> Partial:
    """Mean recall over the classes; for multi-label, the mean over labels of that of its two classes."""
    decided, true = _decisions(scores, labels), class_indicators(scores, labels)
    if scores.ndim == 1:
        decided, true = decided[:, None], true[:, None]
    if scores.ndim == 1 or labels.ndim == 2:
        decided, true = jnp.concatenate([decided, ~decided], 1), jnp.concatenate([true, ~true], 1)
    occurs = true.any(0)
    return Partial(_mean_recall, (decided & true).astype(jnp.float32), true.astype(jnp.float32), occurs)


def _mean_recall(hits: Array, true: Array, occurs: Array, weights: Array) -> Array:
    support = jnp.where(occurs[:, None], _weigh(true.T, weights), 1)
    return (_weigh(hits.T, weights) / support).sum(0) / occurs.sum()


@Metric
def neg_log_loss(scores: Array, labels: Array) -> Partial:
    """Mean log-likelihood of the labels in nats: logistic, softmax, or the mean over labels of the logistic one."""
    if scores.ndim == 2 and labels.ndim == 1:
        return _mean_of(jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1)[:, 0])
    likelihood = jax.nn.log_sigmoid(jnp.where(labels > 0, scores, -scores))
    return _mean_of(likelihood if scores.ndim == 1 else likelihood.mean(1))


@Metric
def neg_brier(scores: Array, labels: Array) -> Partial:
    """Minus the mean squared error of the probabilities; summed over classes, averaged over labels (Brier 1950)."""
    multi_class = scores.ndim == 2 and labels.ndim == 1
    p = jax.nn.softmax(scores) if multi_class else jax.nn.sigmoid(scores)
    error = (p - class_indicators(scores, labels)) ** 2
    return _mean_of(-(error if scores.ndim == 1 else error.sum(1) if multi_class else error.mean(1)))


@functools.cache
def top_k_accuracy(k: int) -> Metric:
    """Share of examples whose class is among the k largest logits (multi-class); a tie counts for the class."""

    def prepare(scores, labels):
        if scores.ndim == 1 or labels.ndim == 2:
            raise InputError("top-k accuracy needs a score for every class, and one class for every example")
        own = jnp.take_along_axis(scores, labels[:, None], axis=1)
        return _mean_of((scores > own).sum(1) < k)

    return Metric(prepare)


# Metrics of one class against the rest, averaged over classes or labels.


def _one_vs_rest(
    prepare: Callable[[Array, Array], Partial],
    columns: Callable,
    average: str,
    doc: str,
    prepare_dealt: Callable[[Array, Array, int], Partial] | None = None,
) -> Metric:
    def over_classes(scores, labels, prepare=prepare, num_rows=1):
        if scores.ndim == 1:
            return prepare(scores, labels)
        true = class_indicators(scores, labels).T
        occurs = true.any(1) & ~true.all(1)
        # One that does not is computed as another class and left out: neither its value nor its derivative is NaN.
        true = jnp.where(occurs[:, None], true, true[occurs.argmax()]).astype(jnp.int32)
        prepared = jax.lax.map(lambda x: prepare(*x), (columns(scores, labels).T, true))
        return Partial(
            _AVERAGES[average], prepared, true[:, ::num_rows].astype(jnp.float32), occurs.astype(jnp.float32)
        )

    def dealt_over_classes(scores, labels, m):
        return over_classes(scores, labels, lambda s, true: prepare_dealt(s, true, m), m)

    metric = Metric(over_classes, dealt_over_classes if prepare_dealt else None)
    metric.__doc__ = doc
    return metric


def _each_class(prepared: Partial, *weights: Array) -> Array:
    return jax.lax.map(lambda p: p(*weights), prepared).T  # [B, C]


def _per_class(prepared: Partial, true: Array, occurs: Array, *weights: Array) -> Array:
    return _each_class(prepared, *weights) * jnp.where(occurs > 0, 1, jnp.nan)[None]


def _macro(prepared: Partial, true: Array, occurs: Array, *weights: Array) -> Array:
    return (_each_class(prepared, *weights) * occurs[None]).sum(1) / occurs.sum()


def _by_support(prepared: Partial, true: Array, occurs: Array, *weights: Array) -> Array:
    support = _weigh(true, weights[0]) * occurs[:, None]  # [C, B]
    return jnp.sum(_each_class(prepared, *weights) * (support / support.sum(0, keepdims=True)).T, axis=1)


_AVERAGES = {"macro": _macro, "weighted": _by_support, "per_class": _per_class}


def class_indicators(scores: Array, labels: Array) -> Array:
    """Truth of every class or label, bool in the shape of the scores."""
    if scores.ndim == 2 and labels.ndim == 1:
        return labels[:, None] == jnp.arange(scores.shape[1])[None]
    return labels > 0


def _decisions(scores: Array, labels: Array) -> Array:
    """What the classifier says, bool in the shape of the scores."""
    if scores.ndim == 2 and labels.ndim == 1:
        return scores.argmax(1)[:, None] == jnp.arange(scores.shape[1])[None]
    return scores > 0


def class_logits(scores: Array, labels: Array) -> Array:
    """Logit of each class against the rest; where classes exclude each other, log p - log(1 - p) of the softmax."""
    if labels.ndim == 2:
        return scores
    top = _decisions(scores, labels)
    s = scores - scores.max(1, keepdims=True)
    rest = jnp.where(top, 0.0, jnp.exp(s))
    runners_up = jax.nn.logsumexp(jnp.where(top, -jnp.inf, s), axis=1, keepdims=True)
    # Nothing cancels: the top class is left out where it is the class, and dominates the sum elsewhere.
    return jnp.where(top, -runners_up, s - jnp.log1p(jnp.maximum(rest.sum(1, keepdims=True) - rest, 0)))


def _signed_decisions(scores: Array, labels: Array) -> Array:
    return _decisions(scores, labels) - 0.5


_AUROC = "Area under the ROC curve; ties count one half (Hanley & McNeil 1982). NaN without weight in both classes."
_AP = "Average precision: the mean, over positives, of the precision at their threshold; ties share one threshold."
_F1 = "F1 score of the decisions: harmonic mean of precision and recall."

auroc = _one_vs_rest(_prepare_auroc, class_logits, "macro", _AUROC)
average_precision = _one_vs_rest(_prepare_average_precision, class_logits, "macro", _AP, _prepare_dealt_precision)
f1 = _one_vs_rest(_prepare_f1, _signed_decisions, "macro", _F1)

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
        f"{name}_{average}": _one_vs_rest(prepare, columns, average, f"{doc} Over classes: {average}.", *dealt)
        for name, prepare, columns, doc, *dealt in (
            ("auroc", _prepare_auroc, class_logits, _AUROC),
            ("average_precision", _prepare_average_precision, class_logits, _AP, _prepare_dealt_precision),
            ("f1", _prepare_f1, _signed_decisions, _F1),
        )
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
