"""Ids of examples and images: a whole number is the same id as a number, as a text and with zeros before it."""

from __future__ import annotations

import decimal
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cpi_jax.errors import InputError

WHOLE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
PADDED = re.compile(r"[+-]?0\d", re.ASCII)  # a code rather than a number


def id_key(cell: Any) -> int | str | None:
    """What an id is known by: a whole number is the same as a number, as a text and with leading zeros; None for none.

    Raises:
      ValueError: for what cannot be an id: a list, or a floating-point number too large to be exact.
    """
    if isinstance(cell, str):
        text = cell.strip()
        return int(text.partition(".")[0]) if WHOLE.fullmatch(text) else text or None
    if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, (float, np.floating)) and cell != cell):
        return None
    if isinstance(cell, decimal.Decimal):
        return id_key(str(cell))
    if isinstance(cell, (int, np.integer)) and not isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, (float, np.floating)):
        if abs(cell) >= 2**53:
            raise ValueError(f"{cell!r} is a floating-point number, which cannot hold an id of that size exactly")
        return int(cell) if cell == int(cell) else str(cell)
    if isinstance(cell, (list, dict, set, tuple, np.ndarray)):
        raise ValueError(f"{short(cell)} is a {type(cell).__name__}, not an id")
    return str(cell)


def read_ids(cells: pd.Series) -> tuple[np.ndarray, list[int | str]]:
    """The ids in a column, [N]: whole numbers where all are, else texts as written; and what each is known by.

    Raises:
      InputError: for a missing id, one that occurs twice in whichever form, or one that is no number or text.
    """
    name, known, keys = str(cells.name), {}, []
    listed = cells.astype(object).tolist()
    for n, cell in enumerate(listed):
        try:
            key = id_key(cell)
        except ValueError as error:
            raise InputError(f"row {n + 1}, column {name!r}: {error}") from None
        if key is None:
            raise InputError(f"row {n + 1}, column {name!r} holds nothing, not an id")
        first = known.setdefault(key, n)
        if first != n:
            forms = [short(listed[i]) for i in (first, n)]
            same = "" if forms[0] == forms[1] else f", as {forms[0]} and {forms[1]}"
            raise InputError(f"the {name} {key!r} occurs more than once, in rows {first + 1} and {n + 1}{same}")
        keys.append(key)
    padded = any(isinstance(cell, str) and PADDED.match(cell.strip()) for cell in listed)
    if not padded and all(isinstance(key, int) for key in keys):
        return whole_numbers([str(key) for key in keys]), keys
    texts = [cell.strip() if isinstance(cell, str) else str(key) for cell, key in zip(listed, keys)]
    return np.array(texts, object), keys


def whole_numbers(texts: Sequence[str]) -> np.ndarray:
    """Whole numbers of any size: as integers of 64 bits where they fit, else as texts."""
    values = [int(text) for text in texts]
    for kind in (np.int64, np.uint64):
        if np.iinfo(kind).min <= min(values) and max(values) <= np.iinfo(kind).max:
            return np.array(values, kind)
    return np.array([str(value) for value in values], object)


def short(cell: Any) -> str:
    """A cell in a message."""
    text = repr(cell.item() if isinstance(cell, np.generic) else cell)
    return text if len(text) <= 80 else f"{text[:77]}..."
