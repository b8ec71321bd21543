"""The score tables: zarr v3 arrays [draw, variant, output of the scorer] of float32, one chunk a work unit.

Chunks have checksums (crc32c); a row that was never written reads as NaN, which no score can be.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import tensorstore as ts

from cpi_jax.errors import InputError
from cpi_jax.files.json_files import parse_json
from cpi_jax.store.files import Files, writing
from cpi_jax.wording import counted

FOLDER = "scores.zarr/"
_GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}
_NO_DAMAGE = ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "Permission denied")


class Table:
    """One score table, which is made where it is missing, and only grows.

    Args:
      files: of the study.
      name: of the scorer.
      outputs: scores an image.
      shape: draws and variants that it must have at least.
      unit_size: rows of a chunk.

    Raises:
      InputError: where the metadata are damaged and the study is readonly; others are written again.
    """

    def __init__(self, files: Files, name: str, outputs: int, shape: tuple[int, int], unit_size: int):
        self._files, self._name, self._unit_size = files, name, unit_size
        self._table = self._open(_metadata(name, outputs, shape, unit_size))

    @property
    def num_draws(self) -> int:
        """Draws that it has room for."""
        return 0 if self._table is None else self._table.shape[0]

    def read(self, draw: int, num_rows: int) -> np.ndarray | None:
        """A draw's rows as they are on disk, float32 [V, C]; None where there are none. Damaged chunks read as NaN."""
        if self._table is None or draw >= self._table.shape[0]:
            return None
        table = self._table[draw]
        out = np.full((num_rows, table.shape[1]), np.nan, np.float32)
        last = min(num_rows, table.shape[0])
        try:
            out[:last] = table[:last].read().result()
        except ValueError as error:  # a damaged chunk somewhere: they are read one by one
            self._require_damage(error)
            units = range(0, last, self._unit_size)
            chunks = [table[start : min(start + self._unit_size, last)].read() for start in units]
            damaged = []
            for start, chunk in zip(units, chunks):
                try:
                    out[start : min(start + self._unit_size, last)] = chunk.result()
                except ValueError as error:
                    self._require_damage(error)
                    damaged.append(start // self._unit_size)
            self._files.say_once(
                f"{len(damaged)} damaged units of the {self._name}'s draw {draw} count as not done: {few(damaged)}"
            )
        return out

    def write(self, draw: int, start: int, values: np.ndarray) -> ts.WriteFutures:
        """Begins to write a unit's rows, its chunk atomically."""
        assert self._table is not None, "a readonly table that is not there is not written to"
        return self._table[draw, start : start + len(values)].write(values)

    def _open(self, wanted: dict[str, Any]) -> ts.TensorStore | None:
        name = f"{FOLDER}{self._name}/zarr.json"
        files = self._files
        if not files.readonly and _parsed(files.read(f"{FOLDER}zarr.json")) != _GROUP:
            files.write(f"{FOLDER}zarr.json", json.dumps(_GROUP))
        content = files.read(name)
        if content is None and files.readonly:
            return None
        if content is None:
            content = files.write_first(name, json.dumps(wanted))
        if reason := _unlike(content, wanted):
            if (there := _outputs_of(content, wanted)) is not None:
                raise InputError(
                    f"{files.location} holds another study: the {self._name} gives {counted(there, 'score')} an image "
                    f"there and {wanted['shape'][2]} here. Choose another --workdir"
                )
            if files.readonly:
                raise _damaged(files, name, reason)
            files.write(name, json.dumps(wanted))
            files.say_once(f"{name} in {files.location} was damaged ({reason}), and is written again")
        with writing(files.location):
            spec = {"driver": "zarr3", "kvstore": files.spec(f"{FOLDER}{self._name}/")}
            table = ts.open(spec, open=True, create=False).result()
            least = wanted["shape"][:2]
            if not files.readonly and any(size < n for n, size in zip(least, table.shape)):
                # A dimension that another worker made larger in between stays so.
                larger = [n if n > size else None for n, size in zip(least, table.shape)]
                table = table.resize(exclusive_max=[*larger, None], expand_only=True).result()
        return table

    def _require_damage(self, error: ValueError) -> None:
        if any(sign in str(error) for sign in _NO_DAMAGE):
            raise InputError(
                f"cannot read the {self._name}'s scores in {self._files.location}: {str(error).splitlines()[0]}"
            ) from None


def chunks(files: Files) -> dict[str, set[tuple[int, int]]]:
    """Draw and unit of every chunk that there is, by table; read from their names alone."""
    out: dict[str, set[tuple[int, int]]] = {}
    for name in files.names(FOLDER):
        if chunk := re.fullmatch(r"scores\.zarr/([^/]+)/c/(\d+)/(\d+)/0", name):
            out.setdefault(chunk[1], set()).add((int(chunk[2]), int(chunk[3])))
    return out


def read_shape(files: Files, name: str) -> tuple[int, int, int] | None:
    """Draws, variants and outputs of a table, as its metadata say; None where there is no such table.

    Raises:
      InputError: where they are damaged.
    """
    file = f"{FOLDER}{name}/zarr.json"
    if (content := files.read(file)) is None:
        return None
    try:
        draws, variants, outputs = map(int, parse_json(content)["shape"])
    except (LookupError, TypeError, ValueError) as error:
        raise _damaged(files, file, f"{type(error).__name__}: {error}") from None
    return draws, variants, outputs


def _damaged(files: Files, name: str, reason: str) -> InputError:
    return InputError(
        f"{name} in {files.location} is damaged ({reason}): `python launch/verify.py --workdir={files.location} --mend` "
        "writes it again"
    )


def few(numbers: list[int]) -> str:
    """Numbers as text, the first ten of them."""
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")


def _metadata(name: str, outputs: int, shape: tuple[int, int], unit_size: int) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "data_type": "float32",
        "shape": [*shape, outputs],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, unit_size, outputs]}},
        "chunk_key_encoding": {"name": "default"},  # as TensorStore writes it
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "fill_value": "NaN",
        "dimension_names": ["draw", "variant", f"{name}_output"],
    }


