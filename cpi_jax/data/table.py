"""Examples from a table: CSV or Parquet, one row an example; DEPICT's published captions are such a file."""

from __future__ import annotations

import collections
import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd

from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles
from cpi_jax.errors import InputError, require_known
from cpi_jax.ranges import check_numbers


def read_table(
    path: str | Path,
    *,
    image: str = "",
    image_root: str | Path = "",
    image_size: int = 0,
    encoding: str = "utf-8",
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
      num_examples: the first so many; 0 for all.
      **columns: what the columns mean, see `cpi_jax.data.columns.make_examples`.

    Raises:
      InputError: for a file that cannot be read, or columns that cannot be used; names the row.
    """
    path = Path(path)
    frame = read_frame(path, encoding)
    frame = first_rows(frame, num_examples)
    images = None
    if image:
        require_known(image, "column", tuple(map(str, frame.columns)))
        images = ImageFiles(frame[image].tolist(), root=image_root or path.parent, size=image_size)
    return make_examples(frame, images=images, image=image, **columns)


def first_rows(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """The first so many rows; 0 for all."""
    check_numbers(num_examples=count)
    return frame.head(count) if count else frame


def read_frame(path: Path, encoding: str = "utf-8") -> pd.DataFrame:
    """A CSV or Parquet file.

    Raises:
      InputError: for a file that is missing or cannot be read.
    """
    if not path.is_file():
        raise InputError(f"there is no table at {path}; data.path must name a CSV or Parquet file")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        content = path.read_bytes()
        text = content.decode(encoding).removeprefix("\ufeff")
        lines = csv.reader(io.StringIO(text))
        header, first = ([field.strip() for field in next(lines, [])] for _ in range(2))
        frame = pd.read_csv(io.StringIO(text), skipinitialspace=True, keep_default_na=False, na_values=[""])
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"line {line} of {path} is not {encoding} text: save it as UTF-8, or name its encoding"
        ) from None
    except (ValueError, LookupError, OSError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    if len(first) > len(header):  # pandas would take the first column for row names
        raise InputError(f"the rows of {path} have more fields than its header: give every column a name")
    twice = [name for name, count in collections.Counter(header).items() if count > 1 and name]
    if twice:
        raise InputError(f"{path} has two columns {twice[0]!r}: give each a name of its own")
    return frame.rename(columns=lambda name: name.strip())
