"""A configuration has the fields that there are, and no others, which nothing would read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from cpi_jax.classifiers.named import validate_names
from cpi_jax.cli.config import base_config, classifier_defaults
from cpi_jax.cli.renamed import new_name
from cpi_jax.errors import InputError, nearest, require_known


def validate_fields(config: ConfigDict, besides: Iterable[str] = ()) -> None:
    """Refuses a study's configuration with other fields than there are, or with sections that lack some.

    A configuration's file can add any (`base_config` is not locked), as one of an earlier version does. The fields of
    `data` are those of its source: `cpi_jax.data.sources.read_source`.

    Args:
      config: of a study.
      besides: further fields that the program reads.

    Raises:
      InputError: names the field as it is called now, or the nearest that there is.
    """
    held, defaults = config.to_dict(), base_config().to_dict()
    known = {name: {} for name in ("data", *besides)} | defaults
    for path, _ in unknown_fields(held, known):
        raise InputError(describe_unknown(".".join(path), known, "a study"))
    for name, default in defaults.items():
        if has_fields(default):
            if not isinstance(held[name], dict):
                raise InputError(f"{name} must hold fields, not {held[name]!r}")
            if missing := [field for field in default if field not in held[name]]:
                raise InputError(
                    f"{name} has no field {missing[0]!r}: set single fields, as config.{name}.{missing[0]} = ..., so that "
                    "the others keep their defaults"
                )
    if held["classifiers"]:
        classifiers_of(held["classifiers"])


def classifiers_of(section: Any) -> dict[str, dict[str, Any]]:
    """All fields of each of the `classifiers` of a configuration, by name.

    Raises:
      InputError: for names that cannot be, fields that there are not, or what is no mapping of names to fields.
    """
    if not isinstance(section, Mapping):
        raise InputError(f"classifiers must hold names with fields, such as {{'a': {{'path': ...}}}}, not {section!r}")
    validate_names(section)
    out, defaults = {}, classifier_defaults()
    for name, fields in section.items():
        if not isinstance(fields, Mapping):
            raise InputError(f"classifiers.{name} must hold fields, such as {{'path': ...}}, not {fields!r}")
        for field, value in fields.items():
            require_known(field, f"field of classifiers.{name}", tuple(defaults))
            if isinstance(defaults[field], str) and not isinstance(value, str):
                raise InputError(f"classifiers.{name}.{field} must be text, not {value!r}")
        out[name] = {**defaults, **fields}
    return out


def describe_unknown(name: str, known: Mapping[str, Any], whose: str = "the config") -> str | None:
    """What to say of a field, such as "statistics.levle", that is not among the known ones; None where it is."""
    section: Any = known
    for part in name.split("."):
        fields = tuple(section) if isinstance(section, dict) else ()
        if part not in fields:
            new = new_name(name)
            if new and new.partition(".")[0] in known:
                return f"the config's field {name} is called {new} now"
            return f"{whose} has no field {name!r}{nearest(part, fields, repr)}"
        section = section[part]
    return None


def unknown_fields(
    held: Mapping[str, Any], known: Mapping[str, Any], at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and values of the fields that are held, and not known."""
    for name, value in held.items():
        if name not in known:
            yield (*at, name), value
        elif has_fields(known[name]) and isinstance(value, dict):
            yield from unknown_fields(value, known[name], (*at, name))


def has_fields(default: Any) -> bool:
    """Whether a field with such a default is a section; an empty one, as of kwargs, holds what users like."""
    return isinstance(default, dict) and bool(default)
