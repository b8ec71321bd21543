"""From a table of columns to examples: what each column says of an image becomes a slot of its caption."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cpi_jax.data.cells import MISSING, NUMBER, TEXT, YES_NO, Column, Places, plain_number, plain_text, read_column
from cpi_jax.data.examples import Examples
from cpi_jax.data.free_text import cut_captions
from cpi_jax.data.ids import read_ids
from cpi_jax.data.kinds import describe_texts, leave_out, leaving_out, one_kind, validate_captions, values_of
from cpi_jax.errors import InputError, require_known
from cpi_jax.validation.ranges import validate_numbers

IDS = ("image_id", "id", "file_name")  # what tells examples apart, where nothing else is said
MOST_CONTENTS = 8  # of a slot, to ask a detector about each of them; of a text column that is a concept by default
MOST_WORDS = 4  # of a text in such a column
MOST_COUNTED = 10_000


class _Slot(NamedTuple):
    """One concept's column: the texts that it can say ("" for nothing), and which of them each example has."""

    texts: list[str]
    codes: np.ndarray  # [N]
    asked: dict[str, list[int]]  # what a detector is asked: name -> the texts that mean yes
    note: str = ""


def make_examples(
    frame: pd.DataFrame,
    images: Any = None,
    image: str = "",
    *,
    label: str | Sequence[str],
    concepts: Sequence[str] = (),
    id: str = "",
    classes: Sequence[Any] = (),
    columns: Sequence[str] = (),
    phrase: str = "",
    phrases: Mapping[str, Any] = {},
    bins: Mapping[str, Any] = {},
    caption: str = "",
    words: Mapping[str, Any] = {},
    min_examples: int = 1,
    na_values: Sequence[Any] = (),
) -> Examples:
    """Reads slots, labels and concepts from columns.

    What a concept's column holds says how it is read: 0 and 1, or yes and no, as absent and present ("1 dog"), whole
    numbers as counts ("2 dog", 0 says nothing), numbers with `bins` as ranges ("age 40 to 60"), text as categories
    ("grass"; an empty cell says nothing). A column is of one kind.

    Each source reads the frame and the images itself; the keywords are for its users to say, in configurations too.

    Args:
      frame: N rows.
      images: of the rows, where there are any.
      image: column of the images' paths, which is no concept.
      label: column of the task, 0 or 1 (or yes or no), or the classes; or several columns of 0 and 1.
      concepts: columns; empty for all to the right of the label but ids, images, `columns`, and texts of more than eight
        contents or four words.
      id: column that tells examples apart; empty for `image_id`, `id` or `file_name`, else the row's number.
      classes: contents of the label's column, in the order of the classifier's outputs; of two, the second is yes.
      columns: further columns, for sample weights, clusters, strata and subgroups.
      phrase: what a caption says of a present concept: {name}, or {}, stands for the column's name, {value} for its
        content.
      phrases: by column, the same for any kind of column; or its text for each content.
      bins: by column, the inner borders of ranges; a range holds its lower border.
      caption: column of free text, in which `words` are looked for instead of reading concepts' columns.
      words: by concept, a regular expression or a sequence of words and phrases.
      min_examples: fewest examples that must have each content.
      na_values: contents that mean a missing cell, such as "NA"; "" for empty ones. In text and ranges a missing cell says
        nothing; rows that lack a label, a count, a yes or no, or one of `columns` are left out.

    Raises:
      InputError: for a missing column, a duplicate id, a content that cannot be read or is too rare; names the cell.
    """
    labels_of = (label,) if isinstance(label, str) else tuple(label)
    frame = frame.rename(columns=str).reset_index(drop=True)
    known = tuple(frame.columns)
    if not frame.columns.is_unique:
        raise InputError(f"the table has two columns {known[frame.columns.duplicated().argmax()]!r}: rename one")
    for name in (*labels_of, *concepts, *columns, *phrases, *bins, *filter(None, (caption, id, image))):
        require_known(name, "column", known)
    if bool(caption) != bool(words) or (caption and (concepts or phrase or phrases or bins)):
        raise InputError("free text takes data.caption and data.words; concepts, phrases and bins are for columns")
    if phrase and _format(phrase, "", "") == phrase:
        raise InputError(f"the phrase {phrase!r} says the same of every concept: put {{name}} or {{value}} in it")
    if both := set(concepts) & set(labels_of):
        raise InputError(f"{min(both)!r} is a label and cannot be a concept, too: name the concepts' columns")
    if not len(frame):
        raise InputError("the table has no rows")
    validate_numbers(min_examples=min_examples)
    id = id or next((name for name in IDS if name in known), "")
    ids = read_ids(frame[id])[0] if id else np.arange(len(frame))
    places = Places(frame[id] if id else None, np.arange(len(frame)))
    absent = (na_values,) if isinstance(na_values, str) else na_values
    names = tuple(concepts)
    if not names and not caption:
        beside = {*IDS, *labels_of, *columns, id, image}
        right = known[known.index(labels_of[-1]) + 1 :]
        names = tuple(name for name in right if name not in beside and not name.startswith("Unnamed:"))
    needed = [*labels_of, *columns, *filter(None, [caption])]
    read = {name: read_column(frame[name], places, absent) for name in dict.fromkeys([*needed, *names])}
    notes: list[str] = []
    if not caption:
        names, notes = _without_long_texts(names, [*concepts, *phrases, *bins], read, labels_of[-1])
    wordings = {name: (phrases.get(name, phrase), bins.get(name)) for name in names}
    needed += [name for name in names if _counts(read[name], *wordings[name])]
    keep, note = leave_out([read[name] for name in needed])
    if not keep.all():
        ids, images = ids[keep], None if images is None else images[keep]
        read = {name: column.take(keep) for name, column in read.items()}
    labels = np.stack([_labels(read[name], classes, many=len(labels_of) > 1) for name in labels_of], axis=1)
    about = {
        "ids": ids,
        "labels": (labels if len(labels_of) > 1 else labels[:, 0]).astype(np.int32),
        "images": images,
        "columns": {name: values_of(read[name]) for name in columns},
    }
    notes = [note, *notes, *(sentence for name in columns for sentence in describe_texts(read[name]))]
    if caption:
        validate_captions(read[caption])
        slots, slot_names, order, remarks = cut_captions(frame[caption][keep], words)
        present = np.array([[bool(text) for text in row] for row in slots], np.int8)[:, : len(words)]
        return Examples(
            slots=slots, slot_names=slot_names, concepts=present, concept_names=tuple(words),
            concept_slots=tuple(range(len(words))), order=order, notes=(*notes, *remarks), **about,
        )  # fmt: skip
    made = []
    for name in names:
        made.append(_slot(read[name], *wordings[name]))
        notes += [made[-1].note] if made[-1].note else []
        _validate_frequencies(read[name], made[-1], min_examples)
        if wordings[name][1] is None and not isinstance(wordings[name][0], Mapping):
            notes += describe_texts(read[name])
    texts = [np.array(slot.texts, object)[slot.codes].tolist() for slot in made]
    asked = [(k, name, yes) for k, slot in enumerate(made) for name, yes in slot.asked.items()]
    if not asked:
        raise InputError(f"the columns {', '.join(names)} say nothing in any row, so there is nothing to permute")
    return Examples(
        slots=list(zip(*texts)),
        slot_names=names,
        concepts=np.stack([np.isin(made[k].codes, yes) for k, _, yes in asked], axis=1).astype(np.int8),
        concept_names=tuple(name for _, name, _ in asked),
        concept_slots=tuple(k for k, _, _ in asked),
        notes=tuple(notes),
        **about,
    )


