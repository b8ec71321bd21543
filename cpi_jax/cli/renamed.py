"""What a configuration's fields were called before: folders with the old names are read; who writes one is told the new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "classifier": "target",
    **{name: f"compute.{name}" for name in ("batch_size", "unit_size", "max_images", "max_minutes", "profile")},
    **{name: f"output.{name}" for name in ("sampled_examples", "keep_images", "figures")},
    **{name: f"statistics.{name}" for name in ("weights", "cluster", "subgroups")},
}


def new_name(path: str) -> str | None:
    """What a field, such as "classifier.path", is called now ("target.path"); None where it was not renamed."""
    first, dot, rest = path.partition(".")
    return f"{RENAMED[first]}{dot}{rest}" if first in RENAMED else None


def with_new_names(held: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with its fields where they are now; a field that is there by its new name keeps that."""
    out = {name: dict(value) if isinstance(value, Mapping) else value for name, value in held.items()}
    for old, new in RENAMED.items():
        if old in out:
            section, _, name = new.rpartition(".")
            place = out.setdefault(section, {}) if section else out
            if isinstance(place, dict):  # else it is refused for what it is
                place.setdefault(name, out.pop(old))
    return out
