"""The JSON files of model folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cpi_jax.errors import InputError
from cpi_jax.files.writing import write_atomically


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file of a checkpoint.

    Raises:
      InputError: where it is missing, or does not hold a JSON object; names it.
    """
    if not path.is_file():
        raise InputError(f"the checkpoint has no {path.parent.name}/{path.name} (looked in {path.parent.parent})")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also of bytes that are no UTF-8
        raise InputError(f"{path} is not valid JSON: {error}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object, {{...}}, and holds {_kind(content)}")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a configuration file."""
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def _kind(content: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(content), "a number")