def _unlike(content: bytes, wanted: dict[str, Any]) -> str:
    """In what a table's metadata differ from those wanted, beside a larger shape; empty where in nothing."""
    try:
        there = parse_json(content)
    except ValueError as error:
        return str(error)
    if extra := there.keys() - wanted.keys() - {"attributes"}:
        return f"it has a field {min(extra)}"
    if different := [name for name in wanted if name != "shape" and there.get(name) != wanted[name]]:
        return f"{different[0]} is {json.dumps(there.get(different[0]))}"
    shape = there["shape"] if isinstance(there.get("shape"), list) else []
    if (
        len(shape) != 3
        or any(type(n) is not int or not 0 <= n < 2**31 for n in shape)
        or shape[2] != wanted["shape"][2]
    ):
        return f"shape is {json.dumps(there.get('shape'))}"
    return ""


def _outputs_of(content: bytes, wanted: dict[str, Any]) -> int | None:
    """How many outputs a table has whose metadata differ in nothing else from those wanted; None where that is not so."""
    metadata = _parsed(content)
    try:
        outputs = metadata["shape"][2]
    except (LookupError, TypeError):
        return None
    if type(outputs) is not int or not 0 < outputs < 2**31 or outputs == wanted["shape"][2]:
        return None
    grid = {"chunk_shape": [*wanted["chunk_grid"]["configuration"]["chunk_shape"][:2], outputs]}
    same = {
        **wanted,
        "shape": [*wanted["shape"][:2], outputs],
        "chunk_grid": {"name": "regular", "configuration": grid},
    }
    return outputs if not _unlike(content, same) else None


def _parsed(content: bytes | None) -> Any:
    try:
        return None if content is None else parse_json(content)
    except ValueError:
        return None
