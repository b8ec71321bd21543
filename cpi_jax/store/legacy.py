"""Folders of the format before: their scores are read once as they are, and get commit records."""

from __future__ import annotations

import json

import numpy as np

from cpi_jax.errors import InputError
from cpi_jax.store.claim import STUDY, is_legacy, write_claim
from cpi_jax.store.commits import hash_of, make_entry, write_commit
from cpi_jax.store.files import Files, with_digest
from cpi_jax.store.identity import name_hash
from cpi_jax.store.locks import hold
from cpi_jax.store.rows import Rows
from cpi_jax.store.tables import Table, read_shape

_SUFFIX = name_hash("")


def convert(files: Files) -> None:
    """Gives a folder of the format before its commit records; any other is left as it is.

    The codes of its captions are in the parts of their table, and what is done in its chunks, whose checksums hold. One
    that is stopped in between is converted again: study.json is written last.

    Raises:
      InputError: where it is readonly, or damaged so that it cannot be known what its scores are of.
    """
    if not is_legacy(files):
        return
    if files.readonly:
        raise InputError(
            f"{files.location} was made by an earlier version of cpi_jax: `python launch/verify.py --workdir="
            f"{files.location} --mend` converts it"
        )
    with hold(files, "conversion", wait=True):
        if is_legacy(files):
            _convert(files)


def _convert(files: Files) -> None:
    there = files.read_json(STUDY)
    of_scorers = {key: there.pop(key) for key in list(there) if key.endswith(_SUFFIX) and key != name_hash("generator")}
    identity, unit_size = there, there.get("unit_size")
    if type(unit_size) is not int or unit_size < 1:
        raise files.damaged(STUDY, f"unit_size is {json.dumps(unit_size)}")
    rows = Rows(files)
    _require_parts(files, rows)
    scorers, num_units = {}, 0
    for key, scorer in of_scorers.items():
        name = key.removesuffix(_SUFFIX)
        if (shape := read_shape(files, name)) is None:
            continue
        scorers[name] = scorer
        table = Table(files, name, shape[2], shape[:2], unit_size)
        for draw in range(shape[0]):
            values = table.read(draw, len(rows.codes))
            if values is None:
                continue
            done = np.asarray(~np.isnan(values).any(-1))
            for start in range(0, len(rows.codes), unit_size):
                unit = slice(start, start + unit_size)
                if done[unit].any():
                    entry = make_entry(scorer, rows.codes[unit], values[unit])
                    write_commit(files, hash_of(identity), draw, start // unit_size, {name: entry})
                    num_units += 1
    for name in files.names("real_scores/"):
        files.write(name, with_digest(files.read(name) or b""))
    decisions = [*files.names("early_stopping/"), *files.names("early_end/")]  # which is what it was called once
    files.remove([name for name in decisions if not name.endswith("current.json")])
    write_claim(files, identity, scorers)
    files.say_once(f"{files.location} was made by an earlier version: {num_units:,} units of its tables were converted")


def _require_parts(files: Files, rows: Rows) -> None:
    """Every part of the captions must be readable: nothing else says what a row is of."""
    rows.load()
    if (parts := files.names("variants.parquet/")) and len(parts) > rows.num_parts:
        raise files.damaged(parts[-1], "it cannot be read")
