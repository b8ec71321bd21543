"""What the cells of a column hold: nothing, numbers, yes or no, or texts; half one kind and half another is refused."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import re
import string
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cpi_jax.data.ids import PADDED, WHOLE, id_key, short, whole_numbers
from cpi_jax.errors import InputError

MISSING, NUMBER, YES_NO, TEXT, DATE = "nothing", "numbers", "yes and no", "texts", "dates"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_ODD_NUMBER = re.compile(r"[+-]?\d[\d.,'’_ ]*")  # "1,5", "1,000": which number it is depends on the country
_YES_NO = {"yes": 1, "no": 0, "true": 1, "false": 0, "y": 1, "n": 0, "t": 1, "f": 0}
_PAIRS = ({"yes", "no"}, {"true", "false"}, {"y", "n"}, {"t", "f"})
# What programs write where a cell is missing, and what people do.
_NOT_AVAILABLE = {
    "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "NaN", "nan", "NAN", "-nan", "NULL", "null", "Null", "None", "NaT", "nil",
    "#VALUE!", "#REF!", "#DIV/0!", "#NAME?",
}  # fmt: skip
_UNKNOWN = {"none", "unknown", "unk", "missing", "na", "n.a.", "not available", "not applicable", "undefined"}
# Characters that are not seen: they part no words, and a word with one in it is not found.
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"))


def plain_text(text: str) -> str:
    """A text as it is seen: every run of white space one blank, none around it, letters composed, nothing unseen.

    A tokenizer makes the same tokens of it, but for characters that cannot be seen.
    """
    return " ".join(unicodedata.normalize("NFC", text).translate(_UNSEEN).split())


def plain_number(number: float) -> str:
    """A number in full, whatever type it comes in: "1" for 1.0."""
    return np.format_float_positional(number, trim="-")


class Content(NamedTuple):
    """One of the different contents of a column.

    Attributes:
      cell: as the table has it.
      kind: one of the kinds above.
      text: what a caption could say of it; "" where it is missing.
      number: its value, 1 and 0 for yes and no; NaN where it has none.
      declared: whether it is missing by `na_values`.
    """

    cell: Any
    kind: str
    text: str = ""
    number: float = np.nan
    declared: bool = False

    @property
    def padded(self) -> bool:
        """Whether it is a number with leading zeros."""
        return isinstance(self.cell, str) and self.kind == NUMBER and bool(PADDED.match(self.cell.strip()))


@dataclasses.dataclass(frozen=True)
class Column:
    """The cells of a column.

    Attributes:
      name: of the column.
      contents: the different ones.
      codes: which of them each cell holds, [N].
      places: what the cells' rows are called, "row 6 (image_id 6)", N of them.
    """

    name: str
    contents: tuple[Content, ...]
    codes: np.ndarray
    places: Places

    def of(self, *kinds: str) -> np.ndarray:
        """Which contents are of these kinds, bool."""
        return np.array([content.kind in kinds for content in self.contents], bool)

    @property
    def numbers(self) -> np.ndarray:
        """The number of each content, float."""
        return np.array([content.number for content in self.contents], float)

    def count(self, which: np.ndarray) -> int:
        """How many cells hold one of some contents."""
        return int(which[self.codes].sum())

    def first(self, which: np.ndarray) -> Content:
        """The content of the first cell that holds one of some contents."""
        return self.contents[self.codes[int(np.argmax(which[self.codes]))]]

    def take(self, keep: np.ndarray) -> Column:
        """Some of the cells."""
        kept, codes = np.unique(self.codes[keep], return_inverse=True)
        return Column(self.name, tuple(self.contents[i] for i in kept), codes, self.places.take(keep))

    def refuse(self, bad: np.ndarray, why: str) -> InputError:
        """An error that names the first cell that holds one of some contents."""
        n, content = int(np.argmax(bad[self.codes])), self.first(bad)
        held = "nothing" if content.kind == MISSING and not content.declared else short(content.cell)
        return InputError(f"{self.places[n]}, column {self.name!r} holds {held}{why}")


class Places:
    """What the rows of a table are called in messages: by their number, from 1, and their id."""

    def __init__(self, ids: pd.Series | None, rows: np.ndarray):
        self.ids, self.rows = ids, rows

    def __getitem__(self, n: int) -> str:
        row = int(self.rows[n])
        return f"row {row + 1}" + ("" if self.ids is None else f" ({self.ids.name} {self.ids.iloc[row]})")

    def take(self, keep: np.ndarray) -> Places:
        """Some of the rows."""
        return Places(self.ids, self.rows[keep])


def read_column(cells: pd.Series, places: Places, na_values: Sequence[Any] = ()) -> Column:
    """Reads every cell of a column by itself, whatever type the table has for the whole.

    Args:
      cells: the column.
      places: what its rows are called.
      na_values: texts and numbers that mean a missing cell; "" for those that are empty.

    Raises:
      InputError: for a cell that is neither number, text nor date, such as a list; names it.
    """
    if isinstance(cells.dtype, np.dtype) and cells.dtype.kind in "iuf":
        codes, found = pd.factorize(cells.to_numpy(), use_na_sentinel=False)
        found = found.tolist()
    else:
        index: dict[Any, int] = {}
        codes = np.empty(len(cells), np.intp)
        for n, cell in enumerate(cells.astype(object)):
            try:
                codes[n] = index.setdefault((type(cell), cell), len(index))
            except TypeError:  # lists, dicts and arrays have no hash
                raise _refuse_nested(cells.name, places[n], cell) from None
        found = [cell for _, cell in index]
    missing = {_read_cell(value).text for value in na_values}
    column = Column(str(cells.name), tuple(_read_cell(cell, missing) for cell in found), codes, places)
    if (nested := column.of("")).any():
        n = int(np.argmax(nested[codes]))
        raise _refuse_nested(column.name, places[n], found[codes[n]])
    return column


def _read_cell(cell: Any, missing: set[str] = frozenset()) -> Content:
    if isinstance(cell, str):
        text = plain_text(cell)
        if _NUMBER.fullmatch(text):
            number = float(text)
            content = Content(cell, NUMBER, str(int(text)) if WHOLE.fullmatch(text) and "." not in text else "", number)
        elif text.lower() in _YES_NO:
            content = Content(cell, YES_NO, text, _YES_NO[text.lower()])
        else:
            content = Content(cell, TEXT if text else MISSING, text)
    elif isinstance(cell, (bool, np.bool_)):
        content = Content(cell, YES_NO, str(bool(cell)), float(cell))
    elif isinstance(cell, (int, np.integer)):
        content = Content(cell, NUMBER, str(int(cell)), float(cell))
    elif isinstance(cell, (float, np.floating, decimal.Decimal)):
        content = Content(cell, MISSING) if cell != cell else Content(cell, NUMBER, number=float(cell))
    elif cell is None or cell is pd.NA or cell is pd.NaT:
        content = Content(cell, MISSING)
    elif isinstance(cell, (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)):
        content = Content(cell, DATE, str(cell))
    else:
        content = Content(cell, "")
    if content.kind == NUMBER and not content.text:
        content = content._replace(text=plain_number(content.number))
    if content.text in missing or (isinstance(cell, str) and plain_text(cell) in missing):
        content = Content(cell, MISSING, declared=True)
    return content


def _refuse_nested(name: Any, place: str, cell: Any) -> InputError:
    return InputError(
        f"{place}, column {str(name)!r} holds {short(cell)}, a {type(cell).__name__}, and a cell must hold one "
        "number or text: make columns of what it holds, or name the other columns in data.concepts"
    )


def one_kind(column: Column) -> str:
    """The kind that all cells of a column have, missing ones aside, as far as a caption could say them.

    Raises:
      InputError: for a column of several kinds, dates, numbers written in a country's way, or what stands for a missing
        value; names the first cell and the mend.
    """
    texts = {c.text.lower() for c in column.contents if c.kind == YES_NO and isinstance(c.cell, str)}
    kinds = {kind: column.of(kind) for kind in (NUMBER, YES_NO, TEXT, DATE)}
    if kinds[TEXT].any() and texts and not any(pair <= texts for pair in _PAIRS):
        letters = np.array([isinstance(c.cell, str) for c in column.contents]) & kinds[YES_NO]  # the F of M and F
        kinds[TEXT], kinds[YES_NO] = kinds[TEXT] | letters, kinds[YES_NO] & ~letters
    there = [kind for kind, which in kinds.items() if which.any()]
    if len(there) > 1:
        most, *others = sorted(there, key=lambda kind: -column.count(kinds[kind]))
        other = np.any([kinds[kind] for kind in others], axis=0)
        usual = column.contents[int(np.argmax(kinds[most]))].text
        raise column.refuse(other, f" among {most} such as {usual!r}: {_mend(column, other, most)}")
    kind = there[0] if there else MISSING
    if kind == DATE:
        raise InputError(f"column {column.name!r} holds dates; make numbers of them, and give them bins")
    if kind == TEXT:
        for pick, why in (
            (lambda text: _ODD_NUMBER.fullmatch(text), ": write numbers as 1.5 and 1000, or "),
            (lambda text: text in _NOT_AVAILABLE, ", which a caption cannot say: "),
            (lambda text: all(c in string.punctuation for c in text), ", which a caption cannot say: "),
        ):
            bad = kinds[TEXT] & np.array([bool(pick(content.text)) for content in column.contents])
            if bad.any():
                raise column.refuse(bad, why + _mend(column, bad))
    return kind


def _mend(column: Column, bad: np.ndarray, among: str = TEXT) -> str:
    content = column.first(bad)
    alike = "write every cell alike"
    if content.kind == TEXT:
        alike = f"data.na_values=({content.text!r},) reads it as missing" if among == TEXT else leaving_out(column, bad)
    return f"{alike}, or data.phrases gives every content of {column.name!r} its text"


def leave_out(columns: Sequence[Column]) -> tuple[np.ndarray, str]:
    """Which rows have all their cells, as far as `na_values` knows, bool [N]; and a sentence on the others.

    Raises:
      InputError: where no row is left.
    """
    keep, why = np.ones(len(columns[0].codes), bool), []
    for column in columns:
        gone = np.array([content.declared for content in column.contents])[column.codes]
        if gone.any():
            rows = f"{gone.sum():,} rows, the first {column.places[int(np.argmax(gone))]}" if gone.sum() > 1 else None
            why.append(f"{column.name!r} is missing in {rows or column.places[int(np.argmax(gone))]}")
            keep &= ~gone
    if keep.all():
        return keep, f"{len(keep):,} rows read, all used"
    if not keep.any():
        raise InputError(f"no row is left without a missing cell: {'; '.join(why)}")
    return keep, f"{len(keep):,} rows read, {keep.sum():,} used, {(~keep).sum():,} left out: {'; '.join(why)}"


def leaving_out(column: Column, bad: np.ndarray) -> str:
    """How to leave out the rows of the first cell with one of some contents."""
    return f"data.na_values=({column.first(bad).text!r},) leaves such rows out"


def check_captions(column: Column) -> None:
    """Refuses a column of free text that holds something else.

    Raises:
      InputError: for an empty cell, a number, or what stands for a missing value; names the first.
    """
    unavailable = np.array([content.text in _NOT_AVAILABLE for content in column.contents])
    if (bad := ~column.of(TEXT, YES_NO) | unavailable).any():
        raise column.refuse(bad, f", which is no caption: {leaving_out(column, bad)}")


def describe_texts(column: Column) -> list[str]:
    """Sentences on texts that are kept and may not be meant: what stands for a missing value, and twins."""
    notes, spelt = [], {}
    for i, content in enumerate(column.contents):
        if content.kind != TEXT:
            continue
        if content.text in _NOT_AVAILABLE or content.text.lower() in _UNKNOWN:
            notes.append(
                f"column {column.name!r} holds {short(content.cell)} (rows: {(column.codes == i).sum():,}), kept as a text "
                f"like others; data.na_values=({content.text!r},) reads it as missing"
            )
        if (twin := spelt.setdefault(content.text.lower(), content.text)) != content.text:
            notes.append(f"column {column.name!r} holds both {twin!r} and {content.text!r}, kept as two contents")
    return notes


def values_of(column: Column) -> np.ndarray:
    """The cells of a column that is kept beside the captions: numbers, or texts as they are written, [N].

    Raises:
      InputError: for a missing cell, what stands for one among numbers, or several types; names the first.
    """
    if (missing := column.of(MISSING)).any():
        raise column.refuse(missing, ", not a content: leave such rows out, or fill them in")
    contents, numbers = column.contents, column.of(NUMBER)
    written = np.array([isinstance(content.cell, str) for content in contents])
    kinds = [TEXT if text else content.kind for text, content in zip(written, contents)]
    if len(set(kinds)) > 1:  # 1 and "1" would be two clusters
        usual = max(set(kinds), key=lambda kind: column.count(np.equal(kinds, kind)))
        raise column.refuse(np.not_equal(kinds, usual), f" among {usual}: write every cell alike")
    if not written.all() and not numbers.all():
        return pd.Series([content.cell for content in contents]).to_numpy()[column.codes]
    if numbers.all() and not any(content.padded for content in contents):
        texts = [content.text for content in contents]
        found = whole_numbers(texts) if all(map(WHOLE.fullmatch, texts)) else column.numbers
        return found[column.codes]
    bad = np.array([content.text in _NOT_AVAILABLE for content in contents])
    if numbers.any() and bad.any():
        raise column.refuse(bad, f" among numbers: {leaving_out(column, bad)}")
    texts, keys = [content.cell.strip() for content in contents], {}
    for i, text in enumerate(texts):
        if (twin := keys.setdefault(id_key(text), text)) != text:
            raise column.refuse(
                np.arange(len(texts)) == i, f" and {twin!r} elsewhere, the same number: write them alike"
            )
    return np.array(texts, object)[column.codes]
