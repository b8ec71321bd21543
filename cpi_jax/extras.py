"""Libraries of pyproject.toml's extras, which the base install does not bring: imported here alone, when they are used."""

from __future__ import annotations

import importlib
from types import ModuleType

from cpi_jax.errors import InputError


def import_extra(module: str, extra: str, what: str) -> ModuleType:
    """A module of a library that an extra brings.

    Args:
      module: its name.
      extra: of pyproject.toml.
      what: needs it, for the message; a plural.

    Raises:
      InputError: where it cannot be imported; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{what} need {module.partition('.')[0]} ({error}): pip install 'cpi_jax[{extra}]'") from None
