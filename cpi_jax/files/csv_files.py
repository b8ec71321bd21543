"""Tables of results as CSV: what is read back is what was written, and no spreadsheet runs a cell as a formula."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# Columns of names and words: their cells stay as they are, where "null", "NaN" and "007" are names, too.
_TEXT = (
    "concept", "permuted", "subgroup", "feature", "value", "caption", "metric", "check", "role", "verdict", "interval",
    "alternative", "advice", "own", "direction", "between", "group", "against", "loss",
    "classifier",
)  # fmt: skip
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # what makes a spreadsheet run a cell; the wide ones do in some languages
_QUOTED = set(',"\r\n')


def csv_text(frame: pd.DataFrame) -> str:
    """A table as CSV that `read_csv` gives back; numbers keep every digit, and NaN is an empty cell.

    A text that a spreadsheet would run, or that begins with an apostrophe, gets an apostrophe in front.
    """
    columns = [_cells(frame.iloc[:, j]) for j in range(frame.shape[1])]
    lines = [map(_text_cell, map(str, frame.columns)), *zip(*columns)]
    return "".join(",".join(line) + "\n" for line in lines)


def read_csv(path: str | Path) -> pd.DataFrame:
    """Reads a table of results, as `csv_text` wrote it.

    Columns of names and verdicts are text whatever they hold. Others are numbers or bool where all their cells are, an
    empty cell being NaN, and else text.

    Raises:
      OSError: for a file that is not there.
      ValueError: for a file that is no such table.

    Example:
      >>> import cpi_jax, pathlib, tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "importance.csv"
      >>> _ = path.write_text("concept,importance\\n007,0.25\\nnull,\\n")
      >>> cpi_jax.read_csv(path).to_dict("list")
      {'concept': ['007', 'null'], 'importance': [0.25, nan]}
    """
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    if ragged := next((n for n, row in enumerate(rows, 2) if len(row) != len(header)), None):
        raise ValueError(f"row {ragged} has another number of cells than the first one")
    cells = zip(*rows) if rows else [()] * len(header)
    columns = [_values(_plain(name), values) for name, values in zip(header, cells)]
    return pd.DataFrame(dict(enumerate(columns))).set_axis(list(map(_plain, header)), axis=1)


def _cells(column: pd.Series) -> list[str]:
    values = column.to_numpy()
    if values.dtype.kind in "biuf":  # the shortest digits that give the number back in its own precision
        return ["" if value != value else str(value) for value in values]
    return ["" if value is None or value != value else _text_cell(str(value)) for value in values.tolist()]


def _text_cell(text: str) -> str:
    if text.startswith("'") or text.lstrip(" ").startswith(_FORMULA):
        text = f"'{text}"
    if not text or text != text.strip() or _QUOTED & set(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _plain(cell: str) -> str:
    return cell.removeprefix("'")


def _values(name: str, cells: tuple[str, ...]) -> Any:
    if name in _TEXT:
        return np.array(list(map(_plain, cells)), object)
    if cells and set(cells) <= {"True", "False"}:
        return np.array([cell == "True" for cell in cells])
    for kind in (int, float):
        try:
            return np.array([kind(cell or "nan") for cell in cells], kind)
        except (ValueError, OverflowError):
            continue
    return np.array(list(map(_plain, cells)), object)
