"""The autoencoder of Stable Diffusion: images to a normal distribution over latents, and back (Rombach et al. 2022)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cpi_jax.diffusion.networks.resnet import ResnetBlock, upsample
from cpi_jax.diffusion.networks.transformer import Attention
from cpi_jax.networks.layers import Conv, GroupNorm

_EPSILON = 1e-6  # of all its norms


class PixelAttention(Attention):
    """Attention of one head between the pixels of a feature map, added to it.

    Attributes:
      groups: of the norm before it.
    """

    bias: bool = True
    groups: int = 32

    def setup(self):
        super().setup()
        self.group_norm = GroupNorm(self.groups, _EPSILON, self.dtype)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        return x + super().__call__(self.group_norm(x).reshape(b, h * w, c)).reshape(x.shape)


class _Half(nn.Module):
    """Encoder or decoder.

    Attributes:
      out_channels: that come out.
      block_out_channels: widths, from the image to the latents.
      layers: residual blocks of one width.
      groups: of the norms.
      dtype: of the activations.
    """

    out_channels: int
    block_out_channels: Sequence[int]
    layers: int
    groups: int
    dtype: Any

    def _resnets(self, x: Float[Array, "b h w c"], features: int, name: str) -> Float[Array, "b h w features"]:
        for i in range(self.layers):
            x = ResnetBlock(features, self.groups, _EPSILON, self.dtype, name=f"{name}.resnets.{i}")(x)
        return x

    def _middle(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        resnet = functools.partial(ResnetBlock, x.shape[-1], self.groups, _EPSILON, self.dtype)
        x = resnet(name="mid_block.resnets.0")(x)
        x = PixelAttention(x.shape[-1], 1, self.dtype, groups=self.groups, name="mid_block.attentions.0")(x)
        return resnet(name="mid_block.resnets.1")(x)

    def _out(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w out"]:
        x = GroupNorm(self.groups, _EPSILON, self.dtype, name="conv_norm_out")(x)
        return Conv(self.out_channels, self.dtype, name="conv_out")(nn.silu(x))


class Encoder(_Half):
    """Images to what the latents' distribution is computed from."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 out"]:
        widths = self.block_out_channels
        x = Conv(widths[0], self.dtype, name="conv_in")(x)
        for i, features in enumerate(widths):
            x = self._resnets(x, features, f"down_blocks.{i}")
            if i + 1 < len(widths):
                name = f"down_blocks.{i}.downsamplers.0.conv"
                x = Conv(features, self.dtype, stride=2, padding=(0, 1), name=name)(x)
        return self._out(self._middle(x))


class Decoder(_Half):
    """Latents to images."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 out"]:
        widths = self.block_out_channels[::-1]
        x = self._middle(Conv(widths[0], self.dtype, name="conv_in")(x))
        for i, features in enumerate(widths):
            x = self._resnets(x, features, f"up_blocks.{i}")
            if i + 1 < len(widths):
                x = Conv(features, self.dtype, name=f"up_blocks.{i}.upsamplers.0.conv")(upsample(x))
        return self._out(x)


class AutoencoderKL(nn.Module):
    """PyTorch diffusers' AutoencoderKL: weights have its names, and fields those of its config.json.

    Attributes:
      out_channels: of the images.
      latent_channels: of the latents.
      block_out_channels: widths; between two of them the size is halved.
      layers_per_block: residual blocks of a width in the encoder; the decoder has one more.
      norm_num_groups: of the norms.
      dtype: of the activations.
    """

    out_channels: int = 3
    latent_channels: int = 4
    block_out_channels: Sequence[int] = (64,)
    layers_per_block: int = 1
    norm_num_groups: int = 32
    dtype: Any = jnp.float32

    def setup(self):
        widths, layers, rest = self.block_out_channels, self.layers_per_block, (self.norm_num_groups, self.dtype)
        self.encoder = Encoder(2 * self.latent_channels, widths, layers, *rest)
        self.decoder = Decoder(self.out_channels, widths, layers + 1, *rest)
        self.quant_conv = Conv(2 * self.latent_channels, self.dtype, size=1)
        self.post_quant_conv = Conv(self.latent_channels, self.dtype, size=1)

    def encode(self, pixels: Float[Array, "b h w c"]) -> tuple[Float[Array, "b h2 w2 z"], Float[Array, "b h2 w2 z"]]:
        """Mean and standard deviation of the latents."""
        mean, log_variance = jnp.split(self.quant_conv(self.encoder(pixels)), 2, axis=-1)
        return mean, jnp.exp(0.5 * jnp.clip(log_variance, -30.0, 20.0))

    def decode(self, latents: Float[Array, "b h w z"]) -> Float[Array, "b h2 w2 c"]:
        """Pixels, about [-1, 1]."""
        return self.decoder(self.post_quant_conv(latents))

    def __call__(self, pixels: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Pixels of the mean latents of pixels."""
        return self.decode(self.encode(pixels)[0])
