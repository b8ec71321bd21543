"""Occlusion by object masks: paint an object over and see what the score loses (after Zeiler & Fergus 2014)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from cpi_jax.classifiers.scorer import Scorer


@jax.jit
def occlusion(
    scorer: Scorer,
    images: Float[Array, "b h w 3"],
    masks: Bool[Array, "b k h w"],
    background: Float[Array, "b #h #w 3"],  # noqa: F821
) -> Float[Array, "b k c"]:
    """What each object adds to every score: the score of the image minus that of the image without it.

    Args:
      images: in [0, 1].
      masks: pixels of each concept's object; where there are none, the drop is 0 up to rounding.
      background: what is seen where an object was: a colour (`background_color`), or another picture.
    """

    def drop(mask: jax.Array) -> jax.Array:  # [B, H, W] -> [B, C]
        return before - scorer(jnp.where(mask[..., None], background, images))

    before = scorer(images)
    return jax.lax.map(drop, masks.swapaxes(0, 1)).swapaxes(0, 1)


@jax.jit
def background_color(images: Float[Array, "b h w 3"], masks: Bool[Array, "b k h w"]) -> Float[Array, "b 1 1 3"]:
    """Median colour of the pixels outside every mask, per image; NaN where the masks cover all of it."""
    outside = jnp.where(masks.any(1)[..., None], jnp.nan, images)
    return jnp.nanmedian(outside, axis=(1, 2), keepdims=True)
