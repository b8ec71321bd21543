"""What a study keeps: score tables, variants, a few images, and what the study is; in a folder or under gs://.

The score tables are zarr v3 arrays [draw, variant, output of the scorer] with checksummed chunks; one chunk of each is
one work unit. A row that was never written reads as NaN, which no score can be: the chunks themselves say what is done.
The variants are parts that are never changed once written; a study that is extended appends a part and rows.

Several workers write to one store without talking to each other: a chunk has one writer, a part goes to whoever writes
it first, and everything else that they write is the same.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorstore as ts
from absl import logging
from PIL import Image

from cpi_jax.errors import InputError
from cpi_jax.files.location import find_location, require_writable
from cpi_jax.plan.hashes import find_codes

_PARTS = "variants.parquet/"


class Store:
    """The folder of one study.

    Args:
      location: a folder, made where missing, or gs://bucket/path.
      readonly: whether the study is only looked at: nothing is claimed, appended or made larger.

    Raises:
      InputError: for a location that cannot be meant (`find_location`), or cannot be written to.
    """

    def __init__(self, location: str | Path, *, readonly: bool = False):
        self.location = find_location(location)
        self.remote = self.location.startswith("gs://")
        self.readonly = readonly
        if not self.remote and not readonly:
            require_writable(self.location)
        with _writing(self.location):
            self._files = ts.KvStore.open(self._kvstore("")).result()
        self._tables: dict[str, ts.TensorStore] = {}
        self._parts: list[pa.Table] = []

    def _kvstore(self, name: str) -> dict[str, str]:
        if not self.remote:
            return {"driver": "file", "path": os.path.join(Path(self.location).absolute(), name)}
        bucket, _, path = self.location.removeprefix("gs://").partition("/")
        return {"driver": "gcs", "bucket": bucket, "path": f"{path}/{name}" if path else name}

    # Small files

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        found = self._files.read(name).result()
        return found.value if found.state == "value" else None

    def read_json(self, name: str, kind: type = dict) -> Any:
        """The content of a JSON file; None where there is none.

        Raises:
          InputError: where it is damaged or holds something else than `kind`.
        """
        content = self.read(name)
        return None if content is None else self._parse(name, content, kind)

    def _parse(self, name: str, content: bytes, kind: type = dict) -> Any:
        try:
            held = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._damaged(name, error) from None
        if not isinstance(held, kind):
            raise self._damaged(name, f"it holds {_short(held)}")
        return held

    def _damaged(self, name: str, reason: Any) -> InputError:
        line = str(reason).strip().split("\n")[0]
        return InputError(
            f"{name} in {self.location} is damaged ({line}): restore it from a copy, or begin a new folder"
        )

    def write(self, name: str, content: bytes | str) -> None:
        """Writes a file so that it is either whole or not there."""
        with _writing(self.location):
            self._files.write(name, content.encode() if isinstance(content, str) else content).result()

    def write_first(self, name: str, content: bytes | str) -> bytes:
        """Writes a file unless it is there already, and returns what is there then."""
        found = self._files.read(name).result()
        if found.state == "value":
            return found.value
        with _writing(self.location):
            content = content.encode() if isinstance(content, str) else content
            self._files.write(name, content, if_equal=found.stamp.generation).result()
        return self.read(name)

    def names(self, prefix: str) -> list[str]:
        """Names of the files that begin with a prefix, in order."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self._files.list(ts.KvStore.KeyRange(prefix, end)).result()
        return sorted(name.decode() for name in found)

    # What the study is

    def claim(self, identity: Mapping[str, Any], *, replace: bool = False) -> None:
        """Marks the folder as this study's, or checks that it is.

        Args:
          identity: fields that decide every score, JSON values by name.
          replace: whether another study of which nothing was scored gives way.

        Raises:
          InputError: where the folder holds another study; names the fields that differ.
        """
        mine = json.loads(json.dumps(identity))
        if self.readonly:
            held = self.read_json("study.json") or mine
        else:
            there = self.read_json("study.json")
            if replace and there is not None and there != mine and not self.units_done():
                for name in (*self.names("scores.zarr/"), *self.names(_PARTS), "study.json"):  # its name goes last
                    self._files.write(name, None).result()
            held = self._parse("study.json", self.write_first("study.json", json.dumps(mine, indent=2)))
        differ = [k for k in sorted(held.keys() | mine.keys()) if held.get(k) != mine.get(k)]
        if differ:
            what = "; ".join(f"{k} is {_short(held.get(k))} there and {_short(mine.get(k))} here" for k in differ[:4])
            raise InputError(f"{self.location} holds another study: {what}. Choose another --workdir")

    def variants(self) -> pa.Table:
        """The variants, row by row as in the score tables: example_id, feature, value, caption, code."""
        for name in self.names(_PARTS)[len(self._parts) :]:
            try:
                self._parts.append(pq.read_table(io.BytesIO(self.read(name))))
            except (pa.ArrowException, OSError) as error:
                raise self._damaged(name, error) from None
        return pa.concat_tables(self._parts, promote_options="default") if self._parts else pa.table({})

    def place(self, codes: np.ndarray, describe: Callable[[np.ndarray], pa.Table]) -> np.ndarray:
        """Rows of the score tables that belong to variants; those that the store does not know yet are appended as a part.

        Args:
          codes: of the variants, uint64 [V].
          describe: the table of some of them, by index.

        Returns:
          int64 [V]; -1 for those that a readonly store does not know.

        Raises:
          InputError: where the examples' ids are of another kind than those in the store.
        """
        while True:
            known = self.variants()
            have = np.asarray(known["code"]) if known.num_rows else np.empty(0, np.uint64)
            rows = find_codes(codes, have)
            new = np.flatnonzero(rows < 0)
            if not len(new) or self.readonly:
                return rows
            part = describe(new).append_column("code", pa.array(codes[new]))
            if known.num_rows and part.schema != known.schema:
                kinds = [table.schema.field(0).type for table in (known, part)]
                raise InputError(
                    f"{self.location} holds another study: example ids are {kinds[0]} there and {kinds[1]} here"
                )
            buffer = io.BytesIO()
            pq.write_table(part, buffer)
            self.write_first(f"{_PARTS}part-{len(self._parts):05d}.parquet", buffer.getvalue())

    # Score tables

    def table_shape(self, scorer: str) -> tuple[tuple[int, int, int], int] | None:
        """Draws, variants and outputs of a table, and the rows of a unit; None where there is no such table.

        Raises:
          InputError: where its metadata is damaged.
        """
        name = f"scores.zarr/{scorer}/zarr.json"
        if (held := self.read_json(name)) is None:
            return None
        try:
            draws, variants, outputs = map(int, held["shape"])
            return (draws, variants, outputs), int(held["chunk_grid"]["configuration"]["chunk_shape"][1])
        except (LookupError, TypeError, ValueError) as error:
            raise self._damaged(name, f"{type(error).__name__}: {error}") from None

    def open_tables(self, outputs: Mapping[str, int], num_draws: int, num_variants: int, unit_size: int) -> None:
        """Opens or creates one table per scorer; a table grows when more draws or variants are asked for.

        Args:
          outputs: columns of each table, by scorer name.
          num_draws: D.
          num_variants: V.
          unit_size: rows of a chunk.
        """
        if not self.readonly:
            self.write_first(
                "scores.zarr/zarr.json", json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})
            )
        for name, columns in outputs.items():
            spec = {
                "driver": "zarr3",
                "kvstore": self._kvstore(f"scores.zarr/{name}/"),
                "metadata": {
                    "data_type": "float32",
                    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, unit_size, columns]}},
                    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
                    "fill_value": "NaN",
                    "dimension_names": ["draw", "variant", f"{name}_output"],
                    "shape": [num_draws, num_variants, columns],
                },
            }
            held = self.table_shape(name)
            if held is None and self.readonly:
                continue
            if held is not None:
                spec = {key: spec[key] for key in ("driver", "kvstore")}
            with _writing(self.location):
                table = ts.open(spec, open=True, create=held is None).result()
                if not self.readonly and (table.shape[0] < num_draws or table.shape[1] < num_variants):
                    # A dimension that another worker made larger in between stays so.
                    larger = [n if n > size else None for n, size in zip((num_draws, num_variants), table.shape)]
                    table = table.resize(exclusive_max=[*larger, None], expand_only=True).result()
            self._tables[name] = table

    def read_draw(self, draw: int) -> dict[str, np.ndarray]:
        """One draw's scores float32 [V, C] by scorer, NaN where a row is not done or its unit's checksum fails.

        A unit whose checksum fails is reported, and counts as not done.
        """
        return {
            name: _read_sound(f"{name}'s draw {draw}", table[draw])
            if draw < table.shape[0]
            else np.full(table.shape[1:], np.nan, np.float32)
            for name, table in self._tables.items()
        }

    def read_scores(self, num_draws: int) -> dict[str, np.ndarray]:
        """Score tables float32 [D, V, C] by scorer, NaN as in `read_draw`."""
        draws = [self.read_draw(draw) for draw in range(num_draws)]
        return {name: np.stack([draw[name] for draw in draws]) for name in self._tables}

    def write_unit(self, draw: int, start: int, scores: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """Begins to write one unit of every table, each chunk atomically.

        Args:
          draw: its draw.
          start: its first row, a multiple of the unit size.
          scores: [unit, C] by scorer.

        Returns:
          A function that waits until all is written.

        Raises:
          InputError: by that function: where the disk is full or cannot be written to.
        """
        stop = start + len(next(iter(scores.values())))
        writes = [self._tables[name][draw, start:stop].write(values) for name, values in scores.items()]

        def wait():
            with _writing(self.location):
                for write in writes:
                    write.result()

        return wait

    def units_done(self) -> dict[int, set[int]]:
        """Units of each draw of which every table has a chunk, by draw; read from the names of the chunks alone."""
        tables: dict[str, set[tuple[int, int]]] = {}
        for name in self.names("scores.zarr/"):
            if chunk := re.fullmatch(r"scores\.zarr/([^/]+)/c/(\d+)/(\d+)/0", name):
                tables.setdefault(chunk[1], set()).add((int(chunk[2]), int(chunk[3])))
        done: dict[int, set[int]] = {}
        for draw, unit in set.intersection(*tables.values()) if tables else ():
            done.setdefault(draw, set()).add(unit)
        return done

    @contextmanager
    def results(self) -> Iterator[Path]:
        """The folder for results: the store's own, or a copy of what reports read that is put under gs:// at the end."""
        if not self.remote:
            yield Path(self.location)
            return
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            for name in (*self.names(_PARTS), *self.names("images/"), "provenance.json"):
                if (content := self.read(name)) is not None:
                    (here / name).parent.mkdir(parents=True, exist_ok=True)
                    (here / name).write_bytes(content)
            before = {path for path in here.rglob("*") if path.parent != here}
            yield here
            for path in set(here.rglob("*")) - before:
                if path.is_file():
                    self.write(str(path.relative_to(here)), path.read_bytes())

    def write_image(self, name: str, image: np.ndarray, kind: str = "png") -> None:
        """Writes one uint8 image [H, W, 3] as images/<name>.<kind>."""
        self.write(f"images/{name}.{kind}", encode_image(image, kind))


def encode_image(image: np.ndarray, kind: str) -> bytes:
    """A uint8 image [H, W, 3] as the bytes of a PNG or JPEG file."""
    buffer = io.BytesIO()
    options = {"quality": 95} if kind == "jpeg" else {}
    Image.fromarray(np.asarray(image)).save(buffer, kind.upper(), **options)
    return buffer.getvalue()


@contextmanager
def _writing(location: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        if "No space left" in str(error):
            raise InputError(
                f"no space is left on the disk of {location}; what is done is kept: make space and run the same command"
            ) from error
        if any(sign in str(error) for sign in ("PERMISSION_DENIED", "UNAUTHENTICATED", "Permission denied")):
            raise InputError(f"cannot write to {location}: {error}") from error
        raise


def _read_sound(name: str, table: ts.TensorStore) -> np.ndarray:
    """A table's content, float32 [V, C]; damaged chunks read as NaN, with a warning."""
    try:
        return np.array(table.read().result())
    except ValueError as error:  # a damaged chunk somewhere: read them one by one
        if not _is_damage(error):
            raise
        out = np.full(table.shape, np.nan, np.float32)
        unit, damaged = table.chunk_layout.read_chunk.shape[0], []
        for start in range(0, table.shape[0], unit):
            rows = slice(start, min(start + unit, table.shape[0]))
            try:
                out[rows] = table[rows].read().result()
            except ValueError as error:
                if not _is_damage(error):
                    raise
                damaged.append(start // unit)
        logging.warning("%d damaged units of the %s count as not done: %s", len(damaged), name, _few(damaged))
        return out


def _is_damage(error: ValueError) -> bool:
    return "DATA_LOSS" in str(error) or "Not enough data" in str(error)


def _few(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
