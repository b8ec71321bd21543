"""How well captions alone predict the label; where they know clearly more than the classifier, they give the label away.

The ranking would then be of another task than the classifier's: to read a label that the images show because the caption
says it.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int
from scipy.special import expit, ndtri

from cpi_jax.statistics.validity import Estimate, effective_generation

FOLDS = 5
_STEPS = 15  # of Newton's method, from zero


@struct.dataclass
class CaptionPrediction:
    """AUROC of the captions, and of the classifier on the real images, against C labels.

    Attributes:
      captions: of a cross-validated logistic regression on the slots, [C].
      classifier: on the real images, [C]; None without them.
      excess: captions minus classifier, with the standard error of the paired difference; None without real images.
      slot: which slot alone predicts best, [C].
    """

    captions: Estimate
    classifier: Float[Array, " c"] | None
    excess: Estimate | None
    slot: Int[np.ndarray, " c"]

    def gives_away(self, margin: float, alpha: float = 0.05) -> np.ndarray:
        """Labels that the captions are shown to predict better than the classifier, by more than a margin, bool [C]."""
        if self.excess is None:
            return np.zeros(self.slot.shape, bool)
        return np.asarray(self.excess.value + ndtri(alpha) * self.excess.error > margin)


def predict_from_captions(
    slots: Sequence[tuple[str, ...]],
    labels: Int[np.ndarray, "n c"],
    weights: Float[np.ndarray, " n"],
    clusters: Int[np.ndarray, " n"] | None = None,
    real: Float[np.ndarray, "n c"] | None = None,
) -> CaptionPrediction:
    """Compares what captions know of the labels with what the classifier knows. Pure; NaN for labels that are too rare.

    Args:
      slots: the texts of each caption's slots.
      labels: {0, 1}; of a class index, the indicators of its classes.
      weights: of the examples.
      clusters: of the examples, from 0: a cluster stays in one fold, and standard errors are of clusters.
      real: the classifier's logits of the real images, one column a label.
    """
    columns = [_indicators([row[k] for row in slots]) for k in range(len(slots[0]))]
    fold = _folds(labels, clusters)
    whole = _held_out_logits(np.concatenate(columns, axis=1), labels, fold)
    alone = np.stack([_plain_auroc(_held_out_logits(column, labels, fold), labels) for column in columns])
    nothing = np.zeros(labels.shape, np.float32)  # has AUROC .5 without error, so that the difference has the captions'
    against_nothing = _auroc(whole, labels, weights, clusters, nothing)
    slot = alone.argmax(0)
    captions = Estimate(against_nothing.real, against_nothing.lost.error)
    if real is None:
        return CaptionPrediction(captions, None, None, slot)
    against = _auroc(whole, labels, weights, clusters, real)
    return CaptionPrediction(captions, against.generated, against.lost, slot)


def describe_prediction(
    prediction: CaptionPrediction,
    labels: Sequence[str],
    slots: Sequence[str],
    margin: float,
    called: str = "classifier",
) -> tuple[str, tuple[str, ...]]:
    """One line on the label that captions predict best, and a warning for each that they give away.

    Args:
      prediction: of `predict_from_captions`.
      labels: what its C labels are called.
      slots: names of the slots.
      margin: see `CaptionPrediction.gives_away`.
      called: what the classifier is called.
    """
    c = int(np.nanargmax(np.asarray((prediction.captions if prediction.excess is None else prediction.excess).value)))
    value, error = prediction.captions.value[c], 1.96 * prediction.captions.error[c]
    line = f"Captions alone: predict {labels[c]} with AUROC {value:.3f} ({max(value - error, 0):.3f} to "
    line += f"{min(value + error, 1):.3f}, cross-validated), most by {slots[prediction.slot[c]]!r}"
    line += (
        "" if prediction.classifier is None else f"; the {called} on the real images: {prediction.classifier[c]:.3f}"
    )
    return line, tuple(
        f"the captions say more of {labels[c]} than the {called} knows, so that generated images are easier than real "
        f"ones and the ranking is of another task: leave {slots[prediction.slot[c]]!r} out of the captions if it gives the "
        "label away"
        for c in np.flatnonzero(prediction.gives_away(margin)).tolist()
    )


def _plain_auroc(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """AUROC of every column without weights, [C]; 0 where a class is missing."""
    from scipy.stats import rankdata  # only here: it takes a second to import

    positive = labels.sum(0)
    pairs = positive * (len(labels) - positive)
    won = (rankdata(scores, axis=0) * labels).sum(0) - positive * (positive + 1) / 2
    return won / np.maximum(pairs, 1)


def _auroc(logits, labels, weights, clusters, other):
    return effective_generation(
        jnp.asarray(logits, jnp.float32),
        jnp.asarray(other, jnp.float32)[None],
        jnp.asarray(labels, jnp.int32),
        jnp.asarray(weights, jnp.float32),
        None if clusters is None else jnp.asarray(clusters),
    )


def _indicators(texts: Sequence[str]) -> np.ndarray:
    """What a slot says, one column a content; contents of fewer captions than there are folds have none, [N, P]."""
    _, code, count = np.unique([text.strip() for text in texts], return_inverse=True, return_counts=True)
    kept = np.flatnonzero(count >= FOLDS)
    return (code[:, None] == kept).astype(float)


def _folds(labels: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    """Fold of each example: its unit's place in an order by labels, at random among equals, modulo the folds."""
    unit = np.arange(len(labels)) if clusters is None else clusters
    size = np.maximum(np.bincount(unit), 1)
    means = np.stack([np.bincount(unit, column) / size for column in labels.T])
    order = np.lexsort((np.random.default_rng(0).random(len(size)), *means))
    place = np.empty(len(size), int)
    place[order] = np.arange(len(size))
    return place[unit] % FOLDS


def _held_out_logits(design: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Logits of every example from a fit to the other folds, [N, C]."""
    design = np.concatenate([np.ones((len(design), 1)), design], axis=1)
    out = np.zeros(labels.shape)
    for c, label in enumerate(labels.T):
        for left_out in range(FOLDS):
            test = fold == left_out
            out[test, c] = design[test] @ _logistic(design[~test], label[~test])
    return out


def _logistic(design: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Coefficients of a logistic regression that adds half of their squares to its log loss, the first one's hardly."""
    ridge = np.diag([1e-3] + [1.0] * (design.shape[1] - 1))
    beta = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = expit(design @ beta)
        gradient = design.T @ (p - label) + ridge @ beta
        beta = beta - np.linalg.solve((design.T * (p * (1 - p))) @ design + ridge, gradient)
    return beta
