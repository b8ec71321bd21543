"""The programs and configurations that come along: beside the package in a clone, within it where it is installed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def find_shipped(folder: str) -> dict[str, Path]:
    """The files of "launch" or "configs" by their names, without .py.

    setup.py puts the two folders into the wheel, so that both are found without a clone.
    """
    places = (_PACKAGE / folder, _PACKAGE.parent / folder)
    place = next((place for place in places if place.is_dir()), places[0])
    return {path.stem: path for path in sorted(place.glob("*.py")) if path.stem != "__init__"}


def docstring(file: Path) -> str:
    """What a file says of itself; it is read, not run."""
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def headline(file: Path) -> str:
    """The first line of a file's docstring."""
    return docstring(file).partition("\n")[0]


def with_commands(text: str) -> str:
    """A text that names programs and configurations by their files, as one who types `cpi-jax` knows them."""
    text = re.sub(r"(?:python )?\blaunch/(\w+)\.py\b", lambda match: f"cpi-jax {match[1].replace('_', '-')}", text)
    text = re.sub(r"\bconfigs/(\w+)\.py\b", lambda match: match[1], text)
    return text.replace("cpi_jax/cli/config.py has them all", "cpi-jax explain --describe lists them")
