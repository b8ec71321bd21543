"""Small files are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cpi_jax.errors import InputError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that it is either whole or not there; text in UTF-8.

    Raises:
      InputError: where it cannot be written, as on a full disk.
    """
    temporary = path.with_suffix(f"{path.suffix}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path} ({error.strerror}); what is done is kept: mend that and run the same command"
        ) from error


def writings(folder: Path) -> dict[Path, tuple[int, int]]:
    """The files in a folder, with what tells whether one was written again."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: ((state := path.stat()).st_ino, state.st_mtime_ns) for path in files}
