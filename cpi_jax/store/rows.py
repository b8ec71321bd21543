"""Which variant each row of the score tables is: its code decides, and a table for people says what it means.

Rows are appended in parts that are never changed. Part n is two files: rows/n, the codes with a hash of themselves and of
the other file; and variants.parquet/part-n.parquet, the captions. Either is made again from the other or from a plan.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cpi_jax.errors import InputError
from cpi_jax.plan.hashes import find_codes
from cpi_jax.store.files import Files, with_digest, without_digest
from cpi_jax.store.locks import hold

_ROWS, _PARTS = "rows/", "variants.parquet/"
_LOCK = "rows"  # while both files of a part are written
_HEADER = 40  # bytes: SHA-256 of the part, and its first row


class Rows:
    """The rows of a study's tables.

    Args:
      files: of the study.

    Attributes:
      codes: of each row, uint64 [V].
    """

    def __init__(self, files: Files):
        self._files = files
        self.codes = np.empty(0, np.uint64)
        self._codes: list[np.ndarray] = []  # of each part
        self._hashes: list[bytes] = []  # of its table of captions

    @property
    def num_parts(self) -> int:
        """Parts that are known."""
        return len(self._codes)

    def load(self) -> None:
        """Reads the parts that were appended since.

        Raises:
          InputError: where both files of a part are lost that has others behind it.
        """
        numbers = {int(m[1]) for name in self._files.names(_ROWS) if (m := re.fullmatch(r"rows/(\d{5})", name))}
        parts = {int(m[1]) for n in self._files.names(_PARTS) if (m := re.fullmatch(r".*/part-(\d{5})\.parquet", n))}
        last = max(numbers | parts, default=-1)
        for number in range(len(self._codes), last + 1):
            first, codes, digest = len(self.codes), None, b""
            if (content := self._files.read(_rows_name(number))) is not None:
                codes, digest = _decode(content, first)
            if codes is None:
                codes, digest = self._recover_codes(number, first)
            if codes is None:
                if number < last:
                    raise self._files.damaged(_rows_name(number), f"and {_part_name(number)} is lost")
                return  # nothing depends on its place: the plan appends it again, and commit records say what holds
            self._codes.append(codes)
            self._hashes.append(digest)
            self.codes = np.concatenate([self.codes, codes])

    def place(self, codes: np.ndarray, describe: Callable[[np.ndarray], pa.Table]) -> np.ndarray:
        """Rows of variants; those that are not known yet are appended as a part.

        Args:
          codes: of the variants, uint64 [V].
          describe: the table of some of them, by index.

        Returns:
          int64 [V]; -1 for those that a readonly study does not know.

        Raises:
          InputError: where the examples' ids are of another kind than those that are there.
        """
        self.load()
        self._rebuild_captions(codes, describe)
        while True:
            rows = find_codes(codes, self.codes)
            new = np.flatnonzero(rows < 0)
            if not len(new) or self._files.readonly:
                return rows
            self._append(codes[new], _with_codes(describe(new), codes[new]))
            self.load()  # whoever was first

    def captions(self) -> pa.Table:
        """The table for people, row by row: example_id, feature, value, caption, code. Damaged parts are left out."""
        sound = [part for number in range(len(self._codes)) if (part := self._read_part(number)) is not None]
        return pa.concat_tables(sound, promote_options="default") if sound else pa.table({})

    def lost_captions(self) -> list[str]:
        """Names of parts of the table for people that are damaged or not there."""
        return [_part_name(number) for number in range(len(self._codes)) if self._read_sound(number) is None]

    def lost_rows(self) -> list[str]:
        """Names of files with the rows' codes that are damaged or not there."""
        out, first = [], 0
        for number, codes in enumerate(self._codes):
            content = self._files.read(_rows_name(number))
            if content is None or _decode(content, first)[0] is None:
                out.append(f"{_rows_name(number)}")
            first += len(codes)
        return out

    def _append(self, codes: np.ndarray, part: pa.Table) -> None:
        known = self._read_part(0) if self._codes else None
        if known is not None and part.schema.field(0) != known.schema.field(0):
            kinds = [table.schema.field(0).type for table in (known, part)]
            raise InputError(
                f"{self._files.location} holds another study: example ids are {kinds[0]} there and {kinds[1]} here"
            )
        number, content = len(self._codes), _encode_part(part)
        rows = _encode(codes, len(self.codes), content)
        with hold(self._files, _LOCK, wait=True):
            there = self._files.write_first(_rows_name(number), rows)
            if (
                there != rows and _decode(there, len(self.codes))[0] is None
            ):  # damaged, so that `load` knows nothing of it
                self._files.write(_rows_name(number), there := rows)
            if there == rows:
                self._files.write(_part_name(number), content)

    def _rebuild_captions(self, codes: np.ndarray, describe: Callable[[np.ndarray], pa.Table]) -> None:
        """Writes the parts of the table for people that are lost, where the plan has all of their rows."""
        for number, of_part in enumerate(self._codes):
            if self._read_sound(number) is not None or self._read_appended(number) is not None:
                continue
            name = f"{_part_name(number)} in {self._files.location}"
            chosen = find_codes(of_part, codes)
            if self._files.readonly or (chosen < 0).any():
                self._files.say_once(
                    f"{name} is lost or damaged: its captions cannot be shown (no score is concerned); run the study's "
                    "command with all examples and concepts that it was made with"
                )
                continue
            content = _encode_part(_with_codes(describe(chosen), of_part))
            first = sum(map(len, self._codes[:number]))
            self._files.write(_part_name(number), content)
            self._files.write(_rows_name(number), _encode(of_part, first, content))
            self._hashes[number] = hashlib.sha256(content).digest()
            self._files.say_once(f"{name} was lost or damaged, and is written again")

    def _recover_codes(self, number: int, first: int) -> tuple[np.ndarray | None, bytes]:
        """Codes of a part whose own file is lost, from its captions."""
        content = self._files.read(_part_name(number))
        part = None if content is None else _decode_part(content)
        if content is None or part is None:
            return None, b""
        codes = np.asarray(part["code"]).astype(np.uint64)
        if not self._files.readonly:
            self._files.write(_rows_name(number), _encode(codes, first, content))
        return codes, hashlib.sha256(content).digest()

    def _read_appended(self, number: int) -> bytes | None:
        """A part that another process may just be writing, once it has."""
        if self._files.readonly:
            return None
        with hold(self._files, _LOCK, wait=True):
            return self._read_sound(number)

    def _read_part(self, number: int) -> pa.Table | None:
        content = self._read_sound(number)
        return None if content is None else _decode_part(content)

    def _read_sound(self, number: int) -> bytes | None:
        content = self._files.read(_part_name(number))
        return content if content is not None and hashlib.sha256(content).digest() == self._hashes[number] else None


