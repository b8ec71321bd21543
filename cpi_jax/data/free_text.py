"""Free captions cut into slots: the phrases of each concept, and the text between them, which is never permuted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cpi_jax.data.cells import plain_text
from cpi_jax.data.near_misses import Remarks, fold
from cpi_jax.errors import InputError


class _Span(NamedTuple):
    """A place of a caption where a concept's expression matches."""

    start: int
    stop: int
    concept: int


def cut_captions(
    captions: pd.Series, words: Mapping[str, Any]
) -> tuple[list[tuple[str, ...]], tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """Finds concepts in captions: for a dog and a cat, "a dog on grass" is " dog", "" and around them " a", " on grass".

    A phrase keeps its place in its caption. What an example without the concept receives stands at the caption's end. Of
    several phrases of one concept the first counts and the others are cut out. Captions, and words and phrases, are
    compared as they are seen: case, kinds of white space, of apostrophes and of hyphens do not matter, nor whether an
    accent is a character of its own. A regular expression meets captions with single blanks and composed accents.

    Args:
      captions: N texts.
      words: by concept, a regular expression, or words and phrases.

    Returns:
      Slot texts, N tuples of J concepts and J + 1 texts between, each with the space before it; names of the slots; in
      which order each caption says them, int32 [N, 2J + 1]; sentences on what does not match or may not be meant.

    Raises:
      InputError: for an expression that is none or matches nowhere, an empty caption, or a phrase inside a word.
    """
    if not words:
        raise InputError(
            'free text needs data.words: by concept, words or a regular expression, {"dog": ("dog", "puppy")}'
        )
    phrases = {name: _phrases(name, wanted) for name, wanted in words.items()}
    _validate_phrases(phrases)
    patterns = {name: _pattern(name, words[name], of) for name, of in phrases.items()}
    num = len(patterns)
    slots, order, mentioned, repeated = [], np.zeros((len(captions), 2 * num + 1), np.int32), set(), 0
    remarks = Remarks(phrases)
    for row, (number, caption) in enumerate(captions.items()):
        if not isinstance(caption, str) or not (caption := plain_text(caption)):
            raise InputError(f"row {number + 1} has an empty caption in column {str(captions.name)!r}")
        folded = fold(caption)
        matches = [
            _Span(m.start(), m.end(), j)
            for j, (name, pattern) in enumerate(patterns.items())
            for m in pattern.finditer(folded if phrases[name] else caption)
            if m[0].strip()
        ]
        spans = _without_overlap(caption, matches, number)
        remarks.add(caption, folded, matches, spans)
        spoken, gaps, sequence, end = [""] * num, [], [], 0
        for start, stop, j in spans:
            if spoken[j]:  # a repetition: what stands before it joins the text after it
                repeated += 1
                caption = caption[:start] + " " * (stop - start) + caption[stop:]
                continue
            spoken[j] = " " + caption[start:stop]
            sequence += [num + len(gaps), j]
            gaps.append(_with_space(caption[end:start]))
            end = stop
        sequence.append(num + len(gaps))
        gaps.append(_with_space(caption[end:]))
        mentioned |= {j for j in range(num) if spoken[j]}
        gaps += [""] * (num + 1 - len(gaps))
        order[row] = [*sequence, *(k for k in range(2 * num + 1) if k not in sequence)]
        slots.append((*spoken, *gaps))
    if missing := [name for j, name in enumerate(patterns) if j not in mentioned]:
        tried = ", ".join(map(repr, phrases[missing[0]] or [words[missing[0]]]))
        raise InputError(
            f"no caption says anything of {missing[0]!r}: {tried} matches nowhere{remarks.nearest(missing[0])}"
        )
    notes = remarks.sentences()
    if repeated:
        notes = (*notes, f"{repeated:,} phrases repeat a concept of their caption and are cut out")
    return slots, (*patterns, *(f"text {k}" for k in range(num + 1))), order, notes


def _phrases(name: str, wanted: Any) -> tuple[str, ...]:
    """Words and phrases as they are looked for; none for a regular expression."""
    if isinstance(wanted, str):
        return ()
    if (
        not isinstance(wanted, Sequence)
        or not wanted
        or not all(isinstance(word, str) and plain_text(word) for word in wanted)
    ):
        raise InputError(f"data.words of {name!r} must be a regular expression or words, not {wanted!r}")
    return tuple(dict.fromkeys(fold(plain_text(word)).lower() for word in wanted))


def _validate_phrases(phrases: Mapping[str, tuple[str, ...]]) -> None:
    owner: dict[str, str] = {}
    for name, of in phrases.items():
        for phrase in of:
            if (other := owner.setdefault(phrase, name)) != name:
                raise InputError(f"data.words has {phrase!r} for {other!r} and for {name!r}: it can mean one of them")


def _pattern(name: str, expression: Any, phrases: Sequence[str]) -> re.Pattern:
    if phrases:  # no word may go on beside it; \b would ask for one beside the last point of "t.v."
        expression = rf"(?<!\w)(?:{'|'.join(sorted(map(re.escape, phrases), key=len, reverse=True))})(?!\w)"
    try:
        pattern = re.compile(unicodedata.normalize("NFC", expression), re.IGNORECASE)
    except re.error as error:
        raise InputError(f"the regular expression {expression!r} of {name!r} cannot be read: {error}") from None
    if pattern.fullmatch(""):
        raise InputError(f"the expression {expression!r} of {name!r} matches the empty text")
    return pattern


def _without_overlap(caption: str, matches: Sequence[_Span], number: int) -> list[_Span]:
    """The matches that do not overlap; of those that begin together, the longer one."""
    spans, end = [], 0
    for span in sorted(matches, key=lambda span: (span.start, -span.stop)):
        start, stop, _ = span
        if start < end:
            continue
        if re.search(r"\w\w", caption[max(start - 1, 0) : start + 1]) or re.search(
            r"\w\w", caption[stop - 1 : stop + 1]
        ):
            raise InputError(
                f"row {number + 1}: {caption[start:stop]!r} lies inside a word of {caption!r}: put \\b around it"
            )
        spans.append(span)
        end = stop
    return spans


def _with_space(text: str) -> str:
    """Blanks part tokens and are none: each text begins with one, whatever comes to stand before it."""
    return f" {' '.join(text.split())}" if text.strip() else ""
