"""Errors that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class InputError(ValueError):
    """Something that was handed in cannot be used; the message is one sentence that names it and the mend."""


def require_known(name: str, kind: str, known: Sequence[str]) -> None:
    """Refuses a name that is not among the known ones, naming the nearest.

    Raises:
      InputError: where it is not.
    """
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"there is no {kind} {name!r}{' among ' if known else ', and none at all'}{', '.join(known)}{hint}"
        )
