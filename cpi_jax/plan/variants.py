"""Which images a study needs: every distinct (example, feature, value), once, and where its scores are found."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Int

from cpi_jax.errors import InputError
from cpi_jax.plan.hashes import hash_ids, hash_texts

AnyArray = Array | np.ndarray
_ODD = np.uint64(0x9E3779B97F4A7C15)


@struct.dataclass
class Variants:
    """Captions to generate, one per row of the score table; a pytree.

    Row r is the caption of `example[r]` whose slots of feature `feature[r]` are taken from the caption of `donor[r]`.

    Attributes:
      example: index of the example, int32 [V].
      feature: index of the feature, -1 for the example's own caption (the baseline), int32 [V].
      value: index of the value within the feature, -1 for the baseline, int32 [V].
      donor: an example that has this value; the example itself for the baseline, int32 [V].
    """

    example: Int[AnyArray, " v"]
    feature: Int[AnyArray, " v"]
    value: Int[AnyArray, " v"]
    donor: Int[AnyArray, " v"]


@struct.dataclass
class Lookup:
    """Where the score of (example, feature, value) is, for features all of whose values are enumerated; a pytree.

    Attributes:
      baseline: row of each example's own caption, int32 [N].
      rows: row of each value, int32 [N, F, M]; the baseline row at the example's own value, -1 past a feature's values.
      values: each example's own value, int32 [N, F].
    """

    baseline: Int[Array, " n"]
    rows: Int[Array, "n f m"]
    values: Int[Array, "n f"]


@struct.dataclass
class ShuffledLookup:
    """Where the scores of R planned shuffles are, for features with many values; a pytree.

    Attributes:
      baseline: row of each example's own caption, int32 [N].
      rows: row of each example in each shuffle, int32 [N, F, R].
      donors: the example that it receives from, int32 [N, F, R].
    """

    baseline: Int[Array, " n"]
    rows: Int[Array, "n f r"]
    donors: Int[Array, "n f r"]


@dataclasses.dataclass(frozen=True)
class Request:
    """Captions that some features need; host arrays.

    Attributes:
      features: indices of the F features.
      donors: an example (or a further row of the tokens) whose slots every recipient needs, int32 [N, F, M], -1 for none.
      values: index of each donor's value within the feature, int32 [N, F, M].
    """

    features: Sequence[int]
    donors: np.ndarray
    values: np.ndarray


def feature_values(tokens: Int[AnyArray, "n k s"], mask: Bool[AnyArray, " k"]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct joint contents of the masked slots.

    Returns:
      Each example's value index, int32 [N], and for each value the first example that has it, int32 [M].
    """
    return distinct_rows(np.asarray(tokens)[:, np.asarray(mask)].reshape(len(tokens), -1))


def distinct_rows(rows: Int[np.ndarray, "n c"]) -> tuple[np.ndarray, np.ndarray]:
    """What `np.unique(rows, axis=0)` finds, several times faster: column by column.

    Returns:
      Each row's place among the distinct ones in lexical order, int32 [N], and where each of these first occurs, int32 [M].
    """
    values, first = np.zeros(len(rows), np.int64), np.zeros(min(len(rows), 1), np.int64)
    for column in rows.T:
        low = column.min()
        codes = values * (int(column.max()) - int(low) + 1) + (column - low)
        _, first, values = np.unique(codes, return_index=True, return_inverse=True)
    return values.astype(np.int32), first.astype(np.int32)


def request_values(
    columns: Sequence[tuple[np.ndarray, np.ndarray]],
    features: Sequence[int],
    strata: Int[AnyArray, "n f"] | None = None,
) -> Request:
    """Every value of every feature, or every value that somebody in the example's stratum has.

    Args:
      columns: of the features, as `feature_values` gives them.
      features: their indices.
      strata: of each example and feature.
    """
    n, most = len(columns[0][0]), max(len(first) for _, first in columns)
    donors = np.full((n, len(columns), most), -1, np.int32)
    for j, (values, first) in enumerate(columns):
        donors[:, j, : len(first)] = first
        if strata is not None:
            present = np.zeros((int(strata[:, j].max()) + 1, len(first)), bool)
            present[strata[:, j], values] = True
            donors[:, j, : len(first)][~present[strata[:, j]]] = -1
    return Request(features, donors, np.broadcast_to(np.arange(most, dtype=np.int32), donors.shape))


def request_shuffles(
    donors: Int[AnyArray, "n f r"], columns: Sequence[tuple[np.ndarray, np.ndarray]], features: Sequence[int]
) -> Request:
    """What R planned shuffles of every feature ask for."""
    values = np.stack([column[0][donors[:, j]] for j, column in enumerate(columns)], axis=1)
    return Request(features, np.asarray(donors), values)


