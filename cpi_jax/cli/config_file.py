"""Reads a configuration's file: Python with a function get_config(). Whatever is wrong with it is one sentence."""

from __future__ import annotations

import importlib.util
import inspect
import traceback
from pathlib import Path

from ml_collections import ConfigDict

from cpi_jax.cli.shipped import find_shipped
from cpi_jax.errors import InputError, nearest
from cpi_jax.files.location import find_path
from cpi_jax.user_code import look_here


def read_config_file(argument: str, fields: tuple[str, ...] = (), *, of_study: bool = False) -> ConfigDict:
    """The configuration that a file's get_config() returns, locked: no field can be added to it.

    Args:
      argument: FILE, or FILE:ARGUMENT for what get_config() is given; FILE may be the name of a configuration that comes
        along, such as "shapes".
      fields: that must be there.
      of_study: whether it must have the fields of a study besides, and no others.

    Raises:
      InputError: for a file that cannot be read as a configuration of that kind.
    """
    name, colon, which = argument.partition(":")
    shipped = find_shipped("configs")
    file = shipped.get(name) or find_path(name)
    if not file.is_file() or file.suffix != ".py":
        known = (*shipped, *map(str, file.parent.glob("*.py")))
        raise InputError(
            f"there is no config {name}{nearest(name, known) or '; cpi-jax configs lists those that there are'}"
        )
    look_here()
    try:
        config = _call_get_config(file, [which] * bool(colon))
        if of_study:
            from cpi_jax.cli.config import STUDY_FIELDS
            from cpi_jax.cli.validate_fields import validate_fields

            fields = (*STUDY_FIELDS, *fields)
        if missing := [field for field in fields if field not in config]:
            raise InputError(f"it is another program's config and has no field {missing[0]!r}")
        if of_study:
            validate_fields(config, besides=fields)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except Exception as error:
        raise InputError(f"{name}{_line(error, file)}: {type(error).__name__}: {error}") from error
    return config.lock()


def _call_get_config(file: Path, arguments: list[str]) -> ConfigDict:
    spec = importlib.util.spec_from_file_location("config", file)
    assert spec is not None and spec.loader is not None  # of a .py file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(get_config := getattr(module, "get_config", None)):
        raise InputError("it has no function get_config()")
    if arguments and not inspect.signature(get_config).parameters:
        raise InputError(f"it takes no argument, and {arguments[0]!r} is given")
    config = get_config(*arguments)
    if not isinstance(config, ConfigDict):
        raise InputError(f"get_config() must return a ConfigDict, not {type(config).__name__}")
    return config


def _line(error: Exception, file: Path) -> str:
    """Where in a config an error arose."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    number = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
    return f", line {number}" if number else ""