def _rows_name(number: int) -> str:
    return f"{_ROWS}{number:05d}"


def _part_name(number: int) -> str:
    return f"{_PARTS}part-{number:05d}.parquet"


def _encode(codes: np.ndarray, first_row: int, part: bytes) -> bytes:
    header = hashlib.sha256(part).digest() + first_row.to_bytes(8, "little")
    return with_digest(header + np.asarray(codes).astype("<u8").tobytes())


def _decode(content: bytes, first_row: int) -> tuple[np.ndarray | None, bytes]:
    """Codes of a part and the hash of its captions; None where they are not sound, or of other rows."""
    sound = without_digest(content)
    if sound is None or len(sound) < _HEADER or int.from_bytes(sound[_HEADER - 8 : _HEADER], "little") != first_row:
        return None, b""
    return np.frombuffer(sound[_HEADER:], "<u8").astype(np.uint64), sound[: _HEADER - 8]


def _with_codes(part: pa.Table, codes: np.ndarray) -> pa.Table:
    return part.append_column("code", pa.array(codes))


def _encode_part(part: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(part, buffer, write_page_checksum=True)
    return buffer.getvalue()


def _decode_part(content: bytes) -> pa.Table | None:
    try:
        part = pq.read_table(io.BytesIO(content), page_checksum_verification=True)
        return part if part.schema.field("code").type == pa.uint64() else None
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None
