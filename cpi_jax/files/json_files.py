"""Small JSON files: what they must hold, and those that carry a hash of their own content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpi_jax.errors import InputError
from cpi_jax.files.writing import write_atomically

_HASH = "sha256"  # the field of a sealed file that holds the hash of the others


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


def parse_json(content: bytes, kind: type = dict) -> Any:
    """What a JSON file holds.

    Raises:
      ValueError: where it is no JSON, or holds something else than `kind`; says what.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, kind):
        raise ValueError(f"it holds {short_json(value)}")
    return value


def seal_json(content: Mapping[str, Any]) -> str:
    """A JSON object with a hash of itself, so that a damaged file is told from a sound one."""
    return json.dumps({**content, _HASH: _hash(content)}, indent=2)


def unseal_json(content: bytes) -> dict[str, Any]:
    """What `seal_json` was given.

    Raises:
      ValueError: where it was changed since.
    """
    value = parse_json(content)
    if value.pop(_HASH, None) != _hash(value):
        raise ValueError("its hash is that of another content")
    return value


def short_json(value: Any) -> str:
    """A value as JSON, cut where it is long, for messages."""
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _kind(content: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(content), "a number")
