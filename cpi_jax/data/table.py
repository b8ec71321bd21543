"""Examples from a table: CSV or Parquet, one row an example; DEPICT's published captions are such a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd

from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles
from cpi_jax.errors import InputError, require_known


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
    frame = frame.head(num_examples) if num_examples else frame
    images = None
    if image:
        require_known(image, "column", tuple(map(str, frame.columns)))
        images = ImageFiles(frame[image].tolist(), root=image_root or path.parent, size=image_size)
    return make_examples(frame, images=images, **columns)


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
        return pd.read_csv(io.StringIO(content.decode(encoding).removeprefix("\ufeff")))
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n")
        raise InputError(f"{path} is not {encoding} text (row {row}): save it as UTF-8, or say data.encoding") from None
    except (ValueError, LookupError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
