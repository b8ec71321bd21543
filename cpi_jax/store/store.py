"""What a study keeps: score tables, what their rows are, and what the study is; in a folder or under gs://.

Several workers write to one store without talking to each other: a chunk has one writer, what must agree goes to whoever
writes it first, and everything else that they write is the same. A unit is done when its commit record says so.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from cpi_jax.errors import InputError
from cpi_jax.files.writing import writings
from cpi_jax.store import commits, tables
from cpi_jax.store.claim import SCORERS, claim, read_scorers, read_study
from cpi_jax.store.files import Files, writing
from cpi_jax.store.legacy import convert
from cpi_jax.store.locks import StudyLock, running
from cpi_jax.store.rows import Rows
from cpi_jax.store.tables import Table

# What is read of results that there are, by whoever adds to them.
_OF_RESULTS = (
    "provenance.json",
    "importance.json",
    "importance.csv",
    "checks.csv",
    "interactions.csv",
    "subgroups.csv",
)


class Store(Files):
    """The folder of one study.

    Args:
      location: a folder, made where missing, or gs://bucket/path.
      readonly: whether the study is only looked at: nothing is claimed, appended or made larger.

    Raises:
      InputError: for a location that cannot be meant (`find_location`), or cannot be written to.
    """

    def __init__(self, location: str | Path, *, readonly: bool = False):
        super().__init__(location, readonly=readonly)
        self._lock = None if readonly else StudyLock.of(self)
        self._rows = Rows(self)
        self._study, self._unit_size, self._num_draws = "", 1, 0
        self._scorers: dict[str, str] = {}
        self._outputs: dict[str, int] = {}
        self._tables: dict[str, Table] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="commits")  # its thread starts with the first unit

    @classmethod
    def open_existing(cls, location: str | Path) -> Store | None:
        """A study that is there, to be read; None where there is none.

        Raises:
          InputError: where it cannot be known what it is.
        """
        store = cls(location, readonly=True)
        convert(store)
        if (identity := read_study(store)) is None:
            return None
        store._study, store._scorers = commits.hash_of(identity), read_scorers(store)
        store._rows.load()
        shapes = {name: tables.read_shape(store, name) for name in store._scorers}
        last = max((draw for draw, _ in commits.committed(store)), default=-1)
        store.open_tables({n: shape[2] for n, shape in shapes.items() if shape}, 0, identity["unit_size"])
        store._num_draws = max([last + 1, *(table.num_draws for table in store._tables.values())])
        return store

    # What the study is

    def claim(self, identity: Mapping[str, Any], scorers: Mapping[str, str]) -> None:
        """Marks the folder as this study's, or checks that it is; see `cpi_jax.store.claim`.

        A folder of the format before is converted.

        Args:
          identity: fields that decide every image, JSON values by name.
          scorers: hash of the scorer of each table.

        Raises:
          InputError: where the folder holds another study; names the fields that differ.
        """
        identity = json.loads(json.dumps(identity))  # as it is read back
        convert(self)
        claim(self, self._lock, identity, scorers)
        self._study, self._scorers = commits.hash_of(identity), dict(scorers)

    @property
    def shape(self) -> tuple[int, int]:
        """Draws and variants of the score tables."""
        return self._num_draws, len(self._rows.codes)

    @property
    def unit_size(self) -> int:
        """Rows of a work unit."""
        return self._unit_size

    @property
    def scorers(self) -> dict[str, str]:
        """Hash of the scorer of each table."""
        return dict(self._scorers)

    @property
    def num_outputs(self) -> dict[str, int]:
        """Scores an image of each open table."""
        return dict(self._outputs)

    def remove_table(self, name: str) -> None:
        """Removes one scorer's scores, so that another one's can take their name; the other tables stay as they are.

        Under gs:// whoever calls it sees to it that no worker runs.

        Raises:
          InputError: where another process has the study open, or a worker runs.
        """
        assert self._lock is not None, "a readonly study stays as it is"
        with self._lock.alone() as is_alone:
            if self.has_locks and (workers := running(self) or ["another process"] * (not is_alone)):
                who = f"worker {workers[0].replace('-of-', '/')}" if "-of-" in workers[0] else workers[0]
                raise InputError(f"{who} works in {self.location}: the table {name} can be removed once that has ended")
            commits.forget_table(self, name)
            self.remove([*self.names(f"{tables.FOLDER}{name}/"), f"{SCORERS}{name}"])

    # What the rows are

    def variants(self) -> pa.Table:
        """The variants, row by row as in the score tables: example_id, feature, value, caption, code."""
        self._load_rows()
        return self._rows.captions()

    def lost_captions(self) -> list[str]:
        """Names of parts of the table of variants that are damaged or not there."""
        return self._rows.lost_captions()

    def lost_rows(self) -> list[str]:
        """Names of files with the rows' codes that are damaged or not there; their parts of the captions say the same."""
        return self._rows.lost_rows()

    def place(self, codes: np.ndarray, describe: Callable[[np.ndarray], pa.Table]) -> np.ndarray:
        """Rows of variants in the score tables, appended where they are not known; see `Rows.place`."""
        return self._rows.place(codes, describe)

    def _load_rows(self) -> None:
        """Takes up the rows that others have appended since; the tables follow."""
        known = len(self._rows.codes)
        self._rows.load()
        if self._tables and len(self._rows.codes) > known:
            self.open_tables(self._outputs, self._num_draws, self._unit_size)

    # Score tables

    def open_tables(self, outputs: Mapping[str, int], num_draws: int, unit_size: int) -> None:
        """Opens or creates one table a scorer; a table grows when more draws or rows are asked for.

        Args:
          outputs: scores an image of each, by the name under which its scorer was claimed.
          num_draws: D.
          unit_size: rows of a chunk.
        """
        self._outputs, self._unit_size, self._num_draws = dict(outputs), unit_size, num_draws
        there = 0 if self.readonly else max((draw for draw, _ in commits.committed(self)), default=-1) + 1
        shape = max(num_draws, there), len(self._rows.codes)
        self._tables = {name: Table(self, name, columns, shape, unit_size) for name, columns in outputs.items()}

    def read_draw(self, draw: int) -> dict[str, np.ndarray]:
        """One draw's scores float32 [V, C] by scorer, NaN where no commit record says that a row is done.

        A unit that was damaged, lost or exchanged is reported, and counts as not done.
        """
        proven = self.prove_draw(draw)
        for name, (_, units) in proven.items():
            if units:
                self.say_once(
                    f"{len(units)} units of the {name}'s draw {draw} are not what their commit records say (damaged, lost "
                    f"or of other captions), and count as not done: {tables.few(units)}"
                )
        return {name: values for name, (values, _) in proven.items()}

    def prove_draw(self, draw: int) -> dict[str, tuple[np.ndarray, list[int]]]:
        """Each table's scores of a draw that commit records prove, and the units that are not what theirs say."""
        records = commits.read_commits(self, draw)
        if commits.last_row(records, self._unit_size) > len(self._rows.codes):  # the study was extended meanwhile
            self._load_rows()
        return {name: self._prove(name, draw, records) for name in self._tables}

    def read_scores(self, num_draws: int) -> dict[str, np.ndarray]:
        """Score tables float32 [D, V, C] by scorer, NaN as in `read_draw`."""
        draws = [self.read_draw(draw) for draw in range(num_draws)]
        return {name: np.stack([draw[name] for draw in draws]) for name in self._tables}

    def _prove(self, name: str, draw: int, records: Mapping[int, Any]) -> tuple[np.ndarray, list[int]]:
        size, codes = self._unit_size, self._rows.codes
        out = np.full((len(codes), self._outputs[name]), np.nan, np.float32)
        entries = {unit: record["tables"].get(name) for unit, record in records.items()}
        entries = {unit: entry for unit, entry in entries.items() if entry is not None}
        there = self._tables[name].read(draw, len(codes)) if entries else None
        unproven = []
        for unit, entry in sorted(entries.items()):
            rows = slice(unit * size, (unit + 1) * size)
            proven = 0
            if records[unit]["study"] == self._study:
                values = None if there is None else there[rows]
                proven = commits.rows_proven(entry, self._scorers[name], codes[rows], values)
            if not proven or there is None:
                unproven.append(unit)
            else:
                out[rows.start : rows.start + proven] = there[rows.start : rows.start + proven]
        return out, unproven

    def write_unit(self, draw: int, start: int, scores: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """Begins to write one unit of some tables, each chunk atomically, and then its commit record.

        Args:
          draw: its draw.
          start: its first row, a multiple of the unit size.
          scores: [unit, C] by scorer.

        Returns:
          A function that waits until all is written.

        Raises:
          InputError: by that function: where the disk is full or cannot be written to.
        """
        scores = {name: np.array(values, np.float32) for name, values in scores.items()}
        writes = [self._tables[name].write(draw, start, values) for name, values in scores.items()]
        codes = self._rows.codes[start:]  # of which there may be more than scores, where others have extended the study
        entries = {
            name: commits.make_entry(self._scorers[name], codes[: len(values)], values)
            for name, values in scores.items()
        }

        def commit():
            with writing(self.location):
                for write in writes:
                    write.result()
            commits.write_commit(self, self._study, draw, start // self._unit_size, entries)

        return self._writer.submit(commit).result

    def units_done(self) -> dict[int, set[int]]:
        """Units of each draw that have a commit record, by draw; read from their names alone."""
        done: dict[int, set[int]] = {}
        for draw, unit in commits.committed(self):
            done.setdefault(draw, set()).add(unit)
        return done

    # Results and pictures

    @contextmanager
    def results(self) -> Iterator[Path]:
        """The folder for results: the store's own, or a copy of what reports read that is put under gs:// at the end.

        Raises:
          InputError: where they cannot be written, as on a full disk.
        """
        if not self.remote:
            with writing(self.location):
                yield Path(self.location)
            return
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            of_targets = [name for name in self.names("results/") if name.rpartition("/")[2] in _OF_RESULTS]
            for name in (*self.names("variants.parquet/"), *self.names("images/"), *_OF_RESULTS, *of_targets):
                if (content := self.read(name)) is not None:
                    (here / name).parent.mkdir(parents=True, exist_ok=True)
                    (here / name).write_bytes(content)
            before = writings(here / "variants.parquet") | writings(here / "images")
            yield here
            for path, when in writings(here).items():
                if before.get(path) != when:
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
