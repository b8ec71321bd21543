"""Captions from a table: one row an example, one 0/1 column a concept, as in DEPICT's published files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError, require_known


def read_table(
    path: str | Path,
    *,
    label: str,
    concepts: Sequence[str] = (),
    id: str = "image_id",
    phrase: str = "1 {}",
    num_examples: int = 0,
) -> Examples:
    """Reads examples whose captions name the concepts that are present: "1 person, 1 chair".

    Args:
      path: CSV or Parquet.
      label: column of the task, 0 or 1.
      concepts: columns, 0 or 1; empty for all to the right of the label.
      id: column that tells examples apart; their noise follows from it.
      phrase: what a caption says of a concept, {} in its name's place.
      num_examples: the first so many; 0 for all.

    Raises:
      InputError: for a file or column that is missing, a value other than 0 and 1, or an id that occurs twice.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no table at {path}; data.path must name a CSV or Parquet file")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    table = table.head(num_examples) if num_examples else table
    columns = tuple(map(str, table.columns))
    names = tuple(concepts) or (columns[columns.index(label) + 1 :] if label in columns else ())
    for name in (id, label, *names):
        require_known(name, "column", columns)
    if not names:
        raise InputError(f"there is no column to the right of the label {label!r}; name the concepts' columns")
    ids = table[id].to_numpy()
    if len(twice := table[id].astype(object)[table[id].duplicated()]):
        raise InputError(f"the {id} {twice.iloc[0]!r} occurs more than once, last in row {twice.index[-1] + 1}")
    values = _zero_or_one(table, (label, *names))
    present = values[:, 1:]
    phrases = [phrase.format(name) for name in names]
    slots = [tuple(p if c else "" for p, c in zip(phrases, row)) for row in present]
    return Examples(ids, slots, names, present.astype(np.int8), values[:, 0].astype(np.int32))


def _zero_or_one(table: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    values = table[list(names)].apply(pd.to_numeric, errors="coerce").to_numpy()
    row, column = np.nonzero(~np.isin(values, (0, 1)))
    if len(row):
        found = table[names[column[0]]].astype(object).iloc[row[0]]
        raise InputError(f"row {row[0] + 1}, column {names[column[0]]!r} holds {found!r}, not 0 or 1")
    return values
