"""What a score table, its labels, weights, strata and clusters can be; pure functions of arrays.

Raised before anything is traced: a traced function would hand on NaN.
"""

from __future__ import annotations

import jax
import numpy as np

from cpi_jax.errors import InputError

AnyArray = jax.Array | np.ndarray


def validate_table(
    scores: AnyArray,
    labels: AnyArray,
    weights: AnyArray,
    strata: AnyArray | None = None,
    clusters: AnyArray | None = None,
) -> None:
    """Refuses what no importance can be computed from; traced functions propagate NaN instead.

    Args:
      scores: D draws of V images, [D, V] or [D, V, C].
      labels: {0, 1} or the class's index [N], or {0, 1} for each of several labels [N, C].
      weights: of the examples, [N].
      strata: group of each example, from 0, [N] or [N, F].
      clusters: cluster of each example, from 0, [N].

    Raises:
      InputError: for scores that are not finite, labels of one class or of none that there is, weights, strata or clusters
        that leave nothing to compute; one sentence that names what is wrong.

    Example:
      >>> cpi_jax.validate_table(np.zeros((1, 4)), labels=np.array([0, 1, 1, 1]), weights=np.ones(4))
      >>> cpi_jax.validate_table(np.zeros((1, 4)), labels=np.array([1, 1, 1, 1]), weights=np.ones(4))
      Traceback (most recent call last):
      cpi_jax.errors.InputError: all 4 labels are 1: importance needs examples of both classes
    """
    scores = np.asarray(scores)
    if not np.isfinite(scores).all():
        d, v = np.argwhere(~np.isfinite(scores))[0][:2]
        raise InputError(f"the score of row {v} in draw {d} is {scores[d, v]}, not a finite number")
    validate_labels(labels, scores.shape[2] if scores.ndim == 3 else 1)
    if len(labels) != len(weights):
        raise InputError(f"there are {len(labels)} labels and {len(weights)} weights; each example needs one of each")
    validate_cases(weights, strata, clusters)


def validate_cases(weights: AnyArray, strata: AnyArray | None = None, clusters: AnyArray | None = None) -> None:
    """Refuses weights, strata and clusters that leave nothing to compute; arguments as in `validate_table`.

    Raises:
      InputError: for those; one sentence.
    """
    weights = np.asarray(weights)
    if not np.issubdtype(weights.dtype, np.number):
        raise InputError(f"weights must be numbers, and the first is {weights.flat[0]!r}")
    n = len(weights)
    for name, codes in (("strata", strata), ("clusters", clusters)):
        if codes is None:
            continue
        codes = np.asarray(codes)
        if len(codes) != n:
            raise InputError(f"there are {n} weights and {len(codes)} {name}; each example needs one of each")
        if not np.issubdtype(codes.dtype, np.integer) or codes.min() < 0 or codes.max() >= n:
            how = "np.unique(column, return_inverse=True)[1] makes them"
            raise InputError(f"{name} must be whole numbers from 0 to {n - 1}: {how}")
    if not np.isfinite(weights).all() or weights.min() < 0:
        i = int(np.argmin(np.where(np.isfinite(weights), weights, -np.inf)))
        raise InputError(f"the weight of example {i} is {weights[i]:g}: weights must be finite and not negative")
    if weights.sum() == 0:
        raise InputError("the weights sum to zero, so no example is left")
    if clusters is not None and len(np.unique(np.asarray(clusters)[weights > 0])) < 2:
        raise InputError("all examples are of one cluster, so their sampling error cannot be known: give at least two")
    if strata is not None:
        for j, column in enumerate(np.atleast_2d(np.asarray(strata).T)):
            if np.bincount(np.unique(column, return_inverse=True)[1]).max() < 2:
                reason = "so nothing can be permuted: use coarser strata"
                raise InputError(f"every example is alone in its stratum for feature {j}, {reason}")


def validate_labels(labels: AnyArray, num_outputs: int | None) -> None:
    """Refuses labels that are not classes of a target with so many outputs; None where their number is not known yet.

    Raises:
      InputError: for those; one sentence.
    """
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.number) and labels.dtype != bool:
        raise InputError(f"labels must be whole numbers, the classes' indices, and one is {str(labels.flat[0])!r}")
    if not np.array_equal(labels, np.round(labels)):
        bad = labels[labels != np.round(labels)].flat[0]
        raise InputError(f"labels must be whole numbers, the classes' indices, and one is {bad}")
    classes = np.unique(labels).astype(int).tolist()
    values = ", ".join(map(str, classes[:5]))
    if labels.ndim == 2:
        if not set(classes) <= {0, 1}:
            raise InputError(f"labels of several columns must be 0 or 1, and they hold {values}")
        if num_outputs is not None and labels.shape[1] != num_outputs:
            raise InputError(f"there are {labels.shape[1]} columns of labels and {num_outputs} scores an image")
        if (constant := np.flatnonzero((labels == labels[0]).all(0))).size:
            raise InputError(f"all {len(labels)} labels of column {constant[0]} are {labels[0, constant[0]]}")
    elif len(classes) < 2:
        raise InputError(f"all {len(labels)} labels are {values}: importance needs examples of both classes")
    elif num_outputs is None:
        return
    elif num_outputs == 1 and classes != [0, 1]:
        raise InputError(f"labels must be 0 or 1 for one score an image, and they hold {values}")
    elif num_outputs > 1 and not 0 <= classes[0] <= classes[-1] < num_outputs:
        wrong = classes[0] if classes[0] < 0 else classes[-1]
        known = f"{num_outputs} scores an image, for classes 0 to {num_outputs - 1}"
        raise InputError(f"the target gives {known}, and a label is {wrong}")
