"""What a classifier's function may return, and what its numbers may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.errors import InputError

MULTICLASS = "multiclass"  # the outputs exclude each other: a softmax
MULTILABEL = "multilabel"  # each is a label of its own: a sigmoid each
TASKS = (MULTICLASS, MULTILABEL)
ROUNDING = 1e-3  # of a probability, as 16-bit networks give it
SUM_ROUNDING = 1e-2  # of the sum of a row

AnyScores = TypeVar("AnyScores", np.ndarray, jax.Array)


def as_rows(scores: AnyScores, num_images: int, source: str) -> AnyScores:
    """Scores [B, C] of an array [B], [B, C] or with sides of 1 besides, as convolutions leave them.

    Args:
      scores: what came back; traced, or on the host.
      num_images: that were handed in, B.
      source: names the function in a message.

    Raises:
      InputError: for anything but one row of floating-point numbers an image.
    """
    if not jnp.issubdtype(scores.dtype, jnp.floating):
        raise InputError(
            f"{source} returned {scores.dtype} where logits or probabilities are needed, in floating point: "
            f"of a decision (a class's index, yes or no) nobody knows how sure it was"
        )
    if scores.shape[:1] != (num_images,) or not scores.size or sum(side > 1 for side in scores.shape[1:]) > 1:
        raise InputError(
            f"{source} returned shape {scores.shape} for {num_images} images, not one row each: "
            f"({num_images},) or ({num_images}, outputs)"
        )
    return scores.reshape(num_images, -1)


def read_rows(returned: Any, num_images: int, source: str) -> np.ndarray:
    """Scores float32 [B, C] of what a host function returned: an array, a tensor, or a list of rows; a copy.

    Raises:
      InputError: for anything else.
    """
    if returned is None or isinstance(returned, (tuple, Mapping, str)):
        raise InputError(f"{source} returned a {type(returned).__name__}, and the array of the scores alone is needed")
    if hasattr(returned, "detach"):  # a PyTorch tensor that wants a gradient, or lies on a GPU
        returned = returned.detach().cpu()
    try:
        array = np.asarray(returned)
    except Exception as error:  # whatever the object's own conversion raises
        kind = type(returned).__name__
        raise InputError(f"{source} returned a {kind} that numpy cannot read as an array: {error}") from None
    return np.array(as_rows(array, num_images, source), np.float32)


def are_probabilities(scores: np.ndarray) -> bool:
    """Whether every row of scores [..., C] lies in [0, 1] and sums to 1: of logits, by chance, none does."""
    within = scores.min() >= 0 and scores.max() <= 1
    return bool(scores.shape[-1] > 1 and within and np.abs(scores.sum(-1) - 1).max() < ROUNDING)


def validate_probabilities(scores: np.ndarray, exclusive: bool, source: str) -> None:
    """Refuses what cannot be probabilities; NaN passes.

    Args:
      scores: [..., C].
      exclusive: whether the outputs exclude each other, so that a row sums to 1.
      source: names the classifier in a message.

    Raises:
      InputError: names the number.
    """
    outside = (scores < -ROUNDING) | (scores > 1 + ROUNDING)
    if outside.any():
        raise InputError(
            f"{source} is said to give probabilities, and one is {scores[outside][0]:.4g}: they lie in [0, 1]; "
            f"where these are logits, leave `probabilities` out"
        )
    total = scores.sum(-1)
    if exclusive and scores.shape[-1] > 1 and (off := np.abs(total - 1) > SUM_ROUNDING).any():
        raise InputError(
            f"{source} is said to give probabilities of classes that exclude each other, and those of one image sum to "
            f"{total[off][0]:.4g}, not 1: where each output is a label of its own, say task='multilabel' and which of them "
            f"the labels mean, in `classes`"
        )
