"""Single pictures: what changing a concept in one example's caption does to its score and to its losses, in numpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int

from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.dealing import Dealing, deal

AnyArray = Array | np.ndarray
_BLOCK = 2**23  # numbers in 64 bits at once
LOSSES = {"log_loss": "neg_log_loss", "brier": "neg_brier", "zero_one": "accuracy"}  # and the metric that is their mean


def local_changes(
    scores: Float[AnyArray, "d v ..."],
    labels: Int[AnyArray, "n ..."],
    lookup: Lookup,
    weights: Float[AnyArray, " n"],
    strata: Int[AnyArray, " n"] | Int[AnyArray, "n f"] | None = None,
) -> pd.DataFrame:
    """What every other value of every feature does to single examples, against the example's own baseline row.

    A mean over examples of a loss's changes, weighted by w_i and by each value's share p_v(w, i), is the importance by the
    metric of that loss (`neg_log_loss`, `neg_brier`, `accuracy`); the own value changes nothing and has no row.

    Args:
      scores: the score table, logits [D, V] or [D, V, C].
      labels: of each example, see `cpi_jax.statistics.metrics`.
      lookup: where the rows are.
      weights: of the examples, [N].
      strata: permute within these groups only, from 0, [N], or [N, F] with groups for each feature.

    Returns:
      One row a (feature, example, other value): indices `feature`, `example`, `own`, `value`; `share` p_v and `weight`;
      the own caption's `score` (a logit; of several classes that of the example's class against the rest; none of several
      labels); changes, permuted minus own, of the score and of each loss, averaged over draws, each with the draws'
      standard error (`..._error`, NaN for one draw); `flips`, the share of draws in which the decision is another.

    Example:
      A classifier that reads the first of two concepts: without it, the first example's decision turns wrong.

      >>> concepts, features = jnp.array([[1, 0], [1, 1], [0, 0], [0, 1]]), jnp.eye(2, dtype=bool)
      >>> variants, lookup = cpi_jax.plan_variants(concepts[..., None], features, np.arange(4))
      >>> scores = 2.0 * cpi_jax.take_variants(concepts, features, variants)[None, :, 0] - 1
      >>> changes = cpi_jax.local_changes(scores, concepts[:, 0], lookup, np.ones(4))
      >>> changes[["feature", "example", "own", "value", "score_change", "zero_one_change", "flips"]].head(1)
         feature  example  own  value  score_change  zero_one_change  flips
      0        0        0    1      0          -2.0              1.0    1.0
      >>> importances = (changes.share * changes.zero_one_change).groupby(changes.feature).sum() / 4
      >>> [round(x, 3) for x in importances]
      [0.667, 0.0]
    """
    parts, weights = [], np.asarray(weights, np.float64)
    for f in range(np.asarray(lookup.rows).shape[1]):
        stratum = (
            None
            if strata is None
            else np.asarray(strata).reshape(len(weights), -1)[:, f if np.ndim(strata) == 2 else 0]
        )
        dealing = deal(lookup, f, np.asarray(lookup.values)[:, f], weights, stratum)
        parts.append(changes_of(dealing, np.asarray(scores), np.asarray(labels)).assign(feature=np.int32(f)))
    table = pd.concat(parts, ignore_index=True)
    return table[["feature", *(name for name in table if name != "feature")]]


def changes_of(dealing: Dealing, scores: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """The rows of one feature; see `local_changes`."""
    i, m = np.nonzero(dealing.changed)
    code, first, same = np.unique(
        i * (int(dealing.values.max()) + 1) + dealing.values[i, m], return_index=True, return_inverse=True
    )
    share = np.bincount(same, dealing.shares[i, m], len(code))  # several shuffles can give the same value
    i, m = i[first], m[first]
    before = measure_rows(scores, dealing.baseline, labels)
    after = measure_rows(scores, dealing.rows[i, m], labels[i])
    columns = {
        "example": i.astype(np.int32),
        "own": dealing.own[i].astype(np.int32),
        "value": dealing.values[i, m].astype(np.int32),
        "share": share,
        "weight": dealing.weights[i],
    }
    if "score" in before:
        columns["score"] = before["score"].mean(0)[i]
    for name in before:
        change = after[name] - before[name][:, i]
        columns[f"{name}_change"] = change.mean(0)
        columns[f"{name}_change_error"] = _error_of_draws(change)
    decided = decisions(scores, labels)
    columns["flips"] = flips(decided[:, dealing.rows[i, m]], decided[:, dealing.baseline[i]], labels.ndim == 2).mean(0)
    narrow = {name: x.astype(np.float32) if x.dtype.kind == "f" else x for name, x in columns.items()}
    return pd.DataFrame(narrow)


def measure_rows(scores: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """`measures` of some rows of a table, in blocks that fit the memory where a classifier has a thousand outputs.

    Args:
      scores: the score table, [D, V] or [D, V, C].
      rows: R of them.
      labels: of each of these.
    """
    size = max(_BLOCK // max(scores[:, :1].size, 1), 1)
    starts = range(0, max(len(rows), 1), size)
    blocks = [measures(scores[:, rows[a : a + size]], labels[a : a + size]) for a in starts]
    return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in blocks[0]}


def measures(scores: np.ndarray, labels: np.ndarray) -> Mapping[str, Float[np.ndarray, "d n"]]:
    """The score and each loss of every picture, [D, N]: `score`, where it is one number, and those of `LOSSES`.

    Args:
      scores: logits [D, N] or [D, N, C].
      labels: of each picture, [N] or [N, C].
    """
    s = np.asarray(scores, np.float64)
    if s.ndim == 3 and s.shape[2] == 1 and labels.ndim == 1:
        s = s[..., 0]
    if s.ndim == 3 and labels.ndim == 1:  # classes that exclude each other
        own = np.arange(s.shape[2]) == labels[:, None]
        logit = np.take_along_axis(logits_of_classes(s), np.broadcast_to(labels[None, :, None], (*s.shape[:2], 1)), 2)
        p = np.exp(s - s.max(2, keepdims=True))
        p /= p.sum(2, keepdims=True)
        squares, wrong = ((p - own) ** 2).sum(2), s.argmax(2) != labels
        log_loss = np.logaddexp(0, -logit[..., 0])
        return {"score": logit[..., 0], "log_loss": log_loss, "brier": squares, "zero_one": wrong * 1.0}
    true = labels > 0
    log_loss = np.logaddexp(0, np.where(true, -s, s))
    squares, wrong = (_sigmoid(s) - true) ** 2, (s > 0) != true
    if s.ndim == 2:
        return {"score": s, "log_loss": log_loss, "brier": squares, "zero_one": wrong * 1.0}
    return {"log_loss": log_loss.mean(2), "brier": squares.mean(2), "zero_one": wrong.any(2) * 1.0}


def logits_of_classes(scores: Float[np.ndarray, "*b c"]) -> Float[np.ndarray, "*b c"]:
    """Logit of each class against the rest, where classes exclude each other: s_c - log of the sum of the others' exp s."""
    top = scores.max(-1, keepdims=True)
    is_top = np.arange(scores.shape[-1]) == scores.argmax(-1)[..., None]
    others = np.where(is_top, -np.inf, scores)
    second = others.max(-1, keepdims=True)
    of_top = second + np.log(np.exp(others - second).sum(-1, keepdims=True))  # the top class left out: nothing cancels
    rest = np.exp(others - top)
    rest = 1 + rest.sum(-1, keepdims=True) - rest
    return np.where(is_top, scores - of_top, scores - top - np.log(rest))


def decisions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What the classifier says of every picture: 0 or 1 [D, V], the class [D, V], or 0 or 1 for each label [D, V, C].

    Args:
      scores: logits [D, V] or [D, V, C].
      labels: of the examples, whose shape says whether classes exclude each other.
    """
    if scores.ndim == 3 and labels.ndim == 1:
        return scores.argmax(2) if scores.shape[2] > 1 else scores[..., 0] > 0
    return scores > 0


def flips(after: np.ndarray, before: np.ndarray, several: bool) -> np.ndarray:
    """Whether a decision is another, 0 or 1.

    Args:
      after, before: of `decisions`.
      several: whether the last axis is of several labels: is any of them another?
    """
    other = after != before
    return (other.any(-1) if several else other) * 1.0


def _error_of_draws(change: np.ndarray) -> np.ndarray:
    draws = len(change)
    return change.std(0, ddof=1) / np.sqrt(draws) if draws > 1 else np.full(change.shape[1], np.nan)


def _sigmoid(s: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -s))
