"""Images as the tokens of a transformer."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from cpi_jax.networks.layers import Conv


def embed_patches(
    images: Float[Array, "b h w 3"], first: Float[Array, "1 1 c"], patch_size: int, name: str, *, use_bias: bool
) -> Float[Array, "b n c"]:
    """A token that stands for the image, and one for each of its patches, by row; called within a module.

    Args:
      images: preprocessed.
      first: the token of the image.
      patch_size: pixels each way.
      name: of the layer that embeds a patch.
      use_bias: whether it has one.
    """
    count, features = len(images), first.shape[-1]
    embed = Conv(features, jnp.float32, patch_size, patch_size, (0, 0), use_bias, name=name)
    patches = embed(images).reshape(count, -1, features)
    return jnp.concatenate([jnp.broadcast_to(first, (count, 1, features)), patches], axis=1)
