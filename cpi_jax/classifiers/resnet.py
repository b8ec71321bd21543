"""A small residual network for images, with GroupNorm, so that a row's score depends on that row alone."""

from __future__ import annotations

from typing import Any, cast

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
        return nn.Dense(self.num_outputs)(pool(x))


def pool(x: Float[Array, "b i j c"]) -> Float[Array, "b d"]:
    """Mean and maximum over places: how much of something there is, and whether there is any.

    The maximum is taken by its place: the gradient of `max` looks for entries that equal it, and where the compiler
    computes x a second time, rounded otherwise, finds none and divides by zero (seen on CPU).
    """
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    largest = jnp.take_along_axis(flat, flat.argmax(1)[:, None], axis=1)[:, 0]
    return jnp.concatenate([flat.mean(1), largest], axis=-1)


def resnet_logits(module: ResNet, params: Any, images: jax.Array) -> jax.Array:
    """Logits float32 [B, C] of images [B, H, W, 3] in [0, 1]."""
    return cast(jax.Array, module.apply({"params": params}, images))
