"""Which images a study needs: every distinct (example, feature, value), once, and where its scores are found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Int

from cpi_jax.errors import InputError

AnyArray = Array | np.ndarray


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

    example: Int[Array, " v"]
    feature: Int[Array, " v"]
    value: Int[Array, " v"]
    donor: Int[Array, " v"]


@struct.dataclass
class Lookup:
    """Where the score of (example, feature, value) is; a pytree.

    Attributes:
      baseline: row of each example's own caption, int32 [N].
      rows: row of each value, int32 [N, F, M]; the baseline row at the example's own value, -1 past a feature's values.
      values: each example's own value, int32 [N, F].
    """

    baseline: Int[Array, " n"]
    rows: Int[Array, "n f m"]
    values: Int[Array, "n f"]


def feature_values(tokens: Int[AnyArray, "n k s"], mask: Bool[AnyArray, " k"]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct joint contents of the masked slots.

    Returns:
      Each example's value index, int32 [N], and for each value the first example that has it, int32 [M].
    """
    content = np.asarray(tokens)[:, np.asarray(mask)].reshape(len(tokens), -1)
    _, first, values = np.unique(content, axis=0, return_index=True, return_inverse=True)
    return values.reshape(-1).astype(np.int32), first.astype(np.int32)


def plan_variants(
    tokens: Int[AnyArray, "n k s"], features: Bool[AnyArray, "f k"], ids: np.ndarray, *, max_values: int = 8
) -> tuple[Variants, Lookup]:
    """Lists the captions that the exact mean over permutations needs, without duplicates.

    A value that an example has already is its baseline row. Rows go by example, in the order of a hash of their ids, so
    that any prefix of the table is a random sample of the examples.

    Args:
      tokens: tokenised slots, int32 [N, K, S].
      features: slots that are permuted as a unit, one mask per feature, bool [F, K].
      ids: stable ids of the examples, integers or text, [N].
      max_values: most values of a feature.

    Raises:
      InputError: for duplicate ids, or a feature with more values than `max_values`.
    """
    n, f = len(tokens), len(features)
    if len(np.unique(ids)) != n:
        raise InputError(f"{n - len(np.unique(ids))} example ids occur twice; ids must be unique")
    columns = [feature_values(tokens, mask) for mask in np.asarray(features)]
    counts = [len(first) for _, first in columns]
    if (most := max(counts)) > max_values:
        raise InputError(
            f"feature {int(np.argmax(counts))} has {most} values and at most {max_values} are enumerated: group its values"
        )
    values = np.stack([v for v, _ in columns], axis=1)
    donor_of = np.full((f, most), -1, np.int32)
    for j, (_, first) in enumerate(columns):
        donor_of[j, : len(first)] = first

    # Candidate rows of an example: its baseline, then every other value of every feature.
    order = np.argsort(_hash_ids(ids), kind="stable")
    wanted = (donor_of >= 0)[None] & (np.arange(most) != values[..., None])  # [N, F, M]
    wanted = np.concatenate([np.ones((n, 1), bool), wanted.reshape(n, -1)], axis=1)[order]
    place, column = np.nonzero(wanted)
    example = order[place].astype(np.int32)
    feature, value = np.divmod(column - 1, most)
    is_baseline = column == 0
    feature, value = np.where(is_baseline, -1, feature), np.where(is_baseline, -1, value)
    donor = np.where(is_baseline, example, donor_of[feature, value])

    baseline = np.empty(n, np.int32)
    baseline[example[is_baseline]] = np.flatnonzero(is_baseline)
    rows = np.where((donor_of >= 0)[None], baseline[:, None, None], -1)
    changed = np.flatnonzero(~is_baseline)
    rows[example[changed], feature[changed], value[changed]] = changed
    variants = Variants(*(jnp.asarray(x, jnp.int32) for x in (example, feature, value, donor)))
    return variants, Lookup(jnp.asarray(baseline), jnp.asarray(rows, jnp.int32), jnp.asarray(values))


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


def noise_ids(ids: Sequence[int] | Sequence[str] | np.ndarray) -> np.ndarray:
    """Ids as the noise reads them: integers below 2^32 as they are, others as the two halves of a 64-bit hash.

    Returns:
      uint32 [N] where all are such integers, else [N, 2] with a high half of 0 for those that are.
    """
    ids = np.asarray(ids)
    small = np.array([isinstance(i, int) and 0 <= i < 2**32 for i in ids.tolist()])
    if small.all():
        return ids.astype(np.uint32)
    codes = _hash_ids(ids)
    codes[small] = ids[small].astype(np.uint64)
    return np.stack([codes >> np.uint64(32), codes & np.uint64(0xFFFFFFFF)], axis=1).astype(np.uint32)


def _hash_ids(ids: Sequence[int] | Sequence[str] | np.ndarray) -> np.ndarray:
    """A 64-bit hash of each id's text, the same on every machine, uint64 [N]."""
    digests = (hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in np.asarray(ids).tolist())
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)
