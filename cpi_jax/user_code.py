"""What lies in the user's own code: "package.module:name"."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from cpi_jax.errors import InputError, require_known


def import_name(location: str) -> Any:
    """Imports "package.module:name", from the current directory too.

    Raises:
      InputError: where there is no such module, or no such name in it.
    """
    module_name, _, name = location.partition(":")
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*", location):
        raise InputError(f"{location!r} must be package.module:name, such as my_models.resnet:ResNet50")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # it imports something that is missing
        raise InputError(f"there is no module {error.name} for {location!r} (looked in {os.getcwd()} too)") from None
    require_known(name, f"name in {module_name}", [n for n in vars(module) if not n.startswith("_")])
    return getattr(module, name)


def import_function(location: str) -> Callable:
    """Imports a function.

    Raises:
      InputError: where it is none.
    """
    found = import_name(location)
    if not callable(found):
        raise InputError(f"{location} is a {type(found).__name__}, and a function is needed")
    return found
