"""Locks between processes on one file system (flock): they end with the process, however it ends.

gs:// has none, and some file systems neither (NFS without its lock service, some of Lustre's mounts): there, whoever asks
for a lock has it. What is done twice then is the same.
"""

from __future__ import annotations

import errno
import functools
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from absl import logging

from cpi_jax.errors import InputError

try:
    import fcntl
except ModuleNotFoundError:
    raise InputError("studies lock files as Linux and macOS do: on Windows, run cpi_jax in WSL") from None

_FOLDER = "workers"
_STUDY, _PROBE = "study.lock", "probe.lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_said: set[Path] = set()


class Place:
    """A folder of a disk, or a bucket, where processes meet.

    Attributes:
      location: the folder, or gs://bucket/path.
      remote: whether it is under gs://.
    """

    location: str
    remote: bool

    @functools.cached_property
    def has_locks(self) -> bool:
        """Whether processes can lock each other out there."""
        return not self.remote and _has_locks(Path(self.location))


def _has_locks(folder: Path) -> bool:
    """Whether the file system of a folder has locks; where it has none, that is said once.

    Raises:
      InputError: where nothing can be written there.
    """
    with _open(folder / _FOLDER / _PROBE) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise InputError(f"cannot lock a file in {folder}: {error.strerror}") from None
            if folder not in _said:
                _said.add(folder)
                logging.warning(
                    "the file system of %s has no locks (%s): what is started twice is done twice, with the same scores",
                    folder,
                    error.strerror,
                )
            return False
    return True


@contextmanager
def hold(place: Place, name: str, *, wait: bool = False) -> Iterator[bool]:
    """Holds a lock of a study while it is open; yields whether it was to be had."""
    if not place.has_locks:
        yield True
        return
    with _open(Path(place.location) / _FOLDER / f"{name}.lock") as file:
        yield _lock(file, fcntl.LOCK_EX, wait=wait)


def running(place: Place) -> list[str]:
    """Workers that hold their share right now, as "i-of-n"; none are known where there are no locks."""
    out = []
    for path in sorted((Path(place.location) / _FOLDER).glob("*-of-*.lock")) if place.has_locks else ():
        with path.open() as file:
            if not _lock(file, fcntl.LOCK_SH):
                out.append(path.stem)
    return out


class StudyLock:
    """Shared by all processes that have a study open to write to; one alone may put another study in its place.

    It is a process's, not a store's: a study that failed in a notebook does not keep the mended one out.
    """

    def __init__(self, place: Place):
        self._file = _open(Path(place.location) / _FOLDER / _STUDY) if place.has_locks else None

    @classmethod
    def of(cls, place: Place) -> StudyLock:
        """This process's lock of a study."""
        folder = os.path.realpath(place.location)
        lock = _of_process.get(folder)
        if lock is None:
            lock = _of_process[folder] = cls(place)
        return lock

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Yields whether no other process has the study open; if so, none can open it meanwhile."""
        try:
            yield self.try_alone()
        finally:
            self.share()

    def try_alone(self) -> bool:
        """Whether no other process has the study open; then none can open it until `share`."""
        if self._file is None:
            return False
        if _lock(self._file, fcntl.LOCK_EX):
            return True
        self.share()  # a lock that could not be made exclusive is lost
        return False

    def share(self) -> None:
        """Lets others open the study, and keeps it open."""
        if self._file is not None:
            _lock(self._file, fcntl.LOCK_SH, wait=True)


_of_process: weakref.WeakValueDictionary[str, StudyLock] = weakref.WeakValueDictionary()


def _open(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        raise InputError(f"cannot write to the folder {path.parent}: {error.strerror}") from None


def _lock(file: IO[str], how: int, *, wait: bool = False) -> bool:
    try:
        fcntl.flock(file, how | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
