"""Examples from an image folder with a table beside the images, as Hugging Face's ImageFolder has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles
from cpi_jax.data.table import first_rows, read_frame
from cpi_jax.errors import InputError, require_known

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def read_folder(
    path: str | Path, *, image_size: int = 0, sep: str = ",", num_examples: int = 0, **columns: Any
) -> Examples:
    """Reads examples whose images lie beside metadata.csv, .jsonl or .parquet with a column `file_name`.

    Args:
      path: the folder.
      image_size: pixels of a side; 0 for the size that the generator makes.
      sep: what parts the cells of metadata.csv: ",", ";" or a tab.
      num_examples: the first so many; 0 for all.
      **columns: what the other columns mean, see `cpi_jax.data.columns.make_examples`.

    Raises:
      InputError: for a folder without such a table, an image that is not there, or columns that cannot be used.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> folder = Path(tempfile.mkdtemp())
      >>> for name in ("a.png", "b.png"):
      ...     Image.new("RGB", (8, 8)).save(folder / name)
      >>> _ = (folder / "metadata.csv").write_text("file_name,indoors,dog\\na.png,1,0\\nb.png,0,1\\n")
      >>> examples = cpi_jax.read_folder(folder, label="indoors")
      >>> examples.slots, len(examples.images)
      ([('',), ('1 dog',)], 2)
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"there is no folder {path}; data.path must name a folder of images")
    table = next((path / name for name in NAMES if (path / name).is_file()), None)
    if table is None:
        raise InputError(
            f"{path} has no {' or '.join(NAMES)}: concepts and labels must stand in a table with a column file_name, and "
            "folders named after classes say nothing of concepts"
        )
    frame = _read_lines(table) if table.suffix == ".jsonl" else read_frame(table, sep=sep)
    require_known("file_name", "column", tuple(map(str, frame.columns)))
    frame, limit = first_rows(frame, num_examples)
    images = ImageFiles(frame.file_name.tolist(), root=path, size=image_size)
    return make_examples(frame, images=images, image="file_name", **columns).after(*limit)


def _read_lines(path: Path) -> pd.DataFrame:
    """A file of JSON objects, one a line; what they hold keeps its type."""
    rows = []
    with path.open("rb") as lines:
        for n, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=_unique)
            except ValueError as error:
                raise InputError(f"line {n} of {path} cannot be read as JSON: {error}") from None
            if not isinstance(row, dict):
                raise InputError(f'line {n} of {path} is no JSON object, such as {{"file_name": "a.jpg", "dog": 1}}')
            rows.append(row)
    return pd.DataFrame(rows, dtype=object)  # else whole numbers beside missing ones would become floating-point ones


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; Python would keep the last of two values of one name."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"it has two values of {next(name for name in names if names.count(name) > 1)!r}")
    return dict(pairs)
