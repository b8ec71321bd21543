"""The small files of a study, in a folder or under gs://: each is either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from absl import logging

from cpi_jax.errors import InputError
from cpi_jax.files.json_files import parse_json, seal_json, unseal_json
from cpi_jax.files.location import find_location, require_writable
from cpi_jax.store.locks import Place

_DIGEST = 32  # bytes of SHA-256
_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{8}")  # see `_link_first`


class Files(Place):
    """Reads and writes the files of one study by name.

    Args:
      location: a folder, made where missing, or gs://bucket/path.
      readonly: whether nothing is written.

    Attributes:
      location: as it was found.
      remote: whether it is under gs://.
      readonly: whether nothing is written.

    Raises:
      InputError: for a location that cannot be meant (`find_location`), or cannot be written to.
    """

    def __init__(self, location: str | Path, *, readonly: bool = False):
        self.location = find_location(location)
        self.remote, self.readonly = self.location.startswith("gs://"), readonly
        if not self.remote and not readonly:
            require_writable(self.location)
        with writing(self.location):
            self._store = ts.KvStore.open(self.spec("")).result()
        self._said: set[str] = set()

    def spec(self, name: str) -> dict[str, Any]:
        """TensorStore's specification of a file or folder."""
        if not self.remote:
            path = os.path.join(Path(self.location).absolute(), name)
            # Where flock is missing, TensorStore must do without it, too.
            locking = {} if self.readonly or self.has_locks else {"context": {"file_io_locking": {"mode": "none"}}}
            return {"driver": "file", "path": path, **locking}
        bucket, _, path = self.location.removeprefix("gs://").partition("/")
        return {"driver": "gcs", "bucket": bucket, "path": f"{path}/{name}" if path else name}

    def local_path(self, name: str) -> Path | None:
        """Where a file lies on this machine; None under gs://."""
        return None if self.remote else Path(self.location) / name

    def names(self, prefix: str) -> list[str]:
        """Names of the files that begin with a prefix, in order; what a killed process left half written is none."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        with self._reading(prefix):
            names = [name.decode() for name in self._store.list(ts.KvStore.KeyRange(prefix, end)).result()]
        return sorted(name for name in names if not _HALF_WRITTEN.fullmatch(name.rpartition("/")[2]))

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        return self.read_all([name])[0]

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        """The contents of files, read at once; None where there is none.

        Raises:
          InputError: for one that cannot be read.
        """
        out = []
        for name, future in [(name, self._store.read(name)) for name in names]:
            with self._reading(name):
                result = future.result()
            out.append(result.value if result.state == "value" else None)
        return out

    def write(self, name: str, content: bytes | str) -> None:
        """Writes a file."""
        with writing(self.location):
            self._store.write(name, content.encode() if isinstance(content, str) else content).result()

    def write_first(self, name: str, content: bytes | str) -> bytes:
        """Writes a file unless it is there already, and returns what is there then: of several writers, one is first."""
        content = content.encode() if isinstance(content, str) else content
        with writing(self.location):
            if self.remote:
                known = self._store.read(name).result()
                if known.state != "value":
                    self._store.write(name, content, if_equal=known.stamp.generation).result()
            else:
                _link_first(Path(self.location) / name, content)
        return self.read(name) or b""

    def remove(self, names: Sequence[str]) -> None:
        """Removes files, one after the other."""
        with writing(self.location):
            for name in names:
                self._store.write(name, None).result()

    # JSON

    def read_json(self, name: str, kind: type = dict) -> Any:
        """The content of a JSON file; None where there is none.

        Raises:
          InputError: where it is damaged or holds something else than `kind`.
        """
        return self._parsed(name, lambda content: parse_json(content, kind))

    def read_sealed(self, name: str) -> dict[str, Any] | None:
        """What `write_sealed` wrote; None where there is no such file.

        Raises:
          InputError: where it is damaged.
        """
        return self._parsed(name, unseal_json)

    def read_note(self, name: str, kind: type = dict, *, sealed: bool = False) -> Any:
        """A JSON file that nothing depends on; None where there is none, or a damaged one, which is said once."""
        try:
            return self.read_sealed(name) if sealed else self.read_json(name, kind)
        except InputError as error:
            self.say_once(f"{str(error).split(': ', 1)[0]}: it is not read")
            return None

    def write_sealed(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file that carries a hash of its content."""
        self.write(name, seal_json(content))

    def _parsed(self, name: str, parse) -> Any:
        content = self.read(name)
        try:
            return None if content is None else parse(content)
        except ValueError as error:
            raise self.damaged(name, error) from None

    # Arrays

    def write_array(self, name: str, array: np.ndarray) -> None:
        """Writes an array as .npy, with a hash behind it."""
        buffer = io.BytesIO()
        np.save(buffer, array)
        self.write(name, with_digest(buffer.getvalue()))

    def read_array(self, name: str) -> np.ndarray | None:
        """What `write_array` wrote; None where there is none, or a damaged one, which is said once."""
        if (content := self.read(name)) is None:
            return None
        if (sound := without_digest(content)) is not None:
            with contextlib.suppress(ValueError, EOFError):
                return np.load(io.BytesIO(sound), allow_pickle=False)
        self.say_once(f"{name} in {self.location} is damaged and is not read")
        return None

    def damaged(self, name: str, reason: Any) -> InputError:
        """The refusal of a file that something depends on."""
        line = str(reason).strip().split("\n")[0]
        return InputError(
            f"{name} in {self.location} is damaged ({line}): restore it from a copy, or begin a new folder"
        )

    def say_once(self, sentence: str) -> None:
        """Warns of something that is mended or does not matter, the first time that it is met."""
        if sentence not in self._said:
            self._said.add(sentence)
            logging.warning("%s", sentence)

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise InputError(f"cannot read {name} in {self.location}: {_first_line(error)}") from None


def with_digest(content: bytes) -> bytes:
    """Bytes, and their hash behind them."""
    return content + hashlib.sha256(content).digest()


def without_digest(content: bytes) -> bytes | None:
    """The bytes before their hash; None where it is that of others."""
    content, digest = content[:-_DIGEST], content[-_DIGEST:]
    return content if hashlib.sha256(content).digest() == digest else None


@contextmanager
def writing(location: str) -> Iterator[None]:
    """Says in a sentence why something could not be written."""
    try:
        yield
    except (ValueError, OSError) as error:
        text = str(error)
        if any(sign in text for sign in ("No space left", "Disk quota exceeded")):
            raise InputError(
                f"no space is left on the disk of {location}; what is done is kept: make space and run the same command"
            ) from error
        signs = ("PERMISSION_DENIED", "UNAUTHENTICATED", "Permission denied", "Read-only file system", "Is a directory")
        if any(sign in text for sign in signs):
            raise InputError(f"cannot write to {location}: {_first_line(error)}") from error
        raise


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].split(" [source locations=")[0]


def _link_first(path: Path, content: bytes) -> None:
    """Writes a file whole, and gives it its name where nothing has it: a hard link is atomic, also on NFS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            try:
                os.link(temporary, path)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
                with path.open("xb") as file:  # a file system without links
                    file.write(content)
    finally:
        temporary.unlink(missing_ok=True)
