"""Where in its picture each slot of an example's caption is seen."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError


def dilate_masks(examples: Examples, pixels: int, size: tuple[int, int]) -> Bool[np.ndarray, "n k h w"]:
    """The examples' masks, made larger on all sides.

    Args:
      examples: with masks.
      pixels: by how much.
      size: height and width of the pictures that they must fit.

    Raises:
      InputError: for no masks, those of other slots or another size, or a permutable slot that has none in any example.
    """
    masks = examples.masks
    if masks is None:
        raise InputError("within_masks needs the examples' masks, bool [N, K, H, W], and these examples have none")
    wanted = (len(examples), len(examples.slot_names), *size)
    if masks.shape != wanted or masks.dtype != bool:
        raise InputError(
            f"masks must be bool {list(wanted)}, one for each of the {wanted[1]} slots at the pictures' size, not "
            f"{masks.dtype} {list(masks.shape)}"
        )
    for slot in sorted(set(examples.concept_slots)):
        if not masks[:, slot].any():
            raise InputError(f"no example has a mask of {examples.slot_names[slot]!r}: leave within_masks out")
    from scipy.ndimage import maximum_filter  # only here: it takes a while to import

    side = 2 * pixels + 1
    return maximum_filter(masks, size=(1, 1, side, side), mode="constant")
