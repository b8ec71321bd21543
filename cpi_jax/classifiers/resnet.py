"""A small residual network for images, with GroupNorm, so that a row's score depends on that row alone."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class ResNet(nn.Module):
    """One residual block of two 3x3 convolutions a stage; each stage halves the resolution.

    Attributes:
      num_outputs: logits per image, C.
      channels: width of each stage.
    """

    num_outputs: int
    channels: tuple[int, ...] = (16, 32, 64)

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b c"]:
        x = 2 * images - 1
        for width in self.channels:
            x = nn.Conv(width, (3, 3), strides=2)(x)
            y = nn.relu(nn.GroupNorm(num_groups=8)(x))
            y = nn.Conv(width, (3, 3))(y)
            y = nn.relu(nn.GroupNorm(num_groups=8)(y))
            x = x + nn.Conv(width, (3, 3))(y)
        x = nn.relu(nn.GroupNorm(num_groups=8)(x))
        # The compiler may compute x twice with other roundings; where the gradient then finds no maximum, it is infinite.
        x = jax.lax.optimization_barrier(x)
        # Mean and maximum over places: how much of something there is, and whether there is any.
        pooled = jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], axis=-1)
        return nn.Dense(self.num_outputs)(pooled)


def resnet_logits(module: ResNet, params, images: jax.Array) -> jax.Array:
    """Logits float32 [B, C] of images [B, H, W, 3] in [0, 1]."""
    return module.apply({"params": params}, images)
