"""One look of figures and pages: colours that colour-blind people tell apart, sizes, and names as they are written.

The colours are those of Okabe & Ito (2008, "Color Universal Design"); the two scales are ColorBrewer's. A colour never says
something alone: what it says is also said by a marker, a line, a number or a word.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, YELLOW, BLACK = "#CC79A7", "#56B4E9", "#F0E442", "#000000"
GREY, PALE = "#666666", "#999999"  # of what is beside the point: single draws; axes' zero

ESTIMATE, TRUTH, DRAW, REFERENCE = BLUE, VERMILLION, GREY, PALE  # what a colour is of, in every figure
DIVERGING, SEQUENTIAL = "RdBu_r", "Blues"  # of changes around 0; of shares

# Curves side by side: colour, marker and line all differ. Yellow is too pale for a line.
SERIES = (
    (BLUE, "o", "-"), (VERMILLION, "s", "--"), (GREEN, "^", "-."), (ORANGE, "D", ":"), (PURPLE, "v", "-"),
    (SKY, "P", "--"), (BLACK, "X", "-."), (GREY, "*", ":"), (BLUE, "<", "-."), (VERMILLION, ">", ":"),
)  # fmt: skip

PLAIN = {"parse_math": False, "usetex": False}  # of texts with foreign names, such as $x^$: no mathematics
NAME = 32  # letters of a concept's name
SMALL = 7  # points, of numbers beside and within marks

_STYLE = {
    "text.parse_math": False,
    "text.usetex": False,
    "svg.hashsalt": "cpi_jax",  # the same figure is the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.titlesize": 9,
}


@contextmanager
def styled(*, alone: bool = False) -> Iterator[None]:
    """What is drawn within has this look; a sign that the font lacks is a box, and no warning.

    Args:
      alone: for files: nothing of the user's own style is left, so that everybody's are the same.
    """
    import matplotlib.style

    styles: list[Any] = ["default", _STYLE] if alone else [_STYLE]
    with matplotlib.style.context(styles), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield
