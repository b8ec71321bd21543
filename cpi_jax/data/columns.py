"""From a table of columns to examples: what each column says of an image becomes a slot of its caption."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from absl import logging

from cpi_jax.data.examples import Examples
from cpi_jax.data.free_text import cut_captions
from cpi_jax.errors import InputError, require_known

IDS = ("image_id", "id", "file_name")  # what tells examples apart, where nothing else is said
MOST_CONTENTS = 8  # of a slot, to ask a detector about each of them
MOST_COUNTED = 10_000


class _Slot(NamedTuple):
    """One concept's column: the texts that it can say ("" for nothing), and which of them each example has."""

    texts: list[str]
    codes: np.ndarray  # [N]
    asked: dict[str, list[int]]  # what a detector is asked: name -> the texts that mean yes


def make_examples(
    frame: pd.DataFrame,
    images: Any = None,
    image: str = "",
    *,
    label: str | Sequence[str],
    concepts: Sequence[str] = (),
    id: str = "",
    classes: Sequence[str] = (),
    columns: Sequence[str] = (),
    phrase: str = "",
    phrases: Mapping[str, Any] = {},
    bins: Mapping[str, Any] = {},
    caption: str = "",
    words: Mapping[str, Any] = {},
    min_examples: int = 1,
) -> Examples:
    """Reads slots, labels and concepts from columns.

    What a concept's column holds says how it is read: 0 and 1 as absent and present ("1 dog"), whole numbers as counts
    ("2 dog", 0 says nothing), numbers with `bins` as ranges ("age 40 to 60"), text as categories ("grass"; none says
    nothing).

    Each source reads the frame and the images itself; the keywords are for its users to say, in configurations too.

    Args:
      frame: N rows.
      images: of the rows, where there are any.
      image: column of the images' paths, which is no concept.
      label: column of the task, 0 or 1, or the classes; or several columns of 0 and 1.
      concepts: columns; empty for all to the right of the label but ids, images and `columns`.
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

    Raises:
      InputError: for a missing column, a duplicate id, a content that cannot be read or is too rare; names the row.
    """
    known = tuple(map(str, frame.columns))
    labels_of = (label,) if isinstance(label, str) else tuple(label)
    for name in (*labels_of, *columns, *phrases, *bins, *filter(None, (caption, id, image))):
        require_known(name, "column", known)
    if not len(frame):
        raise InputError("the table has no rows")
    for name in columns:
        if (missing := frame[name].isna().to_numpy()).any():
            raise _cannot_read(frame[name], missing, "a content: leave such rows out, or fill them in")
    labels = np.stack([_labels(frame[name], classes, many=len(labels_of) > 1) for name in labels_of], axis=1)
    about = {
        "ids": _ids(frame, id or next((name for name in IDS if name in known), "")),
        "labels": (labels if len(labels_of) > 1 else labels[:, 0]).astype(np.int32),
        "images": images,
        "columns": {name: frame[name].to_numpy() for name in columns},
    }
    if bool(caption) != bool(words) or (caption and (concepts or phrase or phrases or bins)):
        raise InputError("free text takes data.caption and data.words; concepts, phrases and bins are for columns")
    if caption:
        slots, names, order = cut_captions(frame[caption], words)
        present = np.array([[bool(text) for text in row] for row in slots], np.int8)[:, : len(words)]
        return Examples(
            slots=slots, slot_names=names, concepts=present, concept_names=tuple(words),
            concept_slots=tuple(range(len(words))), order=order, **about,
        )  # fmt: skip
    beside = {*IDS, *columns, id, image}
    right = [name for name in known[known.index(labels_of[-1]) + 1 :] if not name.startswith("Unnamed:")]
    names = tuple(concepts) or tuple(name for name in right if name not in beside)
    for name in names:
        require_known(name, "column", known)
    if not names:
        raise InputError(f"there is no column to the right of the label {labels_of[-1]!r}; name the concepts' columns")
    if both := set(names) & set(labels_of):
        raise InputError(f"{min(both)!r} is a label and cannot be a concept, too: name the concepts' columns")
    if phrase and _format(phrase, "", "") == phrase:
        raise InputError(f"the phrase {phrase!r} says the same of every concept: put {{name}} or {{value}} in it")
    read = [_slot(frame[name], phrases.get(name, phrase), bins.get(name)) for name in names]
    for name, slot in zip(names, read):
        _refuse_rare(name, slot, min_examples)
    texts = [np.array(slot.texts, object)[slot.codes].tolist() for slot in read]
    asked = [(k, name, yes) for k, slot in enumerate(read) for name, yes in slot.asked.items()]
    if not asked:
        raise InputError(f"the columns {', '.join(names)} say nothing in any row, so there is nothing to permute")
    return Examples(
        slots=list(zip(*texts)),
        slot_names=names,
        concepts=np.stack([np.isin(read[k].codes, yes) for k, _, yes in asked], axis=1).astype(np.int8),
        concept_names=tuple(name for _, name, _ in asked),
        concept_slots=tuple(k for k, _, _ in asked),
        **about,
    )


