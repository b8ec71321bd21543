"""The pictures of the page: small, inside of it, and no more than fit; and the words of captions that change."""

from __future__ import annotations

import base64
import dataclasses
import difflib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape
from PIL import Image

from cpi_jax.report.page.numbers import chance, number, strong
from cpi_jax.report.page.reading import Results
from cpi_jax.wording import in_a_line

BUDGET = 2_500_000  # letters of all pictures of a page, as they are written into it
_SIZE = 160  # pixels of the longer side
_SMALLEST = 96  # smaller ones are made larger, pixel by pixel
_QUALITY = 72
_WORDS, _LETTERS = 200, 400  # of a caption


@dataclasses.dataclass(frozen=True)
class Card:
    """One picture before and after: data URIs, and what is said of it. `change` is that of the logit."""

    concept: str
    direction: str
    choice: str
    subgroup: str
    example: str
    flips: bool
    hides: bool
    others: tuple[str, ...]
    change: float
    before: str
    after: str
    real: str
    caption_before: Markup
    caption_after: Markup
    scores: Markup
    decision: str
    detected: Markup
    alt: tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Cards, how many did not fit, and how they were chosen ("all" pictures, or those that were "kept")."""

    cards: tuple[Card, ...]
    left_out: int
    chosen_among: str

    @property
    def concepts(self) -> list[str]:
        """Concepts that there are pictures of, in the order of the cards."""
        return list(dict.fromkeys(card.concept for card in self.cards))

    @property
    def subgroups(self) -> list[str]:
        """Contents of the column of subgroups that there are pictures of."""
        return sorted({card.subgroup for card in self.cards if card.subgroup})


def make_gallery(results: Results, wanted: str, budget: int = BUDGET) -> Gallery | None:
    """The pictures that fit; None where none are wanted or there are none.

    Args:
      results: of a study.
      wanted: "none", "generated" or "all".
      budget: letters that the pictures may take together.
    """
    if wanted == "none" or results.shown is None:
        return None
    uris: dict[str, str] = {}
    cards, left_out = [], 0
    place = {concept: k for k, concept in enumerate(results.ranking()["concept"])}
    for pair in results.shown["pairs"]:
        names = [pair["before"], pair["after"], *([pair["real"]] if wanted == "all" else [])]
        new = {name: data_uri(results.folder / "images" / name) for name in names if name not in uris}
        if not (uris | new)[pair["before"]] or not (uris | new)[pair["after"]]:
            continue
        if sum(map(len, [*uris.values(), *new.values()])) > budget:
            left_out += 1
            continue
        uris |= new
        cards.append(_card(pair, uris, results.config))
    if not cards:
        return None
    cards.sort(key=lambda card: place.get(card.concept, len(place)))
    return Gallery(tuple(cards), left_out, results.shown["chosen_among"])


def data_uri(path: Path) -> str:
    """A picture as WebP inside an address; empty where there is none, or it is damaged."""
    try:
        image = Image.open(path).convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return ""
    longer = max(image.size)
    if longer > _SIZE:
        image.thumbnail((_SIZE, _SIZE))
    elif longer < _SMALLEST:
        times = -(-_SMALLEST // longer)
        image = image.resize((times * image.width, times * image.height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def marked_words(before: str, after: str) -> tuple[Markup, Markup]:
    """Both captions, escaped, with what only one of them says in <del> and <ins>; long ones are cut.

    Pieces between commas are compared first, then the words of those that differ.
    """
    a, b = (in_a_line(text, 100_000).split(", ") for text in (before, after))
    out: tuple[list[Markup], list[Markup]] = ([], [])
    for kind, a0, a1, b0, b1 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        pieces = (a[a0:a1], b[b0:b1])
        if kind == "replace":
            pieces = _marked([", ".join(of).split(" ")[:_WORDS] for of in pieces])
        elif kind != "equal":
            pieces = [[_tag(side, piece)] if (piece := ", ".join(of)) else [] for side, of in enumerate(pieces)]
        for side, of in zip(out, pieces):
            side.extend(map(escape, of))
    return _cut(out[0]), _cut(out[1])


def _marked(words: Sequence[list[str]]) -> list[list[Markup]]:
    """Both texts of words as one piece each, with the words that only one has marked."""
    out: list[list[Markup]] = [[], []]
    for kind, a0, a1, b0, b1 in difflib.SequenceMatcher(None, *words, autojunk=False).get_opcodes():
        for side, of in enumerate((words[0][a0:a1], words[1][b0:b1])):
            if of:
                out[side].append(escape(" ".join(of)) if kind == "equal" else _tag(side, " ".join(of)))
    return [[Markup(" ").join(of)] if of else [] for of in out]


def _tag(side: int, text: str) -> Markup:
    return Markup(("<del>{}</del>", "<ins>{}</ins>")[side]).format(in_a_line(text, _LETTERS))


def _cut(pieces: list[Markup]) -> Markup:
    """The pieces with commas between, as many as fit; a long one is cut where it has no mark."""
    shown, left = [], _LETTERS
    for piece in pieces:
        if left <= 0:
            shown.append(escape("…"))
            break
        if "<" not in piece:
            piece = escape(in_a_line(piece.unescape(), max(left, 8)))
        shown.append(piece)
        left -= len(piece.striptags())
    return Markup("<bdi>{}</bdi>").format(Markup(", ").join(shown))


def _card(pair: Mapping[str, Any], uris: Mapping[str, str], config: Mapping[str, Any]) -> Card:
    before, after = marked_words(pair["caption_before"], pair["caption_after"])
    name = in_a_line(pair["concept"], 80)
    verb = {"appears": "added", "disappears": "taken away", "changes": "changed"}[pair["direction"]]
    return Card(
        concept=pair["concept"],
        direction=pair["direction"],
        choice=pair["choice"],
        subgroup=pair["subgroup"],
        example=pair["example"],
        flips=pair["flips"],
        hides=pair["shows_caption"] is False,
        others=tuple(pair["others_changed"]),
        change=pair["logit_after"] - pair["logit_before"],
        before=uris[pair["before"]],
        after=uris[pair["after"]],
        real=uris.get(pair["real"], ""),
        caption_before=before,
        caption_after=after,
        scores=_scores(pair, config),
        decision=_decisions(pair, config),
        detected=_detected(pair),
        alt=(
            f"Generated picture of: {in_a_line(pair['caption_before'], 200)}",
            f"The same with {name} {verb}: {in_a_line(pair['caption_after'], 200)}",
        ),
    )


def _class_name(output: int, config: Mapping[str, Any]) -> str:
    classes = (config.get("target") or {}).get("classes") or []
    return in_a_line(str(classes[output]), 40) if 0 <= output < len(classes) else f"class {output}"


def _scores(pair: Mapping[str, Any], config: Mapping[str, Any]) -> Markup:
    of = "" if pair["output"] is None else f" of {_class_name(pair['output'], config)}"
    change = pair["logit_after"] - pair["logit_before"]
    return Markup("Classifier’s score{}: {} → {} <span class='quiet'>({}{} logits)</span>").format(
        of, chance(pair["score_before"]), chance(pair["score_after"]), "+" if change > 0 else "", number(change, 2)
    )


def _decisions(pair: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    def said(decision: int) -> str:
        if pair["output"] is None or pair["several_labels"]:
            return "positive" if decision else "negative"
        return _class_name(decision, config)

    a, b = said(pair["decision_before"]), said(pair["decision_after"])
    if pair["flips"] and a == b:
        return "the decision of another label flips"
    return f"decision flips: {a} → {b}" if pair["flips"] else f"decision stays: {a}"


def _detected(pair: Mapping[str, Any]) -> Markup:
    if pair["detected_before"] is None:
        return Markup("")
    return Markup("Detector sees {}: {} → {}").format(
        strong(pair["concept"]), chance(pair["detected_before"]), chance(pair["detected_after"])
    )
