"""The blocks of the UNet: residual blocks of one width, and transformers between them where it attends to the caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Float

from cpi_jax.diffusion.networks.resnet import ResnetBlock, upsample
from cpi_jax.diffusion.networks.transformer import KeysValues, Transformer
from cpi_jax.networks.layers import Conv

GROUPS, EPSILON = 32, 1e-5  # of all norms of the UNet but its transformers'
# Of a block: for each of its transformers, for each of the transformer's layers.
BlockKeysValues = tuple[tuple[KeysValues, ...], ...]


class CrossAttention(NamedTuple):
    """How a block attends to the caption.

    Attributes:
      heads: of its attentions.
      layers: of each of its transformers.
      linear_projection: see `Transformer`.
    """

    heads: int
    layers: int
    linear_projection: bool


class UNetBlock(nn.Module):
    """What the blocks have in common: residual blocks, each followed by a transformer as long as there are any.

    Attributes:
      features: channels that come out.
      num_resnets: residual blocks.
      num_attentions: transformers.
      attention: of the transformers.
      resample: whether the size changes at the end.
      dtype: of the activations.
      remat: whether a backward pass computes the inside of residual blocks and transformers again.
    """

    features: int
    num_resnets: int
    num_attentions: int
    attention: CrossAttention
    resample: bool
    dtype: Any
    remat: bool

    def setup(self):
        kinds: tuple[Any, Any] = ResnetBlock, Transformer
        resnet, transformer = (nn.remat(kind) if self.remat else kind for kind in kinds)
        self.resnets = [
            resnet(self.features, GROUPS, EPSILON, self.dtype, name=f"resnets.{i}") for i in range(self.num_resnets)
        ]
        self.attentions = [
            transformer(self.features, *self.attention, GROUPS, self.dtype, name=f"attentions.{i}")
            for i in range(self.num_attentions)
        ]
        self.setup_resampling()

    def setup_resampling(self):
        """Sets the convolution at the end up."""

    def keys_values(self, context: Float[Array, "b k c"]) -> BlockKeysValues:
        """The caption's, for each transformer."""
        return tuple(transformer.keys_values(context) for transformer in self.attentions)

    def _layer(
        self, i: int, x: Float[Array, "b h w c"], time: Float[Array, "#b t"], keys_values: BlockKeysValues
    ) -> Float[Array, "b h w features"]:
        x = self.resnets[i](x, time)
        return self.attentions[i](x, keys_values[i]) if i < self.num_attentions else x


class DownBlock(UNetBlock):
    """Halves the size at the end."""

    def setup_resampling(self):
        if self.resample:
            self.halve = Conv(self.features, self.dtype, stride=2, name="downsamplers.0.conv")

    def __call__(
        self, x: Float[Array, "b h w c"], time: Float[Array, "#b t"], keys_values: BlockKeysValues
    ) -> tuple[Float[Array, "b h2 w2 features"], list[Float[Array, "b _ _ features"]]]:
        """What comes out, and what the block on the way up is given of each layer."""
        skips = []
        for i in range(self.num_resnets):
            x = self._layer(i, x, time, keys_values)
            skips.append(x)
        if self.resample:
            x = self.halve(x)
            skips.append(x)
        return x, skips


class MidBlock(UNetBlock):
    """Keeps the size."""

    def __call__(
        self, x: Float[Array, "b h w c"], time: Float[Array, "#b t"], keys_values: BlockKeysValues
    ) -> Float[Array, "b h w features"]:
        for i in range(self.num_resnets):
            x = self._layer(i, x, time, keys_values)
        return x


class UpBlock(UNetBlock):
    """Doubles the size at the end."""

    def setup_resampling(self):
        if self.resample:
            self.smooth = Conv(self.features, self.dtype, name="upsamplers.0.conv")

    def __call__(
        self,
        x: Float[Array, "b h w c"],
        time: Float[Array, "#b t"],
        keys_values: BlockKeysValues,
        skips: Sequence[Float[Array, "b h w _"]],
    ) -> Float[Array, "b h2 w2 features"]:
        for i, skip in enumerate(skips):
            x = self._layer(i, jnp.concatenate([x, skip], axis=-1), time, keys_values)
        return self.smooth(upsample(x)) if self.resample else x
