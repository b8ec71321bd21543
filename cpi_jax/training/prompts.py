"""Captions of examples as a text encoder reads them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from cpi_jax.captions.encoding import Tokenizer
from cpi_jax.captions.slots import assemble, make_slots
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError


def prompt_ids(
    tokenizer: Tokenizer, examples: Examples, length: int, *, separator: str, empty: str, ending: str = ""
) -> Int[np.ndarray, "n l"]:
    """Token ids of every example's caption.

    Args:
      tokenizer: the checkpoint's.
      examples: captions in slots, made of columns or free text.
      length: tokens that the text encoder reads.
      separator: between two slots of captions made of columns.
      empty: said where every slot is empty.
      ending: one more slot, the same in every caption.

    Raises:
      InputError: for captions that do not fit or hold unknown words, or an ending of free text; see `make_slots`.
    """
    rows, order = examples.slots, examples.order
    if order is not None and ending:
        raise InputError(f"free text cannot end in a slot of its own ({ending!r}): leave config.neutral empty")
    if ending:
        rows = [(*row, ending) for row in rows]
    between = separator if order is None else ""
    slots = make_slots(tokenizer, rows, length=length, separator=between, empty=empty, order=order, names=examples.ids)
    return np.asarray(assemble(slots))


def prompt_texts(examples: Examples, *, separator: str, empty: str) -> list[str]:
    """The same captions for people."""
    if examples.order is None:
        texts = [separator.join(text for text in row if text) for row in examples.slots]
    else:
        texts = ["".join(row[k] for k in order).strip() for row, order in zip(examples.slots, examples.order)]
    return [text or empty for text in texts]
