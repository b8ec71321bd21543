"""What permuting a feature does to the captions: how many change, and into what."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from cpi_jax.plan.variants import Request


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Host arrays over F features.

    Attributes:
      share_changed: chance that a permutation changes a caption, [F].
      share_alone: share of examples that are alone in their stratum, [F].
      num_changed: distinct changed captions that permutations reach, over all examples, [F].
      num_new: how many of them combine slots as no caption of the data does, [F].
      num_impossible: how many hold two contents that no caption of the data holds together, [F].
    """

    share_changed: np.ndarray
    share_alone: np.ndarray
    num_changed: np.ndarray
    num_new: np.ndarray
    num_impossible: np.ndarray


def measure_coverage(
    content: np.ndarray,
    features: np.ndarray,
    columns: Sequence[tuple[np.ndarray, np.ndarray]],
    requests: Sequence[Request],
    strata: np.ndarray | None,
    among: np.ndarray | None = None,
) -> Coverage:
    """Counts over the captions that requests reach.

    Args:
      content: index of the distinct content of every slot, int [N, K].
      features: masks of the features, bool [F, K].
      columns: each feature's values, as `feature_values` gives them.
      requests: what each feature's permutations reach.
      strata: of each example and feature, int [N, F].
      among: count over these examples and what they give each other only, bool [N]; all by default.
    """
    among = np.ones(len(content), bool) if among is None else among
    n, num_features = len(content), len(features)
    seen = {row.tobytes() for row in content[among]}
    out = np.zeros((5, num_features))
    for request in requests:
        for place, f in enumerate(request.features):
            own, first = columns[f]
            stratum = np.zeros(n, np.int64) if strata is None else strata[:, f]
            out[:2, f] = _shares(own[among], stratum[among])
            wanted = (request.donors[:, place] >= 0) & among[:, None]
            wanted &= np.isin(request.values[:, place], own[among])
            example, column = np.nonzero(wanted)
            value = request.values[example, place, column].astype(np.int64)
            changes, count = value != own[example], int(own.max()) + 1
            example, value = np.divmod(np.unique(example[changes] * count + value[changes]), count)
            changed = content[example]
            changed[:, features[f]] = content[first[value]][:, features[f]]
            out[2, f] = len(changed)
            out[3, f] = sum(row.tobytes() not in seen for row in changed)
            out[4, f] = _never_together(content, features[f], own, example, value, among).sum()
    return Coverage(*out[:2], *out[2:].astype(int))


def _shares(own: np.ndarray, stratum: np.ndarray) -> tuple[float, float]:
    """Chance that another member of the stratum has another value, averaged over those who have one; share alone."""
    _, stratum = np.unique(stratum, return_inverse=True)
    others = np.bincount(stratum)[stratum] - 1
    pair = stratum * (own.max() + 1) + own
    same = np.bincount(pair)[pair] - 1
    has_donor = others > 0
    share = np.mean(1 - same[has_donor] / others[has_donor]) if has_donor.any() else 0.0
    return float(share), float(1 - has_donor.mean())


def _never_together(content, mask, own, example, value, among) -> np.ndarray:
    """Whether value of the feature and some other content of the example never occur in one caption, bool [changed]."""
    never = np.zeros(len(example), bool)
    for k in np.flatnonzero(~mask):
        together = np.zeros((own.max() + 1, content[:, k].max() + 1), bool)
        together[own[among], content[among, k]] = True
        never |= ~together[value, content[example, k]]
    return never
