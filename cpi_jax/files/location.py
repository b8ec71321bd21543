"""Where things lie, as users write it: paths, and gs://bucket/path for studies."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cpi_jax.errors import InputError

HUB = "hub:"  # before the name of a repository of the Hugging Face Hub
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*(@\w[\w./-]*)?")  # owner/name, or owner/name@revision
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")  # with one slash, since `Path` makes one of two
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^/]+)*")


def find_path(path: str | Path) -> Path:
    """A path with the home folder in place of a leading "~".

    Raises:
      InputError: where it cannot be meant: it is empty, an address such as s3://bucket or hub:owner/name, has a backslash,
        is not UTF-8, or is a link that leads nowhere.
    """
    text = os.fspath(path)
    if not text.strip():
        raise InputError("the path is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text!r} is not UTF-8: rename it") from None
    if "\0" in text:
        raise InputError(f"{text!r} holds a null character")
    if text.startswith(HUB):
        name = text.removeprefix(HUB)
        raise InputError(f"{text!r} cannot be used here: name a folder{download_by_hand(name) or ' of this machine'}")
    if address := _ADDRESS.match(text):
        local = re.fullmatch(r"file:(//)?(/[^/].*)", text)
        mend = local[2] if local else "a path on this machine"
        raise InputError(f"{text!r} is an address of {address[1]!r}, and cannot be used here: write {mend}")
    expanded = Path(os.path.expanduser(text))
    try:
        there = os.path.exists(expanded)
        if not there and os.path.islink(expanded):
            raise _leads_nowhere(expanded)
        if not there and "\\" in text and os.sep == "/":
            raise InputError(f"{text!r} has a backslash: folders are parted by '/'")
        expanded.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # yet to be made, or for its reader to refuse
    except OSError as error:
        raise InputError(f"{text!r} cannot be used: {error.strerror}") from None
    return expanded


def download_by_hand(name: str) -> str:
    """What to do where a repository of the Hub is needed as a folder, to end a message; empty where the name is of none."""
    if not HUB_NAME.fullmatch(name):
        return ""
    repository, _, revision = name.partition("@")
    options = f" --revision {revision}" if revision else ""
    return (
        f"; `huggingface-cli download {repository}{options} --local-dir FOLDER` fetches one from the Hugging Face Hub"
    )


def find_location(location: str | Path, *, remote: bool = True) -> str:
    """The folder that a study lies in or will lie in, with "~" and ".." resolved.

    Args:
      location: a folder, whether it is there or not, or gs://bucket/path.
      remote: whether it may be under gs://.

    Raises:
      InputError: where it cannot be meant, as of `find_path`, or a file is in the way.
    """
    text = os.fspath(location)
    if text.startswith("gs:/"):
        if not remote:
            raise InputError(f"{text!r} cannot be used here: write to a folder, and copy that")
        bucket = text.rstrip("/")
        if not _BUCKET.fullmatch(bucket) or {".", ".."} & set(bucket.split("/")):
            raise InputError(f"{text!r} is no gs://bucket/path: a bucket has small letters, and its paths no '..'")
        return bucket
    folder = find_path(location)
    folder = folder.resolve() if ".." in folder.parts else folder  # as the disk has it, not as the text
    for place in (folder, *folder.parents):
        if place.is_dir():
            break
        if place.exists():
            raise InputError(f"{place} is a file, and a folder is needed there")
        if place.is_symlink():
            raise _leads_nowhere(place)
    return str(folder)


def _leads_nowhere(link: Path) -> InputError:
    return InputError(f"{link} is a link to {os.readlink(link)!r}, which is not there")


def require_writable(folder: str | Path, *, make: bool = True) -> Path:
    """Makes the folder where it is missing.

    Args:
      folder: on this machine.
      make: whether to; else only looks whether it could be made.

    Raises:
      InputError: where nothing can be written there.
    """
    folder = Path(find_location(folder, remote=False))
    if not make:
        there = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), folder)
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"cannot write to the folder {there}: it is read-only")
        return folder
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write to the folder {folder}: {error.strerror}") from None
    return folder


def require_new(folder: str | Path) -> Path:
    """Makes the folder of a checkpoint, in which there may be nothing.

    Raises:
      InputError: where there is something, or nothing can be written.
    """
    folder = require_writable(folder, make=False)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty, and weights there would be written over: name a new folder")
    return require_writable(folder)
