"""Too few examples, or clusters, of a class: what the intervals cannot make up for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cpi_jax.wording import counted

FEW = 20  # positives, or clusters, below which intervals were measured to hold less often than they say


def few_cases(labels: np.ndarray, weights: np.ndarray, clusters: np.ndarray | None = None) -> tuple[str, ...]:
    """What to warn of, by the classes of the labels; see `few_members`.

    Args:
      labels: class index [N], or {0, 1} for each of several labels [N, C].
      weights: of the examples.
      clusters: of the examples.
    """
    labels = np.asarray(labels).astype(int)
    if labels.ndim == 2:
        members = {f"label {c} = {value}": labels[:, c] == value for c in range(labels.shape[1]) for value in (0, 1)}
    else:
        members = {f"class {value}": labels == value for value in np.unique(labels)}
    return few_members(members, weights, clusters)


def few_members(
    members: Mapping[str, np.ndarray], weights: np.ndarray, clusters: np.ndarray | None = None
) -> tuple[str, ...]:
    """What to warn of: intervals hold less often than they say below 20 examples, or clusters, of a class.

    They are counted as the effective number (Kish 1965): the squared sum of their weights over the sum of their squares,
    so many of equal weight would carry the same variance.

    Args:
      members: by name, which examples are of a class, bool [N]; those without weight do not count.
      weights: of the examples.
      clusters: of the examples.
    """
    weights = np.asarray(weights, float)
    kind = "example" if clusters is None else "cluster"
    each, unit = np.unique(np.arange(len(weights)) if clusters is None else clusters, return_inverse=True)
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
    return (f"{few}: with fewer than {FEW}, intervals hold less often than they say",)
