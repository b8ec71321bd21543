"""Cells read one by one: nothing, a number, yes or no, a text or a date, whatever type a table has for its columns."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import re
import unicodedata
from collections.abc import Sequence, Set
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cpi_jax.data.ids import PADDED, WHOLE, short
from cpi_jax.errors import InputError

MISSING, NUMBER, YES_NO, TEXT, DATE = "nothing", "numbers", "yes and no", "texts", "dates"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_YES_NO = {"yes": 1, "no": 0, "true": 1, "false": 0, "y": 1, "n": 0, "t": 1, "f": 0}
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
        what = "nothing" if content.kind == MISSING and not content.declared else short(content.cell)
        return InputError(f"{self.places[n]}, column {self.name!r} holds {what}{why}")


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
      places: what its rows are called.
      na_values: texts and numbers that mean a missing cell; "" for those that are empty.

    Raises:
      InputError: for a cell that is neither number, text nor date, such as a list; names it.
    """
    values = cells.to_numpy() if cells.dtype.kind in "iuf" else cells.to_numpy(object)
    if len(set(map(type, values.tolist()))) == 1 and isinstance(values[0], (str, np.number)):
        codes, distinct = pd.factorize(values, use_na_sentinel=False)
        distinct = distinct.tolist()
    else:  # pandas would take True, 1 and 1.0 for the same
        index: dict[Any, int] = {}
        codes = np.empty(len(values), np.intp)
        for n, cell in enumerate(values):
            try:
                codes[n] = index.setdefault((type(cell), cell), len(index))
            except TypeError:  # lists, dicts and arrays have no hash
                raise _refuse_nested(cells.name, places[n], cell) from None
        distinct = [cell for _, cell in index]
    missing = {_read_cell(value).text for value in na_values}
    column = Column(str(cells.name), tuple(_read_cell(cell, missing) for cell in distinct), codes, places)
    if (nested := column.of("")).any():
        n = int(np.argmax(nested[codes]))
        raise _refuse_nested(column.name, places[n], distinct[codes[n]])
    return column


def _read_cell(cell: Any, missing: Set[str] = frozenset()) -> Content:
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
