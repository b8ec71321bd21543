"""Captions as arrays of tokenised slots, and their assembly into the ids that a text encoder reads.

A caption is K slots of text: "1 person", "", "2 dog". Each distinct text is tokenised once; permuting a concept across
captions is then an index shuffle of an int32 array [N, K, S], and `assemble` joins the slots on device. `make_slots`
checks that joining tokens gives what the tokenizer would give for the joined string.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int

from cpi_jax.captions.encoding import Tokenizer, encode, validate_boundaries
from cpi_jax.errors import InputError


@struct.dataclass
class CaptionSlots:
    """Tokenised captions of N examples; a pytree.

    Attributes:
      tokens: tokens of every slot, right-padded with -1, int32 [N, K, S]; all -1 where the slot says nothing.
      empty: tokens said when every slot is empty, int32 [E]; never the unconditional prompt.
      separator: tokens between two non-empty slots, int32 [P]; empty for free text.
      bos: id that begins a caption.
      eos: id that ends it.
      pad: id that fills it up.
      length: tokens that the text encoder reads, L.
      order: in which order each caption says its slots, int32 [N, K]; None where all say them in the slots' own order.

    Example:
      `make_slots` makes them of texts; they can be made of any tokens.

      >>> slots = CaptionSlots(
      ...     tokens=jnp.array([[[5, 6], [7, -1]], [[-1, -1], [7, -1]]]),  # "red circle", "sky"; "", "sky"
      ...     empty=jnp.array([8]), separator=jnp.array([4]), bos=1, eos=2, pad=0, length=7,
      ... )
      >>> assemble(slots).tolist()
      [[1, 5, 6, 4, 7, 2, 0], [1, 7, 2, 0, 0, 0, 0]]
    """

    tokens: Int[Array, "n k s"]
    empty: Int[Array, " e"]
    separator: Int[Array, " p"]
    bos: int = struct.field(pytree_node=False)
    eos: int = struct.field(pytree_node=False)
    pad: int = struct.field(pytree_node=False)
    length: int = struct.field(pytree_node=False)
    order: Int[Array, "n k"] | None = None


@jax.jit
def assemble(slots: CaptionSlots) -> Int[Array, "n l"]:
    """Joins slots into model input: BOS, the non-empty slots with the separator between them, EOS, padding.

    Runs under the caller's `jit` and `vmap`; permuted captions are `slots.replace(tokens=permute(...))`. The ids equal
    those that the tokenizer gives for the joined text.

    Args:
      slots: captions of N examples.

    Returns:
      int32 [N, L]. A caption longer than L loses its end (`make_slots` refuses it beforehand).

    Example:
      >>> slots = CaptionSlots(
      ...     tokens=jnp.array([[[5], [6]], [[5], [-1]], [[-1], [-1]]]),  # the last caption says nothing
      ...     empty=jnp.array([8]), separator=jnp.array([4]), bos=1, eos=2, pad=0, length=6,
      ... )
      >>> assemble(slots).tolist()
      [[1, 5, 4, 6, 2, 0], [1, 5, 2, 0, 0, 0], [1, 8, 2, 0, 0, 0]]
    """
    tokens = slots.tokens
    if slots.order is not None:
        tokens = jnp.take_along_axis(tokens, slots.order[..., None], axis=1)
    return jax.vmap(lambda one: _assemble_one(one, slots))(tokens)


def _assemble_one(tokens: Int[Array, "k s"], slots: CaptionSlots) -> Int[Array, " l"]:
    speaks = (tokens >= 0).any(-1)  # [K]
    between = speaks & (jnp.cumsum(speaks) > 1)  # a separator stands before every slot that speaks but the first
    separators = jnp.where(between[:, None], slots.separator[None], -1)
    body = jnp.concatenate([separators, tokens], axis=-1).ravel()
    body = jnp.concatenate([jnp.where(speaks.any(), -1, slots.empty), body])
    # A kept token's place is the number of kept tokens up to it (BOS has place 0); what does not fit is dropped.
    kept = body >= 0
    count = kept.sum()
    place = jnp.where(kept & (jnp.cumsum(kept) < slots.length - 1), jnp.cumsum(kept), slots.length)
    ids = jnp.where(jnp.arange(slots.length) <= jnp.minimum(count + 1, slots.length - 1), slots.eos, slots.pad)
    return ids.astype(jnp.int32).at[0].set(slots.bos).at[place].set(body, mode="drop")


def make_slots(
    tokenizer: Tokenizer,
    rows: Sequence[Sequence[str]],
    *,
    length: int,
    separator: str = ", ",
    empty: str,
    order: Int[np.ndarray, "n k"] | None = None,
    names: Sequence[Any] | np.ndarray | None = None,
) -> CaptionSlots:
    """Tokenises the slots of N captions.

    Each distinct text is tokenised once. That tokens may be joined is checked for every two texts that a permutation can
    put side by side.

    Args:
      tokenizer: CLIP's, or one that splits text at the same places.
      rows: N rows of K slot texts; "" says nothing.
      length: tokens that the text encoder reads, BOS and EOS included.
      separator: said between two slots; "" for free text, whose slots then carry their own spaces.
      empty: said where every slot is empty.
      order: in which order each caption says its slots; None where all say them in the slots' own order.
      names: of the examples that the captions are of, for messages; None for their numbers.

    Returns:
      Tokens int32 [N, K, S], where S is the number of tokens of the longest text, with what joins them.

    Raises:
      InputError: for text outside the vocabulary, a boundary that falls inside a word, an empty `empty`, or captions
        that do not fit; each names the text.

    Example:
      >>> from cpi_jax.diffusion.checkpoint import load_tokenizer
      >>> tokenizer = load_tokenizer(cpi_jax.SHAPES_GENERATOR)
      >>> rows = [("1 red circle", "1 blue circle"), ("", "1 blue circle")]
      >>> slots = make_slots(tokenizer, rows, length=12, empty="an empty scene")
      >>> slots.tokens.shape
      (2, 2, 3)
      >>> assemble(slots)[0].tolist() == tokenizer.padded("1 red circle, 1 blue circle", length=12)
      True
    """
    if not empty.strip():
        raise InputError('the text of an empty caption must say something, for example "an empty scene"')
    rows = [tuple(row) for row in rows]
    if not rows or not rows[0]:
        raise InputError("there are no captions to tokenise")
    if ragged := next((n for n, row in enumerate(rows) if len(row) != len(rows[0])), None):
        raise InputError(f"caption {ragged} has {len(rows[ragged])} slots, the first has {len(rows[0])}")
    texts = {t for row in rows for t in row}
    if blank := next((t for t in texts if t and not t.strip()), None):
        raise InputError(f"a slot holds only blanks ({blank!r}); join them to the text beside it")
    codes = {text: encode(tokenizer, text) for text in texts}
    validate_boundaries(tokenizer, rows, separator, ordered=order is None)
    width = max(1, *(len(c) for c in codes.values()))
    padded = np.array([c + [-1] * (width - len(c)) for c in codes.values()], np.int32)
    place = {text: i for i, text in enumerate(codes)}
    tokens = padded[np.array([[place[text] for text in row] for row in rows])]
    slots = CaptionSlots(
        tokens=jnp.asarray(tokens),
        empty=jnp.asarray(encode(tokenizer, empty), jnp.int32),
        separator=jnp.asarray(encode(tokenizer, separator), jnp.int32),
        bos=tokenizer.bos_token_id,
        eos=tokenizer.eos_token_id,
        pad=tokenizer.pad_token_id,
        length=length,
        order=None if order is None else jnp.asarray(order, jnp.int32),
    )
    _validate_slots(slots, range(len(rows)) if names is None else names)
    return slots


def _validate_slots(slots: CaptionSlots, names: Sequence[Any] | np.ndarray) -> None:
    """Refuses captions that do not fit, permuted ones included: a permuted slot takes its longest value.

    Of free text, whose text between phrases is never permuted, only the captions themselves: a plan knows the others.
    """
    sizes = (np.asarray(slots.tokens) >= 0).sum(-1)  # [N, K]
    own = caption_lengths(slots, sizes)
    validate_lengths(own, slots.length, lambda n: f"the caption of example {names[n]}")
    if slots.order is None:
        joint = len(slots.separator)
        grown = np.where(sizes > 0, 0, joint) + sizes.max(0) - sizes  # most that permuting slot k can add
        longest = np.maximum(own, _joined_lengths(slots, sizes) + grown.max(1) + 2)
        validate_lengths(
            longest, slots.length, lambda n: f"the caption of example {names[n]}, with its longest permuted slot,"
        )


def validate_lengths(lengths: Int[np.ndarray, " v"], length: int, which: Callable[[int], str]) -> None:
    """Refuses captions that the text encoder would cut.

    Args:
      lengths: tokens of captions, BOS and EOS included.
      length: tokens that the text encoder reads.
      which: what a caption is called in the message.

    Raises:
      InputError: names the longest caption and its number of tokens.
    """
    if (lengths > length).any():
        v = int(np.argmax(lengths))
        others = int((lengths > length).sum()) - 1
        more = f" (and {others} more are too long)" if others else ""
        raise InputError(
            f"{which(v)} has {lengths[v]} tokens{more}, and the text encoder reads {length}: shorten it or leave some out"
        )


def caption_lengths(slots: CaptionSlots, sizes: Int[np.ndarray, "v k"]) -> np.ndarray:
    """Tokens of captions, BOS and EOS included, int [V], from the number of tokens in each of their slots."""
    joined = _joined_lengths(slots, sizes)
    return np.where(joined > 0, joined, len(slots.empty)) + 2


def _joined_lengths(slots: CaptionSlots, sizes: Int[np.ndarray, "v k"]) -> np.ndarray:
    """Tokens of slots and of the separators between them, int [V]."""
    return sizes.sum(1) + len(slots.separator) * np.maximum((sizes > 0).sum(1) - 1, 0)
