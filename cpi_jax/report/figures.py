"""How figures are drawn and written, whatever they show."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from cpi_jax.files.writing import write_atomically


@contextmanager
def plain_names() -> Iterator[None]:
    """Names are shown letter by letter, not as mathematics; a sign that the font lacks is a box."""
    with matplotlib.rc_context({"text.parse_math": False, "svg.hashsalt": "cpi_jax"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def save_figure(figure: Figure, path: Path, besides: str, dpi: int) -> None:
    """Writes a figure to a PNG file and, where `besides` is "svg" or "pdf", to one of that kind.

    Raises:
      InputError: where it cannot be written, as on a full disk.
    """
    write_atomically(path, _drawn(figure, dpi, format="png"))
    if besides:
        undated = {"svg": "Date", "pdf": "CreationDate"}[besides]
        write_atomically(path.with_suffix(f".{besides}"), _drawn(figure, dpi, format=besides, metadata={undated: None}))


def _drawn(figure: Figure, dpi: int, **how: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, **how)
    return buffer.getvalue()
