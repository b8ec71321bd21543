"""Commit records: what each unit's scores are of, written after them. Without a matching record nothing is done.

commits/DRAW/UNIT is a JSON object: the hash of the study's identity, draw, unit, and for each table the scorer's hash, the
number of rows, the hash of their codes and that of their scores. A score can so never be read as another caption's, another
study's or another classifier's, and a chunk that was lost, exchanged or restored from an old copy is not done.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from cpi_jax.files.json_files import parse_json
from cpi_jax.store.files import Files

FOLDER = "commits/"


def hash_of(content: np.ndarray | Mapping[str, Any]) -> str:
    """A hash of codes, of scores, or of a study's identity."""
    if isinstance(content, np.ndarray):
        data = content.astype(content.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
    else:
        data = json.dumps(content, sort_keys=True).encode()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def make_entry(scorer: str, codes: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """What a record says of one table's rows: hash of the scorer, codes uint64 [U], values float32 [U, C]."""
    return {"scorer": scorer, "rows": len(codes), "codes": hash_of(codes), "scores": hash_of(values)}


def rows_proven(entry: Any, scorer: str, codes: np.ndarray, values: np.ndarray | None) -> int:
    """How many of a unit's first rows an entry proves to be done, whatever it holds.

    Args:
      entry: of a record.
      scorer: hash of the one whose scores the table must hold.
      codes: of the unit's rows, uint64 [U].
      values: that are on disk, float32 [U, C].
    """
    if values is None or not isinstance(entry, dict) or entry.get("scorer") != scorer:
        return 0
    rows = entry.get("rows")
    if type(rows) is not int or not 0 < rows <= len(codes):
        return 0
    sound = entry.get("codes") == hash_of(codes[:rows]) and entry.get("scores") == hash_of(values[:rows])
    return rows if sound else 0


def last_row(records: Mapping[int, Any], unit_size: int) -> int:
    """Behind which row the rows that a draw's records name end; 0 where they name none."""
    ends = [0]
    for unit, record in records.items():
        rows = [entry.get("rows") for entry in record["tables"].values() if isinstance(entry, dict)]
        ends += [unit * unit_size + n for n in rows if type(n) is int]
    return max(ends)


def commit_name(draw: int, unit: int) -> str:
    """The file of a unit's record."""
    return f"{FOLDER}{draw}/{unit}"


def read_commits(files: Files, draw: int) -> dict[int, dict[str, Any]]:
    """Records of a draw by unit; what is no record is left out."""
    return {unit: record for (_, unit), record in _read(files, f"{FOLDER}{draw}/").items()}


def read_all_commits(files: Files) -> dict[tuple[int, int], dict[str, Any]]:
    """Records of all draws, by draw and unit."""
    return _read(files, FOLDER)


def committed(files: Files) -> set[tuple[int, int]]:
    """Draw and unit of every record that there is, from their names alone."""
    return set(_places(files, FOLDER))


def write_commit(files: Files, study: str, draw: int, unit: int, entries: Mapping[str, Any]) -> None:
    """Writes a unit's record; what it says of other tables stays.

    Args:
      files: of the study.
      study: hash of its identity.
      draw: of the unit.
      unit: its number.
      entries: of `make_entry`, by table.
    """
    content = files.read(commit_name(draw, unit))
    known = None if content is None else _parse(content, draw, unit)
    tables = known["tables"] if known is not None and known["study"] == study else {}
    record = {"study": study, "draw": draw, "unit": unit, "tables": {**tables, **entries}}
    files.write(commit_name(draw, unit), json.dumps(record))


def forget_table(files: Files, name: str) -> None:
    """Takes a table out of every record."""
    for place, record in read_all_commits(files).items():
        if record["tables"].pop(name, None) is not None:
            files.write(commit_name(*place), json.dumps(record))


def _read(files: Files, prefix: str) -> dict[tuple[int, int], dict[str, Any]]:
    places = _places(files, prefix)
    contents = files.read_all([commit_name(*place) for place in places])
    records = {place: _parse(content, *place) for place, content in zip(places, contents) if content is not None}
    return {place: record for place, record in records.items() if record is not None}


def _places(files: Files, prefix: str) -> list[tuple[int, int]]:
    matches = (re.fullmatch(rf"{FOLDER}(\d+)/(\d+)", name) for name in files.names(prefix))
    return [(int(match[1]), int(match[2])) for match in matches if match]


def _parse(content: bytes, draw: int, unit: int) -> dict[str, Any] | None:
    try:
        record = parse_json(content)
    except ValueError:
        return None
    if record.get("draw") != draw or record.get("unit") != unit:  # another unit's
        return None
    return record if isinstance(record.get("tables"), dict) and isinstance(record.get("study"), str) else None
