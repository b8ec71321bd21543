"""Lines of a report: as wide as a terminal, and of a kind no more than a screen holds."""

from __future__ import annotations

import textwrap

_WIDTH = 100
MOST = 10  # interactions, failing checks, notes


def wrapped(text: str) -> list[str]:
    """A text in lines; none of an empty one."""
    return textwrap.wrap(text, _WIDTH, break_on_hyphens=False, break_long_words=False)


def and_more(number: int, file: str = "") -> list[str]:
    """The line that says how many are not listed, and in which file they are; none where all are."""
    if number <= MOST:
        return []
    return [f"... and {number - MOST} more" + (f" in {file}" if file else "")]
