"""What lies in the user's own code: "package.module:name". The one door to code that is not this package's.

Who names a module, on the command line, in a config file or in Python, wants it to run. Who opens a folder that somebody
else made has named none: such folders are read within `only_data`, which shuts the door.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cpi_jax.errors import InputError, require_known

_open = True  # of the process: no thread gets around it


@contextmanager
def only_data() -> Iterator[None]:
    """Within, nothing that a folder names is imported: what needs it raises an `InputError` that says how to allow it."""
    global _open
    before, _open = _open, False
    try:
        yield
    finally:
        _open = before


def require_trust(what: str) -> None:
    """Refuses within `only_data`.

    Args:
      what: would run code.

    Raises:
      InputError: names the mend.
    """
    if not _open:
        raise untrusted(what)


def untrusted(what: str) -> InputError:
    """The refusal of code that only the study's folder names."""
    return InputError(
        f"{what} would run code that the study's folder names, and that is not run unasked: where you know that code, say "
        "--trust"
    )


def import_name(location: str) -> Any:
    """Imports "package.module:name", from the current directory too.

    Raises:
      InputError: where there is no such module, or no such name in it; within `only_data`, always.
    """
    module_name, _, name = location.partition(":")
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*", location):
        raise InputError(f"{location!r} must be package.module:name, such as my_models.resnet:ResNet50")
    require_trust(location)
    look_here()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # it imports something that is missing
        raise InputError(f"there is no module {error.name} for {location!r} (looked in {os.getcwd()} too)") from None
    require_known(name, f"name in {module_name}", [n for n in vars(module) if not n.startswith("_")])
    return getattr(module, name)


def look_here() -> None:
    """From now on, modules are looked for in the current directory too."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def import_function(location: str) -> Callable:
    """Imports a function.

    Raises:
      InputError: where it is none.
    """
    found = import_name(location)
    if not callable(found):
        raise InputError(f"{location} is a {type(found).__name__}, and a function is needed")
    return found