def _slot(column: pd.Series, phrase: Any, borders: Any) -> _Slot:
    name = str(column.name)
    if column.dtype.kind in "mM":
        raise InputError(f"column {name!r} holds dates; make numbers of them, and give them bins")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(float)
    given = column.notna().to_numpy() & (column.astype(str).str.strip() != "").to_numpy()
    all_numbers = not (given & np.isnan(numbers)).any()
    if borders is not None:
        if not all_numbers:
            raise _cannot_read(column, given & np.isnan(numbers), "a number")
        numeric = isinstance(borders, Sequence) and all(isinstance(border, (int, float)) for border in borders)
        if not numeric or not len(borders) or (np.diff(borders) <= 0).any():
            raise InputError(f"bins of {name!r} must be rising borders such as (40, 60), not {borders!r}")
        values = _ranges(borders)
        codes = np.where(given, np.digitize(numbers, borders), len(values))
        return _say(name, [*values, None], codes, phrase, "{name} {value}", each=True)
    if all_numbers and given.any() and not isinstance(phrase, Mapping):
        if not given.all():
            raise _cannot_read(column, ~given, "a number; 0 says that nothing is there")
        if (bad := ~((numbers >= 0) & (numbers <= MOST_COUNTED) & (numbers == np.round(numbers)))).any():
            raise _cannot_read(column, bad, "0, 1 or a count; give other numbers bins")
        found, codes = np.unique(numbers.astype(int), return_inverse=True)
        binary = set(found.tolist()) <= {0, 1}
        values = [str(n) if n else None for n in found.tolist()]
        return _say(name, values, codes, phrase, "1 {name}" if binary else "{value} {name}", each=False)
    text = pd.Series(np.where(given, column.astype(str).str.strip(), None), dtype=object)
    if all_numbers:  # a number's text does not depend on how the file has it: 1 and 1.0 are the same
        text = pd.Series([_plain(number) if known else None for number, known in zip(numbers, given)], dtype=object)
    codes, values = pd.factorize(text, sort=True)
    return _say(name, [*values, None], np.where(codes < 0, len(values), codes), phrase, "{value}", each=True)


