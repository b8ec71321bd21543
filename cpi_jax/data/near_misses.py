"""What free captions say beside the phrases that are looked for: other forms of them, negations, phrases never found."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping, Sequence

MOST_FORMS = 3  # other forms of a concept's phrases that are named
_WINDOW = 40  # characters before a phrase in which a negation may stand

_FOLDED = str.maketrans("’‘ʼ′`´“”„‐‑‒–—−", "''''''\"\"\"------")
# "no dog", "without a brown dog", "no evidence of edema", "negative for edema"
_DENIAL = r"(?:\b(?:no|not|without|never|neither|nor|lacks|lacking|missing|absent|free of|negative for)|n't)"
_BEFORE = re.compile(_DENIAL + r"(?:\s+\w+){0,3}\s+$", re.IGNORECASE)
_AFTER = re.compile(r"^(?:-free\b|\s+free\b|\s+(?:is|are)\s+(?:not|absent|missing)\b)", re.IGNORECASE)
_DENIES = re.compile(_DENIAL + r"|\bfree\b", re.IGNORECASE)  # whether it is worth looking closer


def fold(text: str) -> str:
    """A text of the same length with plain apostrophes, quotation marks and hyphens."""
    return text.translate(_FOLDED)


class Remarks:
    """Collects, caption by caption, what the plan says of a concept's phrases.

    Args:
      phrases: by concept, its phrases; none where it is a regular expression.
    """

    def __init__(self, phrases: Mapping[str, Sequence[str]]):
        self._names = tuple(phrases)
        self._counts = {name: dict.fromkeys(of, 0) for name, of in phrases.items()}
        self._near = {name: _other_forms(of) for name, of in phrases.items() if of}
        # (concept, "form" or "negation" or "inside", which) -> captions with it, and the first of them
        self._seen: collections.Counter[tuple[str, str, str]] = collections.Counter()
        self._first: dict[tuple[str, str, str], str] = {}

    def add(
        self,
        caption: str,
        folded: str,
        matches: Sequence[tuple[int, int, int]],
        spans: Sequence[tuple[int, int, int]],
    ) -> None:
        """Takes in a caption, as it is and folded: where expressions match (start, stop, concept), and which count."""
        seen, denies = set(), _DENIES.search(folded)
        for start, stop, j in spans:
            name, phrase = self._names[j], folded[start:stop].lower()
            if phrase in self._counts[name]:
                self._counts[name][phrase] += 1
            if denies:
                before, after = _BEFORE.search(folded[max(start - _WINDOW, 0) : start]), _AFTER.search(folded[stop:])
                if before or after:
                    what = (before[0] if before else "") + phrase + (after[0] if after else "")
                    seen.add((name, "negation", what.lower()))
        for start, stop, j in matches:
            if all(k != j for _, _, k in spans) and (over := [k for a, b, k in spans if a < stop and start < b]):
                seen.add((self._names[j], "inside", self._names[over[0]]))
        for name, pattern in self._near.items():
            for form in pattern.finditer(folded):
                start, stop = form.span()
                over = [(a, b, k) for a, b, k in spans if a < stop and start < b]
                if not any(self._names[k] == name or (a <= start and stop <= b) for a, b, k in over):
                    seen.add((name, "form", form[0].lower()))
        for key in seen:
            self._seen[key] += 1
            self._first.setdefault(key, caption)

    def nearest(self, name: str) -> str:
        """What was found instead of a concept; empty where nothing was."""
        for (concept, kind, what), count in self._seen.most_common():
            if concept == name:
                where = f"the captions say {what!r}" if kind == "form" else f"it lies inside phrases of {what!r}"
                return f"; {where} (captions: {count:,})"
        return ""

    def sentences(self) -> tuple[str, ...]:
        """One sentence a phrase that never counts, and one each kind of near miss, with a caption that has it."""
        never = [
            f"{phrase!r} of {name!r} matches no caption"
            for name, of in self._counts.items()
            for phrase, count in of.items()
            if not count
        ]
        wording = {
            "form": "{what} is no phrase of {name}",
            "negation": "{what} counts as {name} and may deny it",
            "inside": "{name} does not count within a phrase of {what}",
        }
        near, counts = [], collections.Counter()
        for (name, kind, what), count in self._seen.most_common():
            counts[name, kind] += 1
            if counts[name, kind] <= MOST_FORMS:
                sentence = wording[kind].format(name=repr(name), what=repr(what))
                near.append(f"{sentence} (captions: {count:,}, such as {self._first[name, kind, what]!r})")
        rest = [
            f"{count - MOST_FORMS} more such forms of {name!r}"
            for (name, _), count in counts.items()
            if count > MOST_FORMS
        ]
        return (*never, *near, *rest)


def _other_forms(phrases: Sequence[str]) -> re.Pattern:
    """Plurals and singulars of phrases, and their words joined or parted by a hyphen or a blank."""
    forms = []
    for phrase in phrases:
        *first, last = re.findall(r"\w+", phrase) or [re.escape(phrase)]
        stems = {last}
        if len(last) > 3 and last.endswith("s"):
            stems |= {last[:-1]} | ({last[:-2]} if last.endswith("es") else set())
            stems |= {last[:-3] + "y"} if last.endswith("ies") else set()
        if len(last) > 2 and last.endswith("y"):
            stems.add(last[:-1] + "ies")
        if last.endswith(("f", "fe")):
            stems.add(last.rstrip("e")[:-1] + "ves")
        ends = "|".join(sorted(map(re.escape, stems), key=len, reverse=True))
        point = r"\.?" if phrase.endswith(".") else ""
        forms.append(r"[-\s.]?".join([*map(re.escape, first), rf"(?:{ends})(?:'?s|es)?{point}"]))
    return re.compile(rf"(?<!\w)(?:{'|'.join(forms)})(?!\w)", re.IGNORECASE)
