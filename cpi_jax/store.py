"""What a study keeps on disk: score tables, variants, a few images, and what the study is.

The score tables are zarr v3 arrays [draw, variant, output of the scorer] with checksummed chunks; one chunk of each is
one work unit. A chunk that was never written reads as NaN, which no score can be: the chunks themselves say what is done.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorstore as ts
import zarr
from PIL import Image

from cpi_jax.errors import InputError


class Store:
    """The folder of one study.

    Args:
      workdir: the folder; made where missing.

    Raises:
      InputError: where it cannot be written to.
    """

    def __init__(self, workdir: str | Path):
        self.workdir = require_writable(workdir)
        self._tables: dict[str, ts.TensorStore] = {}

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Marks the folder as this study's, or checks that it is.

        Args:
          identity: fields that decide every score, JSON values by dotted name.

        Raises:
          InputError: where the folder holds another study; names the fields that differ.
        """
        path = self.workdir / "study.json"
        identity = json.loads(json.dumps(identity))
        if not path.exists() or not any((self.workdir / "scores.zarr").glob("*/c/*")):  # nothing was scored yet
            shutil.rmtree(self.workdir / "scores.zarr", ignore_errors=True)
            write_atomically(path, json.dumps(identity, indent=2))
            return
        held = json.loads(path.read_text())
        differ = [k for k in sorted(held.keys() | identity.keys()) if held.get(k) != identity.get(k)]
        if differ:
            what = "; ".join(
                f"{k} is {_short(held.get(k))} there and {_short(identity.get(k))} here" for k in differ[:4]
            )
            raise InputError(f"{self.workdir} holds another study: {what}. Choose another --workdir")

    def open_tables(self, outputs: Mapping[str, int], num_draws: int, num_variants: int, unit_size: int) -> None:
        """Opens or creates one table per scorer; a table grows when more draws are asked for.

        Args:
          outputs: columns of each table, by scorer name.
          num_draws: D.
          num_variants: V.
          unit_size: rows of a chunk.
        """
        root = self.workdir / "scores.zarr"
        zarr.open_group(root, mode="a", zarr_format=3)
        for name, columns in outputs.items():
            spec = {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": str(root / name)},
                "metadata": {
                    "data_type": "float32",
                    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, unit_size, columns]}},
                    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
                    "fill_value": "NaN",
                    "dimension_names": ["draw", "variant", f"{name}_output"],
                },
            }
            if (root / name / "zarr.json").exists():
                table = ts.open({k: spec[k] for k in ("driver", "kvstore")}, open=True).result()
                if table.shape[0] < num_draws:
                    table = table.resize(exclusive_max=[num_draws, *table.shape[1:]]).result()
            else:
                spec["metadata"]["shape"] = [num_draws, num_variants, columns]
                table = ts.open(spec, create=True).result()
            self._tables[name] = table

    def read_scores(self, num_draws: int) -> dict[str, np.ndarray]:
        """Score tables float32 [D, V, C] by scorer, NaN where a unit is not done or its checksum fails."""
        return {name: _read_sound(table[:num_draws]) for name, table in self._tables.items()}

    def write_unit(self, draw: int, start: int, scores: Mapping[str, np.ndarray]) -> None:
        """Writes one unit of every table, each chunk atomically.

        Args:
          draw: its draw.
          start: its first row, a multiple of the unit size.
          scores: [unit, C] by scorer.
        """
        stop = start + len(next(iter(scores.values())))
        writes = [self._tables[name][draw, start:stop].write(values) for name, values in scores.items()]
        for write in writes:
            write.result()
        with (self.workdir / "units.log").open("a") as log:
            log.write(f"{draw} {start} {stop - start}\n")

    def images_generated(self) -> int:
        """Images generated for this study so far, over all runs; those of a unit that was cut off are not counted."""
        path = self.workdir / "units.log"
        return sum(int(line.split()[2]) for line in path.read_text().splitlines()) if path.exists() else 0

    def write_variants(self, columns: Mapping[str, Any]) -> None:
        """Writes the table of variants, one row per row of the score tables."""
        folder = self.workdir / "variants.parquet"
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.table(dict(columns)), folder / "part-00000.parquet.tmp")
        os.replace(folder / "part-00000.parquet.tmp", folder / "part-00000.parquet")

    def write_image(self, name: str, image: np.ndarray) -> None:
        """Writes one uint8 image [H, W, 3] as images/<name>.png."""
        (self.workdir / "images").mkdir(exist_ok=True)
        Image.fromarray(np.asarray(image)).save(self.workdir / "images" / f"{name}.png")


def require_writable(folder: str | Path) -> Path:
    """Makes the folder where it is missing.

    Raises:
      InputError: where nothing can be written there.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise InputError(f"cannot write to the folder {folder}: {error.strerror}") from None
    return folder


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that it is either whole or not there."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def _read_sound(table: ts.TensorStore) -> np.ndarray:
    try:
        return np.array(table.read().result())
    except ValueError:  # a damaged chunk somewhere: read them one by one
        out = np.full(table.shape, np.nan, np.float32)
        unit = table.chunk_layout.read_chunk.shape[1]
        for draw in range(table.shape[0]):
            for start in range(0, table.shape[1], unit):
                try:
                    out[draw, start : start + unit] = table[draw, start : start + unit].read().result()
                except ValueError:
                    continue
        return out


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