def _without_long_texts(
    names: Sequence[str], named: Sequence[str], read: Mapping[str, Column], label: str
) -> tuple[tuple[str, ...], list[str]]:
    """Concepts without the columns of remarks and sentences that nobody named, and sentences on these."""
    kept, notes = [], []
    for name in names:
        texts = [content.text for content in read[name].contents if content.kind == TEXT]
        longest = max((len(text.split()) for text in texts), default=0)
        if name in named or (len(texts) <= MOST_CONTENTS and longest <= MOST_WORDS):
            kept.append(name)
        else:
            notes.append(
                f"column {name!r} is no concept, unless data.concepts names it: it holds {len(texts):,} different texts of "
                f"up to {longest} words"
            )
    if not kept:
        also = f" ({notes[0]})" if notes else ""
        raise InputError(f"there is no column to the right of the label {label!r}{also}; name the concepts' columns")
    return tuple(kept), notes


def _counts(column: Column, phrase: Any, borders: Any) -> bool:
    """Whether every cell must hold a number or a yes or no: an empty one is then no absence."""
    return borders is None and not isinstance(phrase, Mapping) and one_kind(column) in (NUMBER, YES_NO)


def _slot(column: Column, phrase: Any, borders: Any) -> _Slot:
    name, numbers, missing, codes = column.name, column.numbers, column.of(MISSING), column.codes
    if borders is not None:
        if (bad := ~missing & ~(column.of(NUMBER) & np.isfinite(numbers))).any():
            raise column.refuse(bad, ", not a number that a range of data.bins could hold")
        numeric = isinstance(borders, Sequence) and all(isinstance(border, (int, float)) for border in borders)
        if not numeric or not len(borders) or (np.diff(borders) <= 0).any():
            raise InputError(f"bins of {name!r} must be rising borders such as (40, 60), not {borders!r}")
        values = _ranges(borders)
        which = np.where(missing, len(values), np.digitize(numbers, borders))
        return _say(name, [*values, None], which[codes], phrase, "{name} {value}", each=True)
    if _counts(column, phrase, borders):
        if missing.any():
            raise column.refuse(missing, f", which is not 0 or no: fill it in, or {leaving_out(column, missing)}")
        padded = np.array([content.padded for content in column.contents])
        if (bad := padded | ~((numbers >= 0) & (numbers <= MOST_COUNTED) & (numbers == np.round(numbers)))).any():
            raise column.refuse(
                bad, ", not 0, 1 or a count; give other numbers bins, and codes a text each, data.phrases"
            )
        counts, which = np.unique(numbers.astype(int), return_inverse=True)
        binary = set(counts.tolist()) <= {0, 1}
        values = [str(n) if n else None for n in counts.tolist()]
        return _say(name, values, which[codes], phrase, "1 {name}" if binary else "{value} {name}", each=False)
    texts = [content.text for content in column.contents]
    if isinstance(phrase, Mapping):  # a text for 1 is one for 1.0 and "1", too, unless there is one for "01"
        worded = {str(content) for content in phrase}
        written = [content.cell.strip() if isinstance(content.cell, str) else None for content in column.contents]
        texts = [cell if cell in worded and text else text for cell, text in zip(written, texts)]
    values = sorted(set(filter(None, texts)))
    place = {value: i for i, value in enumerate(values)} | {"": len(values)}
    return _say(name, [*values, None], np.array([place[text] for text in texts])[codes], phrase, "{value}", each=True)


