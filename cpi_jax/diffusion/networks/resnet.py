"""Residual blocks, and what lies between those of two sizes."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cpi_jax.networks.layers import Conv, Dense, GroupNorm


class ResnetBlock(nn.Module):
    """A residual block (He et al. 2016) that norms first; in the UNet, it is told the time.

    Attributes:
      features: channels that come out.
      groups: of the norms.
      epsilon: of the norms.
      dtype: of the activations.
    """

    features: int
    groups: int
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], time: Float[Array, "#b t"] | None = None
    ) -> Float[Array, "b h w features"]:
        norm = functools.partial(GroupNorm, self.groups, self.epsilon, self.dtype)
        h = Conv(self.features, self.dtype, name="conv1")(nn.silu(norm(name="norm1")(x)))
        if time is not None:
            shift = Dense(self.features, self.dtype, name="time_emb_proj")(nn.silu(time))
            h = h + shift[:, None, None]
        h = Conv(self.features, self.dtype, name="conv2")(nn.silu(norm(name="norm2")(h)))
        if x.shape[-1] != self.features:
            x = Conv(self.features, self.dtype, size=1, name="conv_shortcut")(x)
        return x + h


def upsample(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Each pixel becomes 2 x 2 of them."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)