def _say(name: str, values: list[str | None], codes: np.ndarray, phrase: Any, usual: str, each: bool) -> _Slot:
    """The texts of a column's contents, of which None says nothing; `each`: a detector is asked about each content."""
    kept = np.unique(codes)
    values, codes = [values[i] for i in kept], np.searchsorted(kept, codes)
    if isinstance(phrase, Mapping):
        said = {str(content): str(text) for content, text in phrase.items()}
        for value in filter(None, values):
            require_known(value, f"text for a content of {name!r} in data.phrases", tuple(said))
        texts = ["" if value is None else said[value] for value in values]
    else:
        texts = ["" if value is None else _format(phrase or usual, name, value) for value in values]
    contents: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        contents.setdefault(text, []).append(i)
    contents.pop("", None)
    if not isinstance(phrase, Mapping) and any(len(alike) > 1 for alike in contents.values()) and each:
        raise InputError(f"the phrase {phrase!r} says the same of every content of {name!r}: put {{value}} in it")
    if len(contents) > MOST_CONTENTS and each:
        logging.warning("%s has %d contents: a detector is asked for its presence alone", name, len(contents))
    if len(contents) == 1 or not each or len(contents) > MOST_CONTENTS:
        return _Slot(texts, codes, {name: [i for alike in contents.values() for i in alike]})
    return _Slot(texts, codes, {f"{name}: {text}": alike for text, alike in contents.items()})


def _format(phrase: str, name: str, value: str) -> str:
    try:
        return phrase.format(name, name=name, value=value)
    except (IndexError, KeyError, ValueError, AttributeError):
        raise InputError(
            f"the phrase {phrase!r} can hold {{name}} (or {{}}) and {{value}}, and no other braces"
        ) from None


def _ranges(borders: Sequence[float]) -> list[str]:
    b = [_plain(border) for border in borders]
    return [f"under {b[0]}", *(f"{low} to {high}" for low, high in itertools.pairwise(b)), f"{b[-1]} or more"]


def _plain(number: float) -> str:
    return np.format_float_positional(number, trim="-")


def _ids(frame: pd.DataFrame, name: str) -> np.ndarray:
    if not name:
        return np.arange(len(frame))
    column = frame[name]
    if column.isna().any():
        raise _cannot_read(column, column.isna().to_numpy(), "an id")
    if (twice := column.duplicated().to_numpy()).any():
        row = int(np.flatnonzero(twice)[-1])
        raise InputError(f"the {name} {column.astype(object).iloc[row]!r} occurs more than once, last in row {row + 1}")
    return column.to_numpy() if column.dtype.kind in "iu" else column.astype(str).to_numpy(object)


def _labels(column: pd.Series, classes: Sequence[str], many: bool) -> np.ndarray:
    if classes:
        if len({str(c) for c in classes}) < len(classes):
            raise InputError(f"data.classes names a class twice: {', '.join(map(str, classes))}")
        numbers = pd.to_numeric(column, errors="coerce")
        said = column.astype(str).str.strip().where(numbers.isna(), numbers.map(_plain))
        codes = pd.Index([str(c) for c in classes]).get_indexer(said)
        if (codes < 0).any():
            raise _cannot_read(column, codes < 0, f"one of the classes {', '.join(map(str, classes))}")
        return codes.astype(int)
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(float)
    most = 1 if many else max(1, np.nanmax(numbers, initial=0))
    whole = np.isin(numbers, np.arange(min(most, 10_000) + 1))
    if not whole.all():
        raise _cannot_read(
            column, ~whole, "0 or 1 (or the number of a class); other labels need data.classes, in order"
        )
    return numbers.astype(int)


def _refuse_rare(name: str, slot: _Slot, fewest: int) -> None:
    counts = np.bincount(slot.codes, minlength=len(slot.texts))
    for i in np.flatnonzero(counts < fewest):
        row = int(np.argmax(slot.codes == i)) + 1
        raise InputError(
            f"{slot.texts[i] or 'nothing'!r} in column {name!r} is too rare to permute: {counts[i]} of {len(slot.codes)} "
            f"examples (row {row}) and min_examples is {fewest}; join it with another content, or leave such rows out"
        )


def _cannot_read(column: pd.Series, bad: np.ndarray, wanted: str) -> InputError:
    row = int(np.argmax(bad))
    return InputError(
        f"row {row + 1}, column {str(column.name)!r} holds {column.astype(object).iloc[row]!r}, not {wanted}"
    )
