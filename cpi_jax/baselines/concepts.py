"""From heat maps to concepts: how much of the attribution lies on a concept's object."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from cpi_jax.errors import InputError

HOWS = ("signed", "absolute", "thresholded")
# Selvaraju et al. 2017 (section 4.1) localise objects in the pixels above this share of the map's maximum.
THRESHOLD = 0.15


@partial(jax.jit, static_argnames="how")
def concept_shares(heat: Float[Array, "b h w"], masks: Bool[Array, "b k h w"], *, how: str) -> Float[Array, "b k"]:
    """Share of an image's attribution that lies inside each mask; 0 where the image has no attribution at all.

    Args:
      heat: heat maps, positive where a pixel raises the score.
      masks: pixels of each concept's object.
      how: "absolute": of the sum of |heat|; "signed": the sum of heat inside over the sum of |heat| everywhere, so that
        it is negative where the object lowers the score; "thresholded": of the number of pixels with |heat| above
        15 % of the image's maximum.

    Raises:
      InputError: for another word.
    """
    if how not in HOWS:
        raise InputError(f"attribution is shared in one of the ways {', '.join(HOWS)}, not {how!r}")
    size = jnp.abs(heat)
    if how == "thresholded":
        size = (size > THRESHOLD * size.max((1, 2), keepdims=True)).astype(heat.dtype)
    inside = jnp.where(masks, (heat if how == "signed" else size)[:, None], 0).sum((2, 3))
    total = size.sum((1, 2))[:, None]
    return jnp.where(total > 0, inside / jnp.where(total > 0, total, 1), 0)


@jax.jit
def mean_where_present(values: Float[Array, "n k"], present: Bool[Array, "n k"]) -> Float[Array, " k"]:
    """Mean over the images where the concept is present; NaN where it never is."""
    return jnp.where(present, values, 0).sum(0) / present.sum(0)


def concept_importance(
    heat: Float[Array, "n h w"], masks: Bool[Array, "n k h w"], present: Bool[Array, "n k"], *, how: str
) -> Float[Array, " k"]:
    """Mean share of the attribution on the concept's object, over the images that show it; see `concept_shares`."""
    return mean_where_present(concept_shares(heat, masks, how=how), present)
