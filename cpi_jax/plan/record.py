"""The plan of a study: everything that follows from the captions, made before any image."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.captions.slots import CaptionSlots, assemble, caption_lengths
from cpi_jax.plan.variants import Lookup, ShuffledLookup, Variants, take_variants


@dataclasses.dataclass(frozen=True)
class Feature:
    """What is permuted as a unit.

    Attributes:
      name: what it is called.
      role: "concept", "group", "pair" (for an interaction only) or "control".
      slots: indices of its slots.
    """

    name: str
    role: str
    slots: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is permuted, the captions to generate for it, and where their scores will be; arrays and names alone.

    With a control, slots and texts have one slot more, and one row more that is not an example: the donor of its phrase.

    Attributes:
      texts: the slots' texts.
      slots: the same, tokenised.
      features: what is permuted, F of them.
      masks: slots of each feature, bool [F, K].
      contents: which of a slot's distinct texts each example has, int32 [N, K].
      values: which of a feature's values each example has, int32 [N, F]; of the control, whether it is given the phrase.
      skipped: concepts that never vary in these captions.
      interactions: (a, b, both) indices of features.
      variants: the V captions to generate.
      baseline: row of each example's own caption, int32 [N].
      lookups: where their scores are, with the features that each lookup is about.
      strata: of every example and feature, int32 [N, F]; None for plain permutation.
      codes: of each variant, uint64 [V]: the same example with the same caption has the same code in any plan.
      ids: the examples' ids as the noise reads them, uint32 [N] or [N, 2].
      pictures: a hash of each example's real picture, uint64 [N], where images are anchored in it.
    """

    texts: Sequence[tuple[str, ...]]
    slots: CaptionSlots
    features: tuple[Feature, ...]
    masks: jax.Array
    contents: np.ndarray
    values: np.ndarray
    skipped: tuple[str, ...]
    interactions: tuple[tuple[int, int, int], ...]
    variants: Variants
    baseline: jax.Array
    lookups: tuple[tuple[Lookup | ShuffledLookup, tuple[int, ...]], ...]
    strata: jax.Array | None
    codes: np.ndarray
    ids: np.ndarray
    pictures: np.ndarray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the features are called."""
        return tuple(feature.name for feature in self.features)

    @property
    def num_variants(self) -> int:
        """Images per draw."""
        return len(self.codes)

    def captions(self, rows: np.ndarray) -> jax.Array:
        """Captions of some variants as the text encoder reads them, int32 [B, L]."""
        return _captions(self.slots, self.masks, self.variants.take(rows))

    def caption_lengths(self) -> np.ndarray:
        """Tokens of every variant's caption, BOS and EOS included, int [V]."""
        sizes = jnp.asarray((np.asarray(self.slots.tokens) >= 0).sum(-1))
        return caption_lengths(self.slots, np.asarray(take_variants(sizes, self.masks, self.variants)))


@jax.jit
def _captions(slots: CaptionSlots, masks: jax.Array, variants: Variants) -> jax.Array:
    order = None if slots.order is None else slots.order[variants.example]
    return assemble(dataclasses.replace(slots, tokens=take_variants(slots.tokens, masks, variants), order=order))
