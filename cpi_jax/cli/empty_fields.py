"""Fields of a study that only its user can say, and that a configuration leaves empty."""

from __future__ import annotations

from ml_collections import ConfigDict

from cpi_jax.data.sources import REQUIRED, source_fields
from cpi_jax.errors import InputError

_EMPTY = ("", (), None)


def find_empty(config: ConfigDict) -> list[str]:
    """Names of the fields, such as "data.path", "target.path"; none of a configuration that is no study's.

    Args:
      config: of a study, all sections in it.

    Raises:
      InputError: for an unknown source of data.
    """
    if "generator" not in config:
        return []
    data = config.data
    required = [name for name, default in source_fields(data.get("source", "")).items() if default is REQUIRED]
    empty = [f"data.{name}" for name in required if data.get(name) in _EMPTY]
    empty += ["generator.path"] * (not config.generator.path)
    return empty + ["target.path"] * (not (config.target.path or config.target.module or config.classifiers))


def refuse_empty(empty: list[str]) -> None:
    """Names several fields at once, so that they are not found one a run; of a single one, who reads it says what it is.

    Raises:
      InputError: where there is more than one.
    """
    if len(empty) > 1:
        named = [f"--config.{name}" + " (or target.module)" * (name == "target.path") for name in empty]
        raise InputError(
            f"a study needs {', '.join(named[:-1])} and {named[-1]}, and they are empty: fill them in where the "
            "configuration has them, or give them as flags"
        )
