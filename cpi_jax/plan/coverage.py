"""What permuting a feature does to the captions: how many change, and into what."""

from __future__ import annotations

import dataclasses

import numpy as np

from cpi_jax.plan.record import Plan
from cpi_jax.plan.variants import Lookup, ShuffledLookup
from cpi_jax.wording import NAME, in_a_line

_MOST_IMPOSSIBLE = 0.1  # of a feature's permuted captions


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


def measure_coverage(plan: Plan, among: np.ndarray | None = None) -> Coverage:
    """Counts over the captions that a plan's permutations reach.

    Args:
      plan: of N examples.
      among: count over these examples and what they give each other only, bool [N]; all by default.
    """
    num_examples, num_features = plan.values.shape
    among = np.ones(num_examples, bool) if among is None else among
    masks = np.asarray(plan.masks)
    strata = np.zeros(plan.values.shape, np.int32) if plan.strata is None else np.asarray(plan.strata)
    captions = {row.tobytes() for row in plan.contents[among]}
    shares, counts = np.zeros((2, num_features)), np.zeros((3, num_features), int)
    for lookup, features in plan.lookups:
        for place, f in enumerate(features):
            own = plan.values[:, f]
            shares[:, f] = _shares(own[among], strata[among, f])
            if plan.features[f].role == "control":  # its phrase can be said with anything
                counts[0, f] = among.sum()
                continue
            example, value = _changes(lookup, place, own, among)
            _, first = np.unique(own, return_index=True)  # of each value, an example that has it
            changed = np.where(masks[f], plan.contents[first[value]], plan.contents[example])
            counts[0, f] = len(changed)
            counts[1, f] = sum(row.tobytes() not in captions for row in changed)
            counts[2, f] = _never_together(plan.contents, masks[f], own, example, value, among).sum()
    return Coverage(*shares, *counts)


def warn_of_coverage(plan: Plan) -> tuple[str, ...]:
    """A sentence where many permuted captions hold two contents that the data never do together; none for free text.

    A combination of all slots that no caption has is no reason: of six concepts there are 64, and of free captions each is
    one of a kind.
    """
    if plan.slots.order is not None:
        return ()
    coverage = measure_coverage(plan)
    extrapolated = [
        f"{in_a_line(name, NAME)} {impossible:,} of {changed:,}"
        for name, changed, impossible in zip(plan.names, coverage.num_changed, coverage.num_impossible)
        if impossible > _MOST_IMPOSSIBLE * changed
    ]
    if not extrapolated:
        return ()
    return (
        "many permuted captions hold two things that no caption of the data holds together, so that what is said of them "
        f"is extrapolated: {', '.join(extrapolated)}; condition_on permutes among examples that agree",
    )


def _changes(
    lookup: Lookup | ShuffledLookup, place: int, own: np.ndarray, among: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The distinct pairs of an example and another value than its own that a lookup has a row of, int [changed] each."""
    if isinstance(lookup, ShuffledLookup):
        values = own[np.asarray(lookup.donors)[:, place]]
    else:
        rows = np.asarray(lookup.rows)[:, place]
        values = np.where(rows >= 0, np.arange(rows.shape[1]), own[:, None])
    is_change = (values != own[:, None]) & among[:, None] & np.isin(values, own[among])
    count = int(own.max()) + 1
    return np.divmod(np.unique(np.nonzero(is_change)[0] * count + values[is_change]), count)


def _shares(own: np.ndarray, stratum: np.ndarray) -> tuple[float, float]:
    """Chance that another member of the stratum has another value, averaged over those who have one; share alone."""
    _, stratum = np.unique(stratum, return_inverse=True)
    others = np.bincount(stratum)[stratum] - 1
    pair = stratum * (own.max() + 1) + own
    same = np.bincount(pair)[pair] - 1
    has_donor = others > 0
    share = np.mean(1 - same[has_donor] / others[has_donor]) if has_donor.any() else 0.0
    return float(share), float(1 - has_donor.mean())


def _never_together(
    contents: np.ndarray, mask: np.ndarray, own: np.ndarray, example: np.ndarray, value: np.ndarray, among: np.ndarray
) -> np.ndarray:
    """Whether value of the feature and some other content of the example never occur in one caption, bool [changed]."""
    never = np.zeros(len(example), bool)
    for k in np.flatnonzero(~mask):
        together = np.zeros((own.max() + 1, contents[:, k].max() + 1), bool)
        together[own[among], contents[among, k]] = True
        never |= ~together[value, contents[example, k]]
    return never
