"""Free captions cut into slots: the phrases of each concept, and the text between them, which is never permuted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from absl import logging

from cpi_jax.errors import InputError


def cut_captions(
    captions: pd.Series, words: Mapping[str, str | Sequence[str]]
) -> tuple[list[tuple[str, ...]], tuple[str, ...], np.ndarray]:
    """Finds concepts in captions: for a dog and a cat, "a dog on grass" is " dog", "" and around them " a", " on grass".

    A phrase keeps its place in its caption. What an example without the concept receives stands at the caption's end. Of
    several phrases of one concept the first counts and the others are cut out.

    Args:
      captions: N texts.
      words: by concept, a regular expression, or words and phrases; case does not matter.

    Returns:
      Slot texts, N tuples of J concepts and J + 1 texts between, each with the space before it; names of the slots; in
      which order each caption says them, int32 [N, 2J + 1].

    Raises:
      InputError: for an expression that is none or matches nowhere, an empty caption, or a phrase inside a word.
    """
    if not words:
        raise InputError(
            'free text needs data.words: by concept, words or a regular expression, {"dog": ("dog", "puppy")}'
        )
    patterns = {name: _pattern(name, said) for name, said in words.items()}
    num = len(patterns)
    slots, order, found, repeated = [], np.zeros((len(captions), 2 * num + 1), np.int32), set(), 0
    for row, caption in enumerate(captions):
        if not isinstance(caption, str) or not caption.strip():
            raise InputError(f"row {row + 1} has an empty caption in column {str(captions.name)!r}")
        spans = _spans(caption, patterns, row)
        said, gaps, sequence, end = [""] * num, [], [], 0
        for start, stop, j in spans:
            if said[j]:  # a repetition: what stands before it joins the text after it
                repeated += 1
                caption = caption[:start] + " " * (stop - start) + caption[stop:]
                continue
            said[j] = " " + caption[start:stop]
            sequence += [num + len(gaps), j]
            gaps.append(_with_space(caption[end:start]))
            end = stop
        sequence.append(num + len(gaps))
        gaps.append(_with_space(caption[end:]))
        found |= {j for j in range(num) if said[j]}
        gaps += [""] * (num + 1 - len(gaps))
        order[row] = [*sequence, *(k for k in range(2 * num + 1) if k not in sequence)]
        slots.append((*said, *gaps))
    if missing := [name for j, name in enumerate(patterns) if j not in found]:
        raise InputError(
            f"no caption says anything of {missing[0]!r}: {patterns[missing[0]].pattern!r} matches nowhere"
        )
    if repeated:
        logging.warning("%d phrases repeat a concept of their caption and are cut out", repeated)
    return slots, (*patterns, *(f"text {k}" for k in range(num + 1))), order


def _pattern(name: str, said: str | Sequence[str]) -> re.Pattern:
    if not isinstance(said, str):
        if not all(isinstance(word, str) and word.strip() for word in said or [None]):
            raise InputError(f"data.words of {name!r} must be a regular expression or words, not {said!r}")
        said = rf"\b(?:{'|'.join(sorted(map(re.escape, said), key=len, reverse=True))})\b"
    try:
        pattern = re.compile(said, re.IGNORECASE)
    except re.error as error:
        raise InputError(f"the regular expression {said!r} of {name!r} cannot be read: {error}") from None
    if pattern.fullmatch(""):
        raise InputError(f"the expression {said!r} of {name!r} matches the empty text")
    return pattern


def _spans(caption: str, patterns: Mapping[str, re.Pattern], row: int) -> list[tuple[int, int, int]]:
    """(start, stop, concept) of phrases that do not overlap; the longer one first."""
    found = [
        (m.start(), m.end(), j) for j, p in enumerate(patterns.values()) for m in p.finditer(caption) if m[0].strip()
    ]
    spans, end = [], 0
    for start, stop, j in sorted(found, key=lambda span: (span[0], -span[1])):
        if start < end:
            continue
        if re.search(r"\w\w", caption[max(start - 1, 0) : start + 1]) or re.search(
            r"\w\w", caption[stop - 1 : stop + 1]
        ):
            raise InputError(
                f"row {row + 1}: {caption[start:stop]!r} lies inside a word of {caption!r}: put \\b around it"
            )
        spans.append((start, stop, j))
        end = stop
    return spans


def _with_space(text: str) -> str:
    """Blanks part tokens and are none: each text begins with one, whatever comes to stand before it."""
    return f" {' '.join(text.split())}" if text.strip() else ""
