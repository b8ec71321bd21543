"""Errors that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence


class InputError(ValueError):
    """Something that was handed in cannot be used; the message is one sentence that names it and the mend.

    Example:
      >>> import cpi_jax
      >>> try:
      ...     cpi_jax.Statistics(level=95)
      ... except cpi_jax.InputError as error:
      ...     print(error)
      level must lie between 0 and 1, not 95
    """


def require_known(name: str, kind: str, known: Sequence[str]) -> None:
    """Refuses a name that is not among the known ones, naming the nearest.

    Raises:
      InputError: where it is not.
    """
    if name not in known:
        among = " among " if known else ", and none at all"
        raise InputError(f"there is no {kind} {name!r}{among}{', '.join(known)}{nearest(str(name), known, repr)}")


def nearest(name: str, known: Iterable[str], shown: Callable[[str], str] = str) -> str:
    """A hint at the known name that a given one is most like: "; did you mean NAME?", or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {shown(near[0])}?" if near else ""
