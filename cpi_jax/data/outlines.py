"""Outlines of objects as COCO writes them (polygons and run lengths), drawn as masks of the pictures that are read.

The format is that of COCO's `segmentation` (Lin et al. 2014; pycocotools' maskApi.c): polygons of corners x, y, x, y, ...
in pixels from the upper left corner, or the lengths of runs of 0 and 1 by turns, column after column, as numbers or text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageOps

from cpi_jax.errors import InputError

_BEYOND = 1.0  # pixels by which a corner may lie outside its picture: rounding


class Outlines:
    """Masks bool [N, K, H, W] that are drawn when they are asked for, as `ImageFiles` are read.

    Args:
      objects: for each of N examples and K slots, the outlines of its objects, as `validate_outline` takes them.
      pictures: height and width of the pictures that they were drawn in, [N].
      size: (height, width) that pictures are cut and resized to; None: as they are.
    """

    def __init__(
        self,
        objects: Sequence[Sequence[Sequence[Any]]],
        pictures: Sequence[tuple[int, int]],
        size: tuple[int, int] | None = None,
    ):
        self._objects, self._pictures, self.size = objects, pictures, size

    def __len__(self) -> int:
        return len(self._objects)

    def __getitem__(self, which: Any) -> Any:
        """One example's masks, bool [K, H, W]; of a slice, a mask or indices, those that they choose, still undrawn."""
        if isinstance(which, (int, np.integer)):
            height, width = self._pictures[int(which)]
            return np.stack([self._draw(slot, height, width) for slot in self._objects[int(which)]])
        rows = np.arange(len(self))[which].tolist()
        return Outlines([self._objects[n] for n in rows], [self._pictures[n] for n in rows], self.size)

    def with_size(self, size: tuple[int, int]) -> Outlines:
        """The same of pictures that are cut and resized to (height, width)."""
        return Outlines(self._objects, self._pictures, size)

    def _draw(self, outlines: Sequence[Any], height: int, width: int) -> Bool[np.ndarray, "h w"]:
        """Pixels that some of an object falls in, after the cut and at the size of the picture (`data.images`)."""
        drawn = np.zeros((height, width), bool)
        for outline in outlines:
            drawn |= draw_outline(outline, height, width)
        if self.size is None or self.size == (height, width):
            return drawn
        if not drawn.any():
            return np.zeros(self.size, bool)
        picture = Image.fromarray(drawn.astype(np.uint8) * 255)
        return np.asarray(ImageOps.fit(picture, (self.size[1], self.size[0]), Image.Resampling.BOX)) > 0


def draw_outline(outline: Any, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """One object's pixels in its picture.

    Args:
      outline: that `validate_outline` has seen.
      height: of the picture.
      width: of it.

    Example:
      The second column of a picture of 2 x 3 pixels: two pixels of 0, two of 1, two of 0.

      >>> draw_outline({"size": [2, 3], "counts": [2, 2, 2]}, 2, 3).astype(int).tolist()
      [[0, 1, 0], [0, 1, 0]]
    """
    if isinstance(outline, dict):
        runs = _runs(outline["counts"])
        return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
    drawn = np.zeros((height, width), bool)
    for corners in outline:
        drawn |= _fill(np.reshape(corners, (-1, 2)).astype(float), height, width)
    return drawn


def _fill(corners: Float[np.ndarray, "c 2"], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Pixels whose centres lie in a polygon (even-odd rule): of a row, those behind an odd number of its sides."""
    (x, y), (x2, y2) = corners.T, np.roll(corners, -1, axis=0).T
    rows = np.arange(height)[:, None] + 0.5
    row, side = np.nonzero((y <= rows) != (y2 <= rows))
    crossing = x[side] + (rows[row, 0] - y[side]) * (x2 - x)[side] / (y2 - y)[side]
    first_behind = np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)
    sides = np.zeros((height, width + 1), int)
    np.add.at(sides, (row, first_behind), 1)
    return np.cumsum(sides, axis=1)[:, :width] % 2 == 1


def validate_outline(outline: Any, height: int, width: int) -> None:
    """Refuses what is no outline, or none of such a picture.

    Raises:
      InputError: says what is wrong with it.
    """
    if isinstance(outline, dict):
        size = outline.get("size")
        if size not in ([height, width], (height, width)):
            raise InputError(f"its size [height, width] is {size} and the picture's {[height, width]}")
        try:
            runs = _runs(outline["counts"])
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            raise InputError("its counts are neither lengths of runs nor a text of them") from None
        if min(runs, default=0) < 0:
            raise InputError(f"its counts hold a run of {min(runs)} pixels")
        if sum(runs) != height * width:
            raise InputError(f"its runs are of {sum(runs):,} pixels and the picture has {height * width:,}")
        return
    if not isinstance(outline, list) or not outline:
        raise InputError("it is neither polygons nor run lengths")
    for corners in outline:
        numbers = isinstance(corners, list) and all(
            isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x) for x in corners
        )
        if not numbers or len(corners) < 6 or len(corners) % 2:
            raise InputError("a polygon is a list of x, y, x, y, ... of three corners or more")
        for x, y in zip(corners[::2], corners[1::2]):
            if not (-_BEYOND <= x <= width + _BEYOND and -_BEYOND <= y <= height + _BEYOND):
                raise InputError(f"its corner ({x:g}, {y:g}) lies outside the picture of {width} x {height} pixels")


def _runs(counts: Any) -> list[int]:
    """Lengths of runs, from numbers or from COCO's text: five bits a letter, the last with the sign, differences to the
    length before the last from the fourth on."""
    if not isinstance(counts, str):
        return [_whole(count) for count in counts]
    runs: list[int] = []
    value = shift = 0
    for letter in counts.encode("ascii"):
        bits = letter - 48
        if not 0 <= bits < 64:
            raise ValueError
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError
    return runs


def _whole(count: Any) -> int:
    if isinstance(count, bool) or count != int(count):
        raise ValueError
    return int(count)
