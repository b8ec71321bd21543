"""How figures are drawn and written, whatever they show."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure


@contextmanager
def plain_names() -> Iterator[None]:
    """Names are shown letter by letter, not as mathematics; a sign that the font lacks is a box."""
    with matplotlib.rc_context({"text.parse_math": False, "svg.hashsalt": "cpi_jax"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def save_figure(figure: Figure, path: Path, besides: str, dpi: int) -> None:
    """Writes a figure to a PNG file and, where `besides` is "svg" or "pdf", to one of that kind."""
    figure.savefig(path, dpi=dpi)
    if besides:
        undated = {"svg": "Date", "pdf": "CreationDate"}[besides]
        figure.savefig(path.with_suffix(f".{besides}"), dpi=dpi, metadata={undated: None})
