"""Every file of a study, looked at: what is sound, and what is not. Nothing is written."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from cpi_jax.errors import InputError
from cpi_jax.files.json_files import parse_json, unseal_json
from cpi_jax.store.commits import commit_name, committed, read_all_commits
from cpi_jax.store.files import Files, without_digest
from cpi_jax.store.in_use import find_in_use
from cpi_jax.store.plan_scores import unscored
from cpi_jax.store.store import Store
from cpi_jax.store.tables import chunks
from cpi_jax.wording import counted


@dataclasses.dataclass(frozen=True)
class Report:
    """What `verify` has seen.

    Attributes:
      lines: what was looked at, and how it is.
      damage: files that are not sound, a sentence each.
      notes: of files that no number depends on.
    """

    lines: tuple[str, ...]
    damage: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether all that numbers depend on is."""
        return not self.damage

    def __str__(self) -> str:
        damage = [f"not sound: {sentence}" for sentence in self.damage]
        notes = [f"no number depends on it: {sentence}" for sentence in self.notes]
        return "\n".join([*self.lines, *damage, *notes, "sound" if self.sound else f"{len(damage)} not sound"])


def verify(location: str | Path) -> Report:
    """Holds every chunk, part and small file of a study against its hash and commit record.

    Raises:
      InputError: where there is no study.
    """
    files = Files(location, readonly=True)
    try:
        store = Store.open_existing(location)
    except InputError as error:
        return Report((), (str(error),), tuple(_notes(files)))
    if store is None:
        if not files.names("scores.zarr/"):
            raise InputError(f"{location} holds no study")
        return Report((), (f"study.json in {location} is lost",), tuple(_notes(files)))
    (draws, variants), damage = store.shape, []
    lines = [f"{location}: {counted(variants, 'caption')}, {counted(draws, 'draw')}, tables of {_names(store)}"]
    damage += [f"{name} is lost or damaged" for name in store.lost_captions()]
    damage += _lost_tables(files, store)
    damage += [f"{name} is lost or damaged" for name in store.lost_rows()]
    named = committed(files)  # first, since workers may write others meanwhile
    parsed = read_all_commits(files).keys()
    damage += [f"{commit_name(*place)} is damaged" for place in sorted(named - parsed)]
    in_use = find_in_use(store, store.num_outputs)
    for draw in range(max(store.units_done(), default=-1) + 1):
        proven = store.prove_draw(draw)
        for name, (_, units) in proven.items():
            if units:
                damage.append(
                    f"{counted(len(units), 'unit')} of the {name}'s draw {draw}: {', '.join(map(str, units))}"
                )
        scores = {name: proven[name][0] for name in in_use}
        lacking = unscored(scores) if scores else np.ones(variants, bool)
        done, total = int((~lacking).sum()), len(lacking)  # of which a running worker may have added some
        lines.append(f"draw {draw}: {done:,} of {total:,} images are proven by commit records")
    damage += [name for name in files.names("real_scores/") if without_digest(files.read(name) or b"") is None]
    damage += _unreadable(files, "early_stopping/", unseal_json, without="early_stopping/current.json")
    return Report(tuple(lines), tuple(damage), (*_notes(files), *_unrecorded(files)))


def _lost_tables(files: Files, store: Store) -> Iterator[str]:
    """Tables that records or chunks name, and that cannot be read."""
    named = {name for record in read_all_commits(files).values() for name in record["tables"]} | chunks(files).keys()
    for name in sorted(named - store.num_outputs.keys()):
        yield f"the table {name}: its scorers/{name} or scores.zarr/{name}/zarr.json is lost"


def _unrecorded(files: Files) -> Iterator[str]:
    """Chunks without a commit record, as a killed process or a lost folder of records leaves them."""
    there, done = chunks(files), committed(files)
    for name in sorted(there):
        if without := there[name] - done:
            yield f"{counted(len(without), 'unit')} of the {name} without a commit record, which count as not done"


def _notes(files: Files) -> Iterator[str]:
    for name in ("config.json", "provenance.json", "sources.json", "importance.json"):
        yield from _unreadable(files, name, parse_json)
    yield from (name for name in _unreadable(files, "workers/", parse_json) if name.endswith(".json"))
    yield from _unreadable(files, "images/variant_", _look_at)
    yield from _unreadable(files, "kept/", _list_tar)


def _unreadable(files: Files, prefix: str, read: Callable[[bytes], object], without: str = "") -> list[str]:
    out = []
    for name in files.names(prefix):
        try:
            if name != without:
                read(files.read(name) or b"")
        except (ValueError, OSError, SyntaxError, tarfile.TarError, EOFError):
            out.append(name)
    return out


def _look_at(content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as image:
        image.load()


def _list_tar(content: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.getmembers()


def _names(store: Store) -> str:
    return " and ".join(sorted(store.num_outputs)) or "no scorer"
