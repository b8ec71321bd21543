"""Where in its picture each slot of an example's caption is seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from cpi_jax.data.examples import Examples
from cpi_jax.data.outlines import Outlines
from cpi_jax.errors import InputError


class Masks:
    """Masks of N examples, bool [N, K, H, W], made larger on all sides when they are asked for.

    Args:
      masks: as they are, in memory or drawn from outlines.
      pixels: by how much they are made larger.
    """

    def __init__(self, masks: np.ndarray | Outlines, pixels: int):
        self._masks, self._pixels = masks, pixels

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, which: Any) -> Any:
        """Those of one example, bool [K, H, W]; of a slice, a mask or indices, of the examples that they choose."""
        if not isinstance(which, (int, np.integer)):
            return Masks(self._masks[which], self._pixels)
        from scipy.ndimage import maximum_filter  # only here: it takes a while to import

        own, side = self._masks[which], 2 * self._pixels + 1
        return np.stack([maximum_filter(mask, size=side, mode="constant") if mask.any() else mask for mask in own])


def fit_masks(examples: Examples, pixels: int, size: tuple[int, int]) -> Masks:
    """The examples' masks at the size of the pictures, made larger on all sides.

    Args:
      examples: with masks.
      pixels: by how much.
      size: height and width of the pictures.

    Raises:
      InputError: for no masks, or those of other slots or another size.
    """
    masks = examples.masks
    if masks is None:
        raise InputError(
            "within_masks needs the examples' masks, bool [N, K, H, W], and these examples have none: set "
            "data.masks, which the sources coco and shapes have"
        )
    if isinstance(masks, Outlines):
        return Masks(masks.with_size(size), pixels)
    wanted = (len(examples), len(examples.slot_names), *size)
    if masks.shape != wanted or masks.dtype != bool:
        raise InputError(
            f"masks must be bool {list(wanted)}, one for each of the {wanted[1]} slots at the pictures' size, not "
            f"{masks.dtype} {list(masks.shape)}"
        )
    return Masks(masks, pixels)


def has_masks_of(examples: Examples, size: tuple[int, int]) -> bool:
    """Whether the examples have masks of pictures of this height and width."""
    masks = examples.masks
    return isinstance(masks, Outlines) or (masks is not None and masks.shape[2:] == size)


def validate_masked(examples: Examples, masks: Masks) -> None:
    """Refuses masks that no example has of a permutable slot.

    Raises:
      InputError: names the slot.
    """
    missing = set(examples.concept_slots)
    for n in range(len(masks)):
        if not missing:
            return
        missing -= set(np.flatnonzero(masks[n].any((1, 2))).tolist())
    if missing:
        raise InputError(f"no example has a mask of {examples.slot_names[min(missing)]!r}: leave within_masks out")
