"""The rows of the score table: every distinct caption of every example, once, and where each one's scores are found."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt64

from cpi_jax.errors import InputError
from cpi_jax.plan.hashes import hash_ids, hash_texts
from cpi_jax.plan.requests import Request, distinct_rows, feature_values, request_values
from cpi_jax.plan.variants import Lookup, Variants

AnyArray = Array | np.ndarray
_ODD = np.uint64(0x9E3779B97F4A7C15)


def plan_rows(
    tokens: Int[AnyArray, "n k s"],
    features: Bool[AnyArray, "f k"],
    ids: Sequence[int] | Sequence[str] | np.ndarray,
    requests: Sequence[Request],
    order: Int[AnyArray, "n k"] | None = None,
    pictures: UInt64[AnyArray, " examples"] | None = None,
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
      pictures: a hash of each example's real picture, where images are anchored in it.

    Returns:
      The variants; a 64-bit code of each, uint64 [V], that follows from the example's id, its picture and the caption's
      tokens alone;
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
    parts: list[tuple[np.ndarray, ...]] = [(everybody, np.full(n, -1), np.full(n, -1), everybody)]
    asked = [request.donors >= 0 for request in requests]
    for request, wanted in zip(requests, asked):
        i, f, v = np.nonzero(wanted)
        parts.append((i, np.asarray(request.features)[f], request.values[i, f, v], request.donors[i, f, v]))
    example, feature, value, donor = (np.concatenate(x).astype(np.int32) for x in zip(*parts))

    place = np.empty(n, np.int64)
    hashes = hash_ids(ids)
    place[np.argsort(hashes, kind="stable")] = everybody
    codes = _caption_codes(tokens, features, example, feature, donor) + hashes[example] * _ODD
    if order is not None:
        codes += hash_texts(str(row).encode() for row in np.asarray(order)[:n].tolist())[example]
    if pictures is not None:
        codes += pictures[example] * _ODD
    _, first, number = np.unique(codes, return_index=True, return_inverse=True)
    by_example = np.lexsort((first, place[example[first]]))
    row_of = np.empty(len(first), np.int32)
    row_of[by_example] = np.arange(len(first))
    number = row_of[number.reshape(-1)]
    chosen = first[by_example]
    variants = Variants(*(jnp.asarray(x[chosen]) for x in (example, feature, value, donor)))
    rows, start = [], n
    for wanted in asked:
        rows_of_request = np.full(wanted.shape, -1, np.int32)
        rows_of_request[wanted] = number[start : start + wanted.sum()]
        start += wanted.sum()
        rows.append(rows_of_request)
    return variants, codes[chosen], number[:n], rows


def plan_variants(
    tokens: Int[AnyArray, "n k s"],
    features: Bool[AnyArray, "f k"],
    ids: Sequence[int] | Sequence[str] | np.ndarray,
    *,
    max_values: int = 8,
) -> tuple[Variants, Lookup]:
    """Lists the captions that the exact mean over permutations needs, without duplicates.

    A value that an example has already is its baseline row.

    Args:
      tokens: tokenised slots, int32 [N, K, S].
      features: slots that are permuted as a unit, one mask per feature, bool [F, K].
      ids: stable ids of the examples, integers or text, [N].
      max_values: most values of a feature.

    Returns:
      V variants, and where the scores of each (example, feature, value) are in a table whose rows are these.

    Raises:
      InputError: for duplicate ids, not one for each caption, no feature, or one with more values than `max_values`.

    Example:
      Two concepts in three captions; only values that an example does not have are generated.

      >>> tokens = jnp.array([[[5], [6]], [[5], [-1]], [[-1], [6]]])
      >>> variants, lookup = plan_variants(tokens, jnp.eye(2, dtype=bool), [10, 11, 12])
      >>> len(variants.example), lookup.rows.shape  # 3 baselines, 3 x 2 changed; N, F, M
      (9, (3, 2, 2))
    """
    if len(ids) != len(tokens):
        raise InputError(f"there are {len(ids)} ids and tokens of {len(tokens)} captions; each caption needs one id")
    if not len(features):
        raise InputError("there is nothing to permute: features must hold at least one mask over the slots")
    columns = [feature_values(tokens, mask) for mask in np.asarray(features)]
    counts = [len(first) for _, first in columns]
    if (most := max(counts)) > max_values:
        raise InputError(
            f"feature {int(np.argmax(counts))} has {most} values and at most {max_values} are enumerated: group its values"
        )
    variants, _, baseline, (rows,) = plan_rows(tokens, features, ids, [request_values(columns, range(len(columns)))])
    values = np.stack([v for v, _ in columns], axis=1)
    return variants, Lookup(*(jnp.asarray(x) for x in (baseline, rows, values)))


def _caption_codes(
    tokens: AnyArray, features: AnyArray, example: np.ndarray, feature: np.ndarray, donor: np.ndarray
) -> np.ndarray:
    """A 64-bit code of each variant's slots (Zobrist 1970): the sum of a hash of each (slot, content)."""
    tokens, features = np.asarray(tokens), np.asarray(features)
    slot_codes = np.empty(tokens.shape[:2], np.uint64)
    for k in range(tokens.shape[1]):
        content, first = distinct_rows(tokens[:, k])
        texts = [f"{k}: {row[row >= 0].tolist()}".encode() for row in tokens[first, k]]  # whatever the padding
        slot_codes[:, k] = hash_texts(texts)[content]
    codes = slot_codes.sum(1)[example]
    for f, mask in enumerate(features):
        of_feature = slot_codes[:, mask].sum(1)
        at = np.flatnonzero(feature == f)
        codes[at] += of_feature[donor[at]] - of_feature[example[at]]
    return codes
