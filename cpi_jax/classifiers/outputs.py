"""Which outputs of a classifier a study asks about."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cpi_jax.classifiers.scores import MULTILABEL, ROUNDING, SUM_ROUNDING
from cpi_jax.errors import InputError, require_known


def find_classes(classes: Sequence[int | str], names: Sequence[str], count: int = 0) -> tuple[int, ...]:
    """Indices of outputs that are given by index or by name.

    Args:
      classes: indices, or names.
      names: of all outputs; none where the classifier's files do not say.
      count: of all outputs; 0 where the classifier's files do not say.

    Raises:
      InputError: for an unknown name or index, or an output that is given twice.
    """
    if classes is None or isinstance(classes, (str, int, float)):
        raise InputError(f"`classes` must be a tuple of outputs, such as (0,) or ('cat',), not {classes!r}")
    indices = []
    for wanted in classes:
        if isinstance(wanted, str):
            if not names:
                raise InputError(f"the classifier's outputs have no names: give the index of {wanted!r} in `classes`")
            require_known(wanted, "class", names)
            if names.count(wanted) > 1:
                raise InputError(
                    f"{names.count(wanted)} outputs are called {wanted!r}: give their indices in `classes`"
                )
            wanted = names.index(wanted)
        try:
            if isinstance(wanted, (bool, np.bool_)):
                raise TypeError
            indices.append(operator.index(wanted))
        except TypeError:
            raise InputError(f"`classes` holds {wanted!r}, and indices or names of outputs are needed") from None
    if count:
        _validate_classes(indices, count)
    if len(set(indices)) < len(indices):
        raise InputError(f"`classes` names output {max(indices, key=indices.count)} twice")
    return tuple(indices)


def pick_classes(
    scores: Float[Array | np.ndarray, "b c"], classes: tuple[int, ...], task: str, probabilities: bool = False
) -> Float[Array, "b k"]:
    """What a classifier says of some of its outputs.

    Args:
      scores: logits, or probabilities.
      classes: indices of outputs.
      task: "multilabel", where the score of each is its own, as it comes; "multiclass", where they share one (`log_odds`).
      probabilities: whether the scores are.

    Raises:
      InputError: where there is no such output; of classes that exclude each other, no other one.
    """
    if task != MULTILABEL:
        return log_odds(scores, classes, probabilities)
    _validate_classes(classes, scores.shape[-1])
    return jnp.asarray(scores[:, np.array(classes)])


def log_odds(
    scores: Float[Array | np.ndarray, "b c"], classes: tuple[int, ...], probabilities: bool = False
) -> Float[Array, "b 1"]:
    """The logit of "is it one of these classes?": log sum exp of their logits, minus that of the others.

    With p the softmax of the logits it is log(p / (1 - p)) of the classes' total p. NaN where probabilities are said and a
    row holds none.

    Args:
      scores: logits, or probabilities.
      classes: indices of outputs.
      probabilities: which of the two.

    Raises:
      InputError: where there is no such output, or no other one.
    """
    count = scores.shape[-1]
    _validate_classes(classes, count)
    chosen = np.isin(np.arange(count), classes)
    if chosen.all():
        raise InputError(
            f"`classes` names all {count} outputs of the classifier, so there is nothing to tell them from"
        )
    logits = scores
    if probabilities:
        valid = (jnp.abs(scores.sum(-1, keepdims=True) - 1) <= SUM_ROUNDING) & (scores >= -ROUNDING).all(
            -1, keepdims=True
        )
        logits = jnp.where(valid, jnp.log(jnp.clip(scores, np.finfo(np.float32).tiny)), jnp.nan)
    inside, outside = (jax.nn.logsumexp(logits[:, np.flatnonzero(mask)], axis=-1) for mask in (chosen, ~chosen))
    return (inside - outside)[:, None]


def _validate_classes(classes: Sequence[int], count: int) -> None:
    if wrong := [c for c in classes if not 0 <= c < count]:
        raise InputError(f"`classes` names output {wrong[0]}, and the classifier has outputs 0 to {count - 1}")