def _say(name: str, values: list[str | None], codes: np.ndarray, phrase: Any, usual: str, each: bool) -> _Slot:
    """The texts of a column's contents, of which None says nothing; `each`: a detector is asked about each content."""
    kept = np.unique(codes)
    values, codes = [values[i] for i in kept], np.searchsorted(kept, codes)
    if isinstance(phrase, Mapping):
        text_of = {str(content): str(text) for content, text in phrase.items()}
        for value in filter(None, values):
            require_known(value, f"text for a content of {name!r} in data.phrases", tuple(text_of))
        texts = ["" if value is None else text_of[value] for value in values]
    else:
        texts = ["" if value is None else _format(phrase or usual, name, value) for value in values]
    contents: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        contents.setdefault(text, []).append(i)
    contents.pop("", None)
    if not isinstance(phrase, Mapping) and any(len(alike) > 1 for alike in contents.values()) and each:
        raise InputError(f"the phrase {phrase!r} says the same of every content of {name!r}: put {{value}} in it")
    note = ""
    if len(contents) > MOST_CONTENTS and each:
        note = f"{name} has {len(contents):,} contents: a detector is asked for its presence alone"
    if len(contents) == 1 or not each or len(contents) > MOST_CONTENTS:
        return _Slot(texts, codes, {name: [i for alike in contents.values() for i in alike]}, note)
    return _Slot(texts, codes, {f"{name}: {text}": alike for text, alike in contents.items()})


def _format(phrase: str, name: str, value: str) -> str:
    try:
        return phrase.format(name, name=name, value=value)
    except (IndexError, KeyError, ValueError, AttributeError):
        raise InputError(
            f"the phrase {phrase!r} can hold {{name}} (or {{}}) and {{value}}, and no other braces"
        ) from None


def _ranges(borders: Sequence[float]) -> list[str]:
    b = [plain_number(border) for border in borders]
    return [f"under {b[0]}", *(f"{low} to {high}" for low, high in itertools.pairwise(b)), f"{b[-1]} or more"]


def _labels(column: Column, classes: Sequence[Any], many: bool) -> np.ndarray:
    """The class of each row, int [N]."""
    missing, numbers = column.of(MISSING), column.numbers
    if classes:
        names = [str(c) if isinstance(c, (str, bool)) else plain_number(c) for c in classes]
        place = {plain_text(name): k for k, name in enumerate(names)}
        if len(place) < len(names):
            raise InputError(f"data.classes names a class twice: {', '.join(names)}")
        written = [plain_text(c.cell) if isinstance(c.cell, str) else c.text for c in column.contents]
        index = np.array([place.get(w, place.get(c.text, -1)) for w, c in zip(written, column.contents)])
        if (bad := missing | (index < 0)).any():
            raise column.refuse(bad, f", not one of the classes {', '.join(names)}")
        return index[column.codes]
    if not column.of(YES_NO).all():
        most = 1 if many else max(1, np.nanmax(numbers, initial=0))
        bad = ~(column.of(NUMBER) & np.isin(numbers, np.arange(min(most, 10_000) + 1)))
        if bad.any():
            first = column.first(bad)
            also = f"; {leaving_out(column, bad)}" if first.kind in (MISSING, TEXT) else ""
            raise column.refuse(
                bad, f", not 0 or 1 (or the number of a class); other labels need data.classes, in order{also}"
            )
    return numbers[column.codes].astype(int)


def _validate_frequencies(column: Column, slot: _Slot, fewest: int) -> None:
    counts = np.bincount(slot.codes, minlength=len(slot.texts))
    for i in np.flatnonzero(counts < fewest):
        place = column.places[int(np.argmax(slot.codes == i))]
        raise InputError(
            f"{slot.texts[i] or 'nothing'!r} in column {column.name!r} is too rare to permute: {counts[i]} of "
            f"{len(slot.codes)} examples ({place}) and min_examples is {fewest}; join it with another content, or leave "
            "such rows out"
        )
