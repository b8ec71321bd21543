"""The two conditions under which a ranking holds: effective generation and independent permutation (DEPICT, section 3).

Each is a test with a margin, and has three outcomes. *pass*: the difference is shown to lie within the margin (a
two-sided one by two one-sided tests, Schuirmann 1987). *fail*: it is shown to lie beyond. *inconclusive*: the examples
do not decide; `needed` says about how many would.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int
from scipy.stats import norm

from cpi_jax.importance.functional import (
    AnyLookup,
    Prepared,
    Strata,
    evaluate_with_influence,
    prepare,
    prepare_permuted,
)
from cpi_jax.importance.inference import sampling_units
from cpi_jax.importance.metrics import Metric, auroc, prepare_metric
from cpi_jax.importance.significance import holm

POWER = 0.8  # of the number of examples that would decide


@struct.dataclass
class Estimate:
    """Numbers with their standard errors; a pytree."""

    value: Float[Array, "..."]
    error: Float[Array, "..."]


@struct.dataclass
class Generation:
    """Effective generation of one scorer; a pytree.

    Attributes:
      real: AUROC on the real images, [C].
      generated: on the images of the examples' own captions, averaged over draws, [C].
      lost: real minus generated, with the standard error of the paired difference.
    """

    real: Float[Array, " c"]
    generated: Float[Array, " c"]
    lost: Estimate


@struct.dataclass
class Independence:
    """Independent permutation, for each permuted feature and each concept that the detector knows; a pytree.

    Attributes:
      change: AUROC of the detector against the concepts of the original captions, after minus before permuting, [F, K].
      follows: AUROC of the detector on the permuted images against the concepts of the permuted captions, [F, K]; high
        where the images carry what their captions say.
      leak: AUROC of the detector's decision about concept k (score > 0) against the permuted presence of the feature,
        minus that of its decision on the example's own image, [F, K]; of a feature with several contents, the one with
        the largest upper bound.
        Off the diagonal this is 0 unless the feature's words paint or erase something else; `change` cannot see that where
        the concepts are independent. Decisions, since a shift of all logits by a crowded scene is no leak.
    """

    change: Estimate
    follows: Estimate
    leak: Estimate


@jax.jit
def effective_generation(
    real: Float[Array, "n c"],
    generated: Float[Array, "d n c"],
    labels: Int[Array, "n c"],
    weights: Float[Array, " n"],
    clusters: Int[Array, " n"] | None = None,
) -> Generation:
    """Compares scores of real and of regenerated images.

    Args:
      real: scores of the real images, [N, C].
      generated: scores of the baseline rows, [D, N, C].
      labels: {0, 1}, [N, C].
      weights: of the examples.
      clusters: of the examples, int32 [N] below N; standard errors are then of clusters.
    """

    def of_output(x):
        one, many, label = x  # [N], [D, N], [N]
        on_real, on_generated = prepare_metric(auroc, one, label), jax.lax.map(lambda s: auroc.prepare(s, label), many)

        def both(w):
            column = w[:, None]
            return jnp.stack([on_real(column)[0], jax.lax.map(lambda p: p(column)[0], on_generated).mean()])

        before, after = both(weights)
        gradient = jax.jacrev(both)(weights)
        return before, after, _error((gradient[0] - gradient[1]) * weights, label, weights, clusters)

    before, after, error = jax.lax.map(of_output, (real.T, jnp.moveaxis(generated, 2, 0), labels.T))
    return Generation(before, after, Estimate(before - after, error))


@jax.jit
def independent_permutation(
    scores: Float[Array, "d v k"],
    concepts: Int[Array, "n k"],
    permuted_concepts: Int[Array, "v k"],
    contents: Bool[Array, "r v f"],
    lookup: AnyLookup,
    weights: Float[Array, " n"],
    strata: Strata = None,
    clusters: Int[Array, " n"] | None = None,
) -> Independence:
    """What permuting each feature does to the detector's view of each concept, averaged over draws.

    Args:
      scores: the detector's table, [D, V, K].
      concepts: presence in the original captions, [N, K].
      permuted_concepts: presence in each row's caption, [V, K] (`take_variants`).
      contents: R indicators of what each row's caption says in the slots of each feature: that it says something, or one
        for each thing that it can say (repeated where a feature has fewer), [R, V, F].
      lookup: where the rows are.
      weights: of the examples.
      strata: within which the features were permuted.
      clusters: of the examples, int32 [N] below N; standard errors are then of clusters.
    """
    contents = contents.astype(jnp.int32)
    # The baseline row of each row's example; padded entries (-1) are sent past the end and dropped.
    rows = jnp.where(lookup.rows < 0, scores.shape[1], lookup.rows)
    baseline = jnp.broadcast_to(lookup.baseline[:, None, None], rows.shape)
    own_row = jnp.zeros(scores.shape[1], jnp.int32).at[rows].set(baseline, mode="drop")

    def of_concept(x):
        s, before, after = x  # [D, V], [N], [V]

        def estimate(prepared: Prepared, sign: float = 1.0) -> Estimate:
            value, influence = evaluate_with_influence(prepared, lookup, weights, strata)
            return Estimate(sign * value.mean(0), _error(influence.mean(0), before, weights, clusters))

        labels = jnp.broadcast_to(after[:, None], contents.shape[1:])
        decision = (s > 0).astype(jnp.float32)
        both = jnp.stack([decision, decision[:, own_row]], -1)
        leaks = jax.lax.map(lambda said: estimate(prepare_permuted(both, said, lookup, _auroc_beyond)), contents)
        bound = jnp.abs(leaks.value) + 1.645 * leaks.error  # all of them lie within a margin if the largest does
        largest = jnp.where(jnp.isnan(bound), -1.0, bound).argmax(0)
        return Independence(
            change=estimate(prepare(s, before, lookup, auroc), -1.0),
            follows=estimate(prepare_permuted(s, labels, lookup, auroc)),
            leak=jax.tree.map(lambda x: jnp.take_along_axis(x, largest[None], 0)[0], leaks),
        )

    found = jax.lax.map(of_concept, (jnp.moveaxis(scores, 2, 0), concepts.T, permuted_concepts.T))
    return jax.tree.map(lambda x: x.T, found)  # [K, F] each


@Metric
def _auroc_beyond(scores: Array, labels: Array) -> Partial:
    """AUROC of the first column of scores minus that of the second."""
    return Partial(_difference, auroc.prepare(scores[:, 0], labels), auroc.prepare(scores[:, 1], labels))


def _difference(first: Partial, second: Partial, weights: Array) -> Array:
    return first(weights) - second(weights)


def _error(influence: Array, labels: Array, weights: Array, clusters: Array | None) -> Array:
    n = influence.shape[-1]
    if clusters is not None:
        influence = jnp.moveaxis(jax.ops.segment_sum(jnp.moveaxis(influence, -1, 0), clusters, n), 0, -1)
    return sampling_units(labels, weights, 2, clusters, n).standard_error(influence)


class Verdicts:
    """Outcome of many tests: "pass", "fail", "inconclusive", or "not assessed" where a number is missing.

    Attributes:
      outcome: [..] of text.
      needed: about how many examples would decide with power .8 were the estimate true, 0 where it is decided, [..].
    """

    def __init__(self, outcome: np.ndarray, needed: np.ndarray):
        self.outcome, self.needed = outcome, needed


def judge(
    excess: np.ndarray,
    error: np.ndarray,
    num_examples: int,
    fewest: np.ndarray | int | None = None,
    alpha: float = 0.05,
) -> Verdicts:
    """Decides for each estimate whether it lies within its margin.

    Passing needs the upper bound of one test at alpha below the margin (all of several must pass, which keeps the joint
    error at alpha). Failing needs the lower bound above it, Holm-corrected over all estimates of this call.

    Args:
      excess: estimate minus margin; for a two-sided margin, |estimate| minus margin.
      error: its standard error.
      num_examples: that the errors come from.
      fewest: examples of the rarer class behind each estimate. An AUROC of 1 has no error of its own, so that errors are
        taken as 1 / (2 fewest) at least; by default as they are.
      alpha: of the tests.
    """
    excess, error = np.asarray(excess, float), np.asarray(error, float)
    if fewest is not None:
        excess = np.where(np.asarray(fewest) > 0, excess, np.nan)  # a class without examples
        error = np.maximum(error, 0.5 / np.maximum(fewest, 1))
    known = np.isfinite(excess) & np.isfinite(error)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(error > 0, excess / error, np.where(excess > 0, np.inf, -np.inf))
    beyond = np.ones(excess.shape)
    beyond[known] = np.asarray(holm(jnp.asarray(norm.sf(z[known]))))
    within = norm.cdf(z) <= alpha
    outcome = np.where(within, "pass", np.where(beyond <= alpha, "fail", "inconclusive"))
    outcome = np.where(known, outcome, "not assessed")
    strict = norm.isf(alpha / max(known.sum(), 1))
    reach = np.where(excess < 0, norm.isf(alpha), strict) + norm.ppf(POWER)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        needed = np.ceil(num_examples * (reach * error / np.abs(excess)) ** 2)
    undecided = (outcome == "inconclusive") & np.isfinite(needed)
    return Verdicts(outcome, np.where(undecided, np.maximum(np.minimum(needed, 1e9), num_examples + 1), 0).astype(int))


def judge_independence(
    result: Independence, own: Bool[Array, "f k"], concepts: np.ndarray, *, margin: float, faithful: float
) -> Verdicts:
    """Verdict of every (permuted feature, concept), [F, K].

    Args:
      result: of `independent_permutation`.
      own: concepts that each feature permutes.
      concepts: presence of each concept in the examples' captions, {0, 1}, [N, K].
      margin: largest change and leak allowed for a concept that is not permuted.
      faithful: smallest AUROC against the permuted captions for one that is.
    """
    own = np.asarray(own, bool)
    parts = [result.change, result.leak]
    excess = [np.where(own, np.nan, np.abs(np.asarray(x.value)) - margin) for x in parts]
    excess.append(np.where(own, faithful - np.asarray(result.follows.value), np.nan))
    errors = [np.asarray(x.error) for x in (*parts, result.follows)]
    counts = np.asarray(concepts).sum(0)
    fewest = np.broadcast_to(np.minimum(counts, len(concepts) - counts), own.shape)
    each = judge(np.stack(excess), np.stack(errors), len(concepts), fewest)
    other = np.array([worst(pair) for pair in each.outcome[:2].reshape(2, -1).T]).reshape(own.shape)
    return Verdicts(np.where(own, each.outcome[2], other), np.where(own, each.needed[2], each.needed[:2].max(0)))


SEVERITY = ("pass", "unchecked", "not assessed", "inconclusive", "fail")


def worst(outcomes: np.ndarray | list[str]) -> str:
    """The gravest of several outcomes."""
    return max(outcomes, key=SEVERITY.index)
