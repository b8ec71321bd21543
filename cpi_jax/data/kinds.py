"""What a whole column holds: one kind of cells; half one kind and half another, or what stands for nothing, is refused."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cpi_jax.data.cells import DATE, MISSING, NUMBER, TEXT, YES_NO, Column
from cpi_jax.data.ids import WHOLE, id_key, short, whole_numbers
from cpi_jax.errors import InputError

_WRITTEN_OUT = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_ODD_NUMBER = re.compile(r"[+-]?\d[\d.,'’_ ]*")  # "1,5", "1,000": which number it is depends on the country
_PAIRS = ({"y", "n"}, {"t", "f"})
# What programs write where a cell is missing, and what people do.
_NOT_AVAILABLE = {
    "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "NaN", "nan", "NAN", "-nan", "NULL", "null", "Null", "None", "NaT", "nil",
    "#VALUE!", "#REF!", "#DIV/0!", "#NAME?",
}  # fmt: skip
_UNKNOWN = {"none", "unknown", "unk", "missing", "na", "n.a.", "not available", "not applicable", "undefined"}
_ANSWERS = {"present", "absent", "positive", "negative", "on", "off", "ja", "nein", "oui", "non", "si", "s\u00ed", "x"}


def one_kind(column: Column) -> str:
    """The kind that all cells of a column have, missing ones aside, as far as a caption could say them.

    Raises:
      InputError: for a column of several kinds, dates, numbers written in a country's way, or what stands for a missing
        value; names the first cell and the mend.
    """
    kinds = {kind: column.of(kind) for kind in (NUMBER, YES_NO, TEXT, DATE)}
    letters = np.array([isinstance(c.cell, str) and len(c.text) == 1 for c in column.contents]) & kinds[YES_NO]
    written = {content.text.lower() for content, letter in zip(column.contents, letters) if letter}
    if kinds[TEXT].any() and not any(pair <= written for pair in _PAIRS):  # F beside M is no "false"
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
            (_WRITTEN_OUT.fullmatch, ", a list or a dict written out, which a caption cannot say: "),
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


def validate_captions(column: Column) -> None:
    """Refuses a column of free text that holds something else.

    Raises:
      InputError: for an empty cell, a number, or what stands for a missing value; names the first.
    """
    unavailable = np.array([content.text in _NOT_AVAILABLE for content in column.contents])
    if (bad := ~column.of(TEXT, YES_NO) | unavailable).any():
        raise column.refuse(bad, f", which is no caption: {leaving_out(column, bad)}")


def describe_texts(column: Column) -> list[str]:
    """Sentences on texts that are kept and may not be meant: what stands for a missing value, answers, twins."""
    notes, spelt = [], {}
    for i, content in enumerate(column.contents):
        if content.kind != TEXT:
            continue
        if content.text in _NOT_AVAILABLE or content.text.lower() in _UNKNOWN:
            notes.append(
                f"column {column.name!r} holds {short(content.cell)} (rows: {(column.codes == i).sum():,}), kept as a text "
                f"like others; data.na_values=({content.text!r},) reads it as missing"
            )
        if content.text.lower() in _ANSWERS:
            notes.append(
                f"captions say {content.text!r} of {column.name!r} as it is; data.phrases gives contents their texts"
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
        values = whole_numbers(texts) if all(map(WHOLE.fullmatch, texts)) else column.numbers
        return values[column.codes]
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
