"""Captions as arrays of tokenised slots, and their assembly into the ids that a text encoder reads.

A caption is K slots of text: "1 person", "", "2 dog". Each distinct text is tokenised once; permuting a concept across
captions is then an index shuffle of an int32 array [N, K, S], and `assemble` joins the slots on device. `make_slots`
checks that joining tokens gives what the tokenizer would give for the joined string.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int

from cpi_jax.errors import InputError

_FEW_WORDS = 40  # of a vocabulary, that a message names


class UnknownWordError(InputError):
    """A caption that the generator's tokenizer cannot encode."""


@runtime_checkable
class Tokenizer(Protocol):
    """What is used of `transformers.CLIPTokenizer`."""

    bos_token_id: int
    eos_token_id: int
    pad_token_id: int
    unk_token_id: int
    model_max_length: int

    def encode(self, text: str, add_special_tokens: bool) -> list[int]: ...


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

    Runs under the caller's `jit` and `vmap`; permuted captions are `slots.replace(tokens=permute(...))`.

    Returns:
      int32 [N, L]. A caption longer than L loses its end (`check_lengths` refuses it beforehand).
    """
    tokens = slots.tokens
    if slots.order is not None:
        tokens = jnp.take_along_axis(tokens, slots.order[..., None], axis=1)
    return jax.vmap(lambda one: _assemble_one(one, slots))(tokens)


def _assemble_one(tokens: Int[Array, "k s"], slots: CaptionSlots) -> Int[Array, " l"]:
    said = (tokens >= 0).any(-1)  # [K]
    between = said & (jnp.cumsum(said) > 1)  # a separator stands before every said slot but the first
    separators = jnp.where(between[:, None], slots.separator[None], -1)
    body = jnp.concatenate([separators, tokens], axis=-1).ravel()
    body = jnp.concatenate([jnp.where(said.any(), -1, slots.empty), body])
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

    Args:
      tokenizer: CLIP's, or one that splits text at the same places.
      rows: N rows of K slot texts; "" says nothing.
      length: tokens that the text encoder reads, BOS and EOS included.
      separator: said between two slots; "" for free text, whose slots then carry their own spaces.
      empty: said where every slot is empty.
      order: in which order each caption says its slots; None where all say them in the slots' own order.
      names: of the examples that the captions are of, for messages; None for their numbers.

    Raises:
      InputError: for text outside the vocabulary, a boundary that falls inside a word, an empty `empty`, or captions
        that do not fit; each names the text.
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
    _check_boundaries(tokenizer, rows, codes, separator, ordered=order is None)
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
    _check_slots(slots, range(len(rows)) if names is None else names)
    return slots


def _check_slots(slots: CaptionSlots, names: Sequence[Any] | np.ndarray) -> None:
    """Refuses captions that do not fit, permuted ones included: a permuted slot takes its longest value.

    Of free text, whose text between phrases is never permuted, only the captions themselves: a plan knows the others.
    """
    sizes = (np.asarray(slots.tokens) >= 0).sum(-1)  # [N, K]
    own = caption_lengths(slots, sizes)
    check_lengths(own, slots.length, lambda n: f"the caption of example {names[n]}")
    if slots.order is None:
        joint = len(slots.separator)
        grown = np.where(sizes > 0, 0, joint) + sizes.max(0) - sizes  # most that permuting slot k can add
        said = sizes.sum(1) + joint * np.maximum((sizes > 0).sum(1) - 1, 0)
        longest = np.maximum(own, said + grown.max(1) + 2)
        check_lengths(
            longest, slots.length, lambda n: f"the caption of example {names[n]}, with its longest permuted slot,"
        )


def check_lengths(lengths: Int[np.ndarray, " v"], length: int, which: Callable[[int], str]) -> None:
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
    said = sizes.sum(1) + len(slots.separator) * np.maximum((sizes > 0).sum(1) - 1, 0)
    return np.where(said > 0, said, len(slots.empty)) + 2


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Tokens of a text, without BOS and EOS.

    Raises:
      UnknownWordError: for a text that the vocabulary does not have; names the word, and those of a small vocabulary.
    """
    codes = tokenizer.encode(text, add_special_tokens=False)
    if tokenizer.unk_token_id in codes:
        raise UnknownWordError(_describe_unknown(tokenizer, text))
    return codes


def _describe_unknown(tokenizer: Tokenizer, text: str) -> str:
    pieces = [
        word for word in text.split() if tokenizer.unk_token_id in tokenizer.encode(word, add_special_tokens=False)
    ]
    which = f"{pieces[0]!r} in {text!r}" if pieces and pieces[0] != text else repr(text)
    ends = "</w>"  # a whole word
    known = sorted(t.removesuffix(ends) for t in getattr(tokenizer, "get_vocab", dict)() if t.endswith(ends))
    mend = (
        f"the words it has are {', '.join(map(repr, known))}" if len(known) <= _FEW_WORDS else "say it with other words"
    )
    return f"the generator's vocabulary does not have {which}: {mend}"


def _check_boundaries(tokenizer, rows, codes, separator, ordered) -> None:
    """Tokens of joined text must be the joined tokens, wherever a permutation may put two texts side by side."""
    columns = [{text for text in column if text} for column in zip(*rows)]
    if separator:
        pairs = {(text, separator) for column in columns for text in column}
        pairs |= {(separator, text) for column in columns for text in column}
    elif not ordered:  # anything can stand before anything; a blank between two words always parts them
        tails = {_tail(text) for column in columns for text in column if not text[-1].isspace()}
        heads = {_head(text) for column in columns for text in column if not text[0].isspace()}
        pairs = {(a, b) for a in tails for b in heads}
    else:
        before: set[str] = set()  # every word that can stand right before the slot, over slots that may be silent
        pairs = set()
        for column, values in zip(columns, zip(*rows)):
            pairs |= {(a, b) for a in before for b in {_head(t) for t in column}}
            tails = {_tail(t) for t in column}
            before = tails | before if "" in values else tails
    for a, b in pairs:
        joined = tokenizer.encode(a + b, add_special_tokens=False)
        if joined != encode(tokenizer, a) + encode(tokenizer, b):
            raise InputError(
                f"{a!r} followed by {b!r} reads as other tokens than the two apart: end slots at a space, not in a word"
            )


def _head(text: str) -> str:
    words = text.split(maxsplit=1)
    return text[: len(text) - len(text.lstrip())] + words[0]


def _tail(text: str) -> str:
    words = text.rsplit(maxsplit=1)
    return words[-1] + text[len(text.rstrip()) :]
