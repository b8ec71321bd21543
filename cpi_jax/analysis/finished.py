"""Results that are there already: a study that is asked for again, with nothing changed, is not evaluated again.

The statistics of a finished study take longer to trace than its tables take to read. results.json says of what the files
beside it are the results, and what is in them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cpi_jax.data.examples import Examples
from cpi_jax.files.json_files import seal_json, unseal_json
from cpi_jax.files.writing import write_atomically

_FILE = "results.json"
_CODE = {".py", ".j2", ".css", ".js"}
_NOT = {"images", "masks"}  # of the examples: what is said of images follows from their scores


def digest_of(examples: Examples, tables: Iterable[Mapping[str, np.ndarray]], *others: Any) -> str:
    """A hash of what results follow from.

    Args:
      examples: the data.
      tables: scores by name.
      *others: what else they follow from, told apart by its `repr`.
    """
    digest = hashlib.sha256(_own_code().encode() + repr(others).encode())
    for field in dataclasses.fields(examples):
        if field.name not in _NOT:
            digest.update(field.name.encode())
            _add(digest, getattr(examples, field.name))
    for table in tables:
        _add(digest, table)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, content in value.items():
            digest.update(repr(name).encode())
            _add(digest, content)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    else:
        digest.update(repr(np.asarray(value, object).tolist() if isinstance(value, np.ndarray) else value).encode())


def _own_code() -> str:
    """A hash of this package, the page's templates included, and JAX's version."""
    files = sorted(file for file in Path(__file__).parents[1].rglob("*") if file.suffix in _CODE)
    return hashlib.sha256(jax.__version__.encode() + b"".join(file.read_bytes() for file in files)).hexdigest()


def are_there(folder: Path, digest: str) -> bool:
    """Whether a folder holds the results with this digest, as they were written."""
    record = _read(folder)
    return record is not None and record["of"] == digest and record["files"] == _contents(folder, record["files"])


def remember(folder: Path, digest: str, names: Iterable[str]) -> None:
    """Notes of what the named files in a folder are the results."""
    write_atomically(folder / _FILE, seal_json({"of": digest, "files": _contents(folder, names)}))


def is_signed(folder: Path) -> bool:
    """Whether the files in a folder are those that were written with its results, unchanged."""
    record = _read(folder)
    return record is not None and record["files"] == _contents(folder, record["files"])


def is_there(folder: Path) -> bool:
    """Whether a folder has a note of its results, sound or not."""
    return (folder / _FILE).is_file()


def describe_changed(folder: Path) -> str | None:
    """Which of the files that a folder's note names is another, or gone; None where none is."""
    if (record := _read(folder)) is None:
        return f"{_FILE} was damaged"
    contents = _contents(folder, record["files"])
    wrong = [name for name, content in record["files"].items() if contents.get(name) != content]
    return f"{wrong[0]} was {'changed' if wrong[0] in contents else 'removed'}" if wrong else None


def forget(folder: Path) -> None:
    """Takes away the note of results that others have taken the place of."""
    (folder / _FILE).unlink(missing_ok=True)


def remember_again(folder: Path) -> None:
    """Notes that the named files were changed, and are of the same results still; only after `is_signed`."""
    if (record := _read(folder)) is not None:
        remember(folder, record["of"], record["files"])


def _read(folder: Path) -> dict[str, Any] | None:
    """The note of what results there are; None where there is none yet, or a damaged one, which is written anew."""
    try:
        record = unseal_json((folder / _FILE).read_bytes())
        return record if isinstance(record["files"], dict) and isinstance(record["of"], str) else None
    except (OSError, ValueError, KeyError):
        return None


def _contents(folder: Path, names: Iterable[str]) -> dict[str, str]:
    there = [name for name in sorted(names) if (folder / name).is_file()]
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in there}
