"""Small text files are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cpi_jax.errors import InputError


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that it is either whole or not there.

    Raises:
      InputError: where it cannot be written, as on a full disk.
    """
    temporary = path.with_suffix(f"{path.suffix}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path} ({error.strerror}); what is done is kept: mend that and run the same command"
        ) from error
