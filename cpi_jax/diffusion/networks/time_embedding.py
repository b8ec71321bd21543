"""What the UNet is told of the time, and of other numbers."""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from cpi_jax.networks.layers import Dense


def sinusoids(
    values: Shaped[Array, " b"], width: int, *, flip_sin_to_cos: bool, freq_shift: int
) -> Float[Array, "b width"]:
    """Sines and cosines of numbers (Vaswani et al. 2017), float32; cosines first with `flip_sin_to_cos`."""
    step = math.log(10_000) / (width // 2 - freq_shift)
    angles = values[:, None] * jnp.exp(-step * jnp.arange(width // 2, dtype=jnp.float32))[None]
    waves = [jnp.sin(angles), jnp.cos(angles)]
    return jnp.concatenate(waves[::-1] if flip_sin_to_cos else waves, axis=-1)


class TimestepEmbedding(nn.Module):
    """Two dense layers upon the sinusoids of the time.

    Attributes:
      features: numbers that come out.
      dtype: of the activations.
    """

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b c"]) -> Float[Array, "b features"]:
        x = Dense(self.features, self.dtype, name="linear_1")(x)
        return Dense(self.features, self.dtype, name="linear_2")(nn.silu(x))