def plan_rows(
    tokens: Int[AnyArray, "n k s"],
    features: Bool[AnyArray, "f k"],
    ids: np.ndarray,
    requests: Sequence[Request],
    order: Int[AnyArray, "n k"] | None = None,
) -> tuple[Variants, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Numbers the distinct captions that requests ask for: equal captions of an example are one row.

    Rows go by example, in the order of a hash of their ids, so that any prefix of the table is a random sample of the
    examples; an example's baseline comes first.

    Args:
      tokens: tokenised slots, int32 [N or more, K, S]; rows past the examples are donors only.
      features: masks of the features, bool [F, K].
      ids: stable ids of the examples, integers or text, [N].
      requests: which captions.
      order: in which each caption says its slots; None for the slots' own.

    Returns:
      The variants; a 64-bit code of each, uint64 [V], that follows from the example's id and the caption's tokens alone;
      the baseline rows, int32 [N]; the rows of each request, int32 [N, F, M], -1 where none was asked for.

    Raises:
      InputError: for duplicate ids.
    """
    n = len(ids)
    texts = list(map(str, np.asarray(ids).tolist()))  # as hashes and files know them: 1 and "1" are the same id
    if len(set(texts)) != n:
        twice = next(text for text, count in collections.Counter(texts).items() if count > 1)
        raise InputError(f"{n - len(set(texts))} example ids occur twice, such as {twice!r}; ids must be unique")
    everybody = np.arange(n, dtype=np.int32)
    example, feature, value, donor = [everybody], [np.full(n, -1)], [np.full(n, -1)], [everybody]
    asked = [request.donors >= 0 for request in requests]
    for request, wanted in zip(requests, asked):
        i, f, v = np.nonzero(wanted)
        example.append(i)
        feature.append(np.asarray(request.features)[f])
        value.append(request.values[i, f, v])
        donor.append(request.donors[i, f, v])
    example, feature, value, donor = (np.concatenate(x).astype(np.int32) for x in (example, feature, value, donor))

    place = np.empty(n, np.int64)
    hashes = hash_ids(ids)
    place[np.argsort(hashes, kind="stable")] = everybody
    codes = _caption_codes(tokens, features, example, feature, donor) + hashes[example] * _ODD
    if order is not None:
        codes += hash_texts(str(row).encode() for row in np.asarray(order)[:n].tolist())[example]
    _, first, number = np.unique(codes, return_index=True, return_inverse=True)
    order = np.lexsort((first, place[example[first]]))
    row_of = np.empty(len(first), np.int32)
    row_of[order] = np.arange(len(first))
    number = row_of[number.reshape(-1)]
    chosen = first[order]
    variants = Variants(*(jnp.asarray(x[chosen]) for x in (example, feature, value, donor)))
    rows, start = [], n
    for wanted in asked:
        found = np.full(wanted.shape, -1, np.int32)
        found[wanted] = number[start : start + wanted.sum()]
        start += wanted.sum()
        rows.append(found)
    return variants, codes[chosen], number[:n], rows


def plan_variants(
    tokens: Int[AnyArray, "n k s"], features: Bool[AnyArray, "f k"], ids: np.ndarray, *, max_values: int = 8
) -> tuple[Variants, Lookup]:
    """Lists the captions that the exact mean over permutations needs, without duplicates.

    A value that an example has already is its baseline row.

    Args:
      tokens: tokenised slots, int32 [N, K, S].
      features: slots that are permuted as a unit, one mask per feature, bool [F, K].
      ids: stable ids of the examples, integers or text, [N].
      max_values: most values of a feature.

    Raises:
      InputError: for duplicate ids, or a feature with more values than `max_values`.
    """
    columns = [feature_values(tokens, mask) for mask in np.asarray(features)]
    counts = [len(first) for _, first in columns]
    if (most := max(counts)) > max_values:
        raise InputError(
            f"feature {int(np.argmax(counts))} has {most} values and at most {max_values} are enumerated: group its values"
        )
    variants, _, baseline, (rows,) = plan_rows(tokens, features, ids, [request_values(columns, range(len(columns)))])
    values = np.stack([v for v, _ in columns], axis=1)
    return variants, Lookup(*(jnp.asarray(x) for x in (baseline, rows, values)))


def take_variants(
    per_slot: Int[Array, "n k ..."], features: Bool[Array, "f k"], variants: Variants
) -> Int[Array, "v k ..."]:
    """What the variants' captions hold: the feature's slots from the donor, the others from the example.

    Args:
      per_slot: anything known per example and slot: tokens [N, K, S], or the presence of concepts [N, K].
      features: masks of the features, bool [F, K].
      variants: V rows.
    """
    permuted = features[variants.feature] & (variants.feature >= 0)[:, None]
    permuted = permuted.reshape(permuted.shape + (1,) * (per_slot.ndim - 2))
    return jnp.where(permuted, per_slot[variants.donor], per_slot[variants.example])


def _caption_codes(tokens, features, example, feature, donor) -> np.ndarray:
    """A 64-bit code of each variant's slots (Zobrist 1970): the sum of a hash of each (slot, content)."""
    tokens, features = np.asarray(tokens), np.asarray(features)
    slot_codes = np.empty(tokens.shape[:2], np.uint64)
    for k in range(tokens.shape[1]):
        content, first = distinct_rows(tokens[:, k])
        said = [f"{k}: {row[row >= 0].tolist()}".encode() for row in tokens[first, k]]  # whatever the padding
        slot_codes[:, k] = hash_texts(said)[content]
    codes = slot_codes.sum(1)[example]
    for f, mask in enumerate(features):
        of_feature = slot_codes[:, mask].sum(1)
        at = np.flatnonzero(feature == f)
        codes[at] += of_feature[donor[at]] - of_feature[example[at]]
    return codes


def find_codes(codes: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where each code stands among others, int64; -1 where it is not there.

    Args:
      codes: uint64 [V].
      among: distinct codes, uint64 [W].
    """
    if not len(among):
        return np.full(len(codes), -1)
    order = np.argsort(among)
    found = order[np.minimum(np.searchsorted(among, codes, sorter=order), len(among) - 1)]
    return np.where(among[found] == codes, found, -1)
