"""Where in a picture the objects are that a variant's caption exchanges, and what changed there and elsewhere."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from cpi_jax.data.masks import Masks
from cpi_jax.plan.record import Plan
from cpi_jax.plan.variants import permuted_slots


def permuted_pixels(
    plan: Plan, masks: Masks, variants: np.ndarray
) -> tuple[Bool[np.ndarray, "v h w"], Bool[np.ndarray, " v"]]:
    """Pixels of what the captions of some variants exchange, and of which variants that is all.

    It is not all of it where something is added that is not in the picture, or was cut off it, or where a phrase is
    permuted that is of no slot with masks (a control); and a baseline exchanges nothing. What a feature permutes without a
    change, since example and donor say the same, is not exchanged: so a caption has the same pixels in any plan.

    Args:
      plan: of the variants.
      masks: of the examples' slots.
      variants: indices of V of them.
    """
    chosen = plan.variants.take(variants)
    example = np.asarray(chosen.example)
    tokens = np.asarray(plan.slots.tokens)
    differ = (tokens[example] != tokens[np.asarray(chosen.donor)]).any(-1)
    exchanged = np.asarray(permuted_slots(np.asarray(plan.masks), chosen)) & differ
    drawn = {i: masks[i] for i in np.unique(example).tolist()}
    num_slots = len(next(iter(drawn.values())))
    seen = np.stack([drawn[i].any((1, 2)) for i in example.tolist()])
    pixels = np.stack([drawn[i][slots[:num_slots]].any(0) for i, slots in zip(example.tolist(), exchanged)])
    whole = exchanged.any(1) & ~exchanged[:, num_slots:].any(1) & (seen | ~exchanged[:, :num_slots]).all(1)
    return pixels, np.asarray(whole)


def pixel_changes(
    images: UInt8[np.ndarray, "v h w 3"], others: UInt8[np.ndarray, "v h w 3"], masks: Bool[np.ndarray, "v h w"]
) -> tuple[Float[np.ndarray, " v"], Float[np.ndarray, " v"]]:
    """Root mean square difference of pixels, 0 to 255, inside and outside of masks; NaN where there is no such pixel.

    Example:
      Half of a picture is the mask; there it is brighter by 10, elsewhere by 2.

      >>> import numpy as np
      >>> mask = np.array([[[True, False]]])
      >>> brighter = np.array([[[[10] * 3, [2] * 3]]], np.uint8)
      >>> inside, outside = pixel_changes(brighter, 0 * brighter, mask)
      >>> inside.tolist(), outside.tolist()
      ([10.0], [2.0])
    """
    squares = ((images.astype(np.float32) - others) ** 2).mean(-1)
    with np.errstate(invalid="ignore"):
        return tuple(np.sqrt((squares * part).sum((1, 2)) / part.sum((1, 2))) for part in (masks, ~masks))
