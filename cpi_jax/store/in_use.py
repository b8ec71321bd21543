"""in_use.json: which tables of a folder the study needs now. One whose classifier was left out keeps its scores."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cpi_jax.store.files import Files

_FILE = "in_use.json"


def note_in_use(files: Files, names: Iterable[str]) -> None:
    """Notes the tables' names, for whoever looks at the folder."""
    content = json.dumps(sorted(names))
    if files.read(_FILE) != content.encode():
        files.write(_FILE, content)


def find_in_use(files: Files, names: Iterable[str]) -> list[str]:
    """Which of some tables are in use: those that are noted, or all where nothing is."""
    names, noted = list(names), files.read_note(_FILE, list)
    return [name for name in names if noted is not None and name in noted] or names
