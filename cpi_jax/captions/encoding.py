"""Text as tokens: what is used of a tokenizer, and which texts may stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from cpi_jax.errors import InputError

_FEW_WORDS = 40  # of a vocabulary, that a message names


class UnknownWordError(InputError):
    """A caption that the generator's tokenizer cannot encode."""


@runtime_checkable
class Tokenizer(Protocol):
    """What is used of a tokenizer."""

    bos_token_id: int
    eos_token_id: int
    pad_token_id: int
    unk_token_id: int
    model_max_length: int

    def encode(self, text: str, add_special_tokens: bool) -> list[int]: ...


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


def validate_boundaries(tokenizer: Tokenizer, rows: Sequence[Sequence[str]], separator: str, ordered: bool) -> None:
    """Refuses texts whose tokens change where a permutation puts them side by side.

    Args:
      tokenizer: of the captions.
      rows: N rows of K slot texts.
      separator: what stands between two slots; "" for free text.
      ordered: whether all captions say their slots in the slots' own order.

    Raises:
      InputError: names two texts whose joined tokens are not the tokens of the two.
    """
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
    for a, b in sorted(pairs):
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
