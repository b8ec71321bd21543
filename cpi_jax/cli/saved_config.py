"""The configuration that a study's folder holds, as this version of the package has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from cpi_jax.cli.config import base_config, data_config
from cpi_jax.cli.renamed import with_new_names
from cpi_jax.cli.validate_fields import has_fields, unknown_fields
from cpi_jax.errors import InputError
from cpi_jax.files.location import find_location
from cpi_jax.store.store import Store

_ALL_OF = ("data", "generator", "sampler", "target", "detector")  # without one of them nobody knows what was scored
_READ = ("data", "target", "detector")  # what these say decides how the data and the scores are read


def read_config(location: str | Path) -> ConfigDict:
    """The configuration that a study's folder was made with.

    Fields that an earlier version did not know get their defaults: what they change of the pictures or of the scores,
    the study's identity shows (`study_identity`). Fields that this version does not know are named and left out, but for
    those that decide how data and scores are read.

    Raises:
      InputError: where there is none, or one that cannot be read as it was meant.
    """
    held, folder = None, find_location(location)
    if folder.startswith("gs://") or Path(folder).is_dir():
        held = Store(location, readonly=True).read_json("config.json")
    if not held:
        raise InputError(f"{location} holds no study that launch/explain.py has made")
    held = with_new_names(held)
    older = f"{location} was made by another version of cpi_jax"
    for name in _ALL_OF:
        if not isinstance(held.get(name), dict):
            raise InputError(f"{older}: its config.json lacks {name!r}; report it with that version")
    try:
        source = str(held["data"].get("source", ""))
        of_data = held["data"] if ":" in source else data_config(source).to_dict()  # a user's function is not imported
        known = {**base_config().to_dict(), "data": of_data}
    except InputError as error:
        raise InputError(f"config.json in {location}: {error}") from None
    unknown = [path for path, value in unknown_fields(held, known) if value]  # what is off changes nothing
    for path in unknown:
        if path[0] in _READ:
            name = ".".join(path)
            raise InputError(f"{older}: {name} in its config.json is not known here; report it with that version")
    if unknown:
        logging.warning("%s: %s in its config.json is left out", older, ", ".join(map(".".join, unknown)))
    try:
        return ConfigDict(_complete(held, known), allow_dotted_keys=True)
    except InputError as error:
        raise InputError(f"config.json in {location}: {error}") from None


def _complete(held: Mapping[str, Any], known: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """The known fields, as they are held or else with their defaults."""
    out = {}
    for name, default in known.items():
        value = held.get(name, default)
        if has_fields(default):
            if not isinstance(value, dict):
                raise InputError(f"{at}{name} must hold fields, not {value!r}")
            value = _complete(value, default, f"{at}{name}.")
        elif isinstance(default, str) and not isinstance(value, str) and at != "data.":  # a label may be several
            raise InputError(f"{at}{name} must be text, not {value!r}")
        out[name] = _as_tuples(value)
    return out


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_tuples(content) for name, content in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
