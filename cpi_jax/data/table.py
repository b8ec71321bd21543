"""Examples from a table: CSV or Parquet, one row an example; DEPICT's published captions are such a file."""

from __future__ import annotations

import collections
import csv
import io
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles
from cpi_jax.errors import InputError, require_known
from cpi_jax.validation.ranges import validate_numbers

_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def read_table(
    path: str | Path,
    *,
    image: str = "",
    image_root: str | Path = "",
    image_size: int = 0,
    encoding: str = "utf-8",
    sep: str = ",",
    num_examples: int = 0,
    **columns: Any,
) -> Examples:
    """Reads examples from a file of columns.

    Args:
      path: CSV or Parquet.
      image: column of the images' paths; empty where there are no images: then effective generation is not checked.
      image_root: folder that the paths start from; empty for the table's own.
      image_size: pixels of a side; 0 for the size that the generator makes.
      encoding: of a CSV.
      sep: what parts the cells of a CSV: ",", ";" or a tab.
      num_examples: the first so many; 0 for all.
      **columns: what the columns mean, see `cpi_jax.data.columns.make_examples`.

    Raises:
      InputError: for a file that cannot be read, or columns that cannot be used; names the row.

    Example:
      >>> import tempfile
      >>> file = Path(tempfile.mkdtemp(), "scenes.csv")
      >>> _ = file.write_text("id,home,dog,ground\\n1,1,yes,grass\\n2,0,no,sand\\n3,1,no,grass\\n")
      >>> examples = cpi_jax.read_table(file, label="home")
      >>> examples.slots
      [('1 dog', 'grass'), ('', 'sand'), ('', 'grass')]
      >>> examples.labels.tolist(), examples.slot_names
      ([1, 0, 1], ('dog', 'ground'))
    """
    path = Path(path)
    frame = read_frame(path, encoding, sep)
    frame, limit = first_rows(frame, num_examples)
    images = None
    if image:
        require_known(image, "column", tuple(map(str, frame.columns)))
        images = ImageFiles(frame[image].tolist(), root=image_root or path.parent, size=image_size)
    return make_examples(frame, images=images, image=image, **columns).after(
        *limit, *_unread_images(frame, image_root or path.parent, image)
    )


def _unread_images(frame: pd.DataFrame, root: str | Path, image: str) -> list[str]:
    """A sentence on a column whose first cell names an image that is there, where no column of images is given."""
    if image or frame.empty:
        return []
    for name, cell in frame.iloc[0].items():
        if isinstance(cell, str) and Path(cell).suffix.lower() in _IMAGES and os.path.isfile(Path(root) / cell):
            return [f"column {str(name)!r} names images, which are not read: data.image={str(name)!r} reads them"]
    return []


def first_rows(table: pd.DataFrame | range, count: int) -> tuple[Any, tuple[str, ...]]:
    """The first so many rows, 0 for all; and a sentence on the others, where there are any."""
    validate_numbers(num_examples=count)
    if not count or count >= len(table):
        return table, ()
    return table[:count], (f"{len(table):,} rows, of which the first {count:,} are read (data.num_examples)",)


def read_frame(path: Path, encoding: str = "utf-8", sep: str = ",") -> pd.DataFrame:
    """A CSV, whose cells are texts, or a Parquet file, whose cells keep their types.

    Raises:
      InputError: for a file that is missing or cannot be read; names the line.
    """
    if not path.is_file():
        raise InputError(f"there is no table at {path}; data.path must name a CSV or Parquet file")
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path)
        content = path.read_bytes()
        return _read_csv(path, content.decode(encoding).removeprefix("\ufeff"), "\t" if sep == "\\t" else sep)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"line {line} of {path} is not {encoding} text: save it as UTF-8, or name its encoding"
        ) from None
    except InputError:
        raise
    except (ValueError, LookupError, OSError, csv.Error, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None


def _read_parquet(path: Path) -> pd.DataFrame:
    """Whole numbers stay what they are beside missing ones, and an index of pandas is a column where it has a name."""
    frame = pq.read_table(path).to_pandas(integer_object_nulls=True, ignore_metadata=True)
    return frame[[name for name in frame.columns if not name.startswith("__index_level_")]]


def _read_csv(path: Path, text: str, sep: str) -> pd.DataFrame:
    if len(sep) != 1:
        raise InputError(f"data.sep must be one character, such as ';' or '\\t' for a tab, not {sep!r}")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=sep, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    header = [field.strip() for field in next(lines, [])]
    if not any(header):
        raise InputError(f"{path} cannot be read as a table: it has no header")
    if len(header) == 1 and (other := next((c for c in ";\t|," if c in header[0]), "")):
        raise InputError(f"the header of {path} is one field, {header[0]!r}: say data.sep={other!r}")
    twice = [name for name, count in collections.Counter(header).items() if count > 1 and name]
    if twice:
        raise InputError(f"{path} has two columns {twice[0]!r}: give each a name of its own")
    try:
        for row in lines:
            if row and len(row) != len(header):
                what = "more" if len(row) > len(header) else "fewer"
                raise InputError(
                    f"line {lines.line_num} of {path} has {what} fields than its header ({len(row)} and {len(header)}): "
                    f"give every column a name and every row a cell for each, with quotes around a cell that holds {sep!r}"
                )
            rows += [row] if row else []
    except csv.Error as error:
        raise InputError(f"line {lines.line_num} of {path} cannot be read as a table's: {error}") from None
    names = [name or f"Unnamed: {k}" for k, name in enumerate(header)]
    return pd.DataFrame(rows, columns=names, dtype=object)
