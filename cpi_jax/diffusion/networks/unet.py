"""The denoiser of Stable Diffusion: a UNet that is told the time and attends to a caption (Rombach et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from cpi_jax.diffusion.networks.time_embedding import TimestepEmbedding, sinusoids
from cpi_jax.diffusion.networks.unet_blocks import (
    EPSILON,
    GROUPS,
    BlockKeysValues,
    CrossAttention,
    DownBlock,
    MidBlock,
    UpBlock,
)
from cpi_jax.networks.layers import Conv, GroupNorm


class AddedConditions(NamedTuple):
    """What SDXL's UNet is told beside time and caption (`addition_embed_type = "text_time"`).

    Attributes:
      text_embeds: the pooled caption.
      time_ids: sizes and crop of the picture.
    """

    text_embeds: Float[Array, "b p"]
    time_ids: Shaped[Array, "b n"]


class UNet2DCondition(nn.Module):
    """PyTorch diffusers' UNet2DConditionModel: weights have its names, and fields those of its config.json.

    Attributes:
      out_channels: of the latents.
      down_block_types: "DownBlock2D" or "CrossAttnDownBlock2D", of the blocks on the way down.
      mid_block_type: "UNetMidBlock2DCrossAttn", or None where there is no middle.
      up_block_types: "UpBlock2D" or "CrossAttnUpBlock2D", of those on the way up.
      block_out_channels: widths on the way down; the way up goes back through them.
      layers_per_block: residual blocks on the way down; on the way up there is one more.
      attention_head_dim: the number of heads, for all blocks or for each (its name is a mistake that files kept).
      transformer_layers_per_block: for all blocks or for each on the way down.
      use_linear_projection: see `Transformer`.
      flip_sin_to_cos: see `sinusoids`.
      freq_shift: see `sinusoids`.
      addition_embed_type: "text_time" for `AddedConditions`.
      addition_time_embed_dim: numbers for each of their `time_ids`.
      dtype: of the activations.
      remat: whether a backward pass computes the inside of residual blocks and transformers again.
    """

    out_channels: int = 4
    down_block_types: Sequence[str] = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    mid_block_type: str | None = "UNetMidBlock2DCrossAttn"
    up_block_types: Sequence[str] = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    block_out_channels: Sequence[int] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    attention_head_dim: int | Sequence[int] = 8
    transformer_layers_per_block: int | Sequence[int] = 1
    use_linear_projection: bool = False
    flip_sin_to_cos: bool = True
    freq_shift: int = 0
    addition_embed_type: str | None = None
    addition_time_embed_dim: int | None = None
    dtype: Any = jnp.float32
    remat: bool = False

    def setup(self):
        widths, depth = self.block_out_channels, len(self.block_out_channels)
        heads, layers = (
            [of] * depth if isinstance(of, int) else of
            for of in (self.attention_head_dim, self.transformer_layers_per_block)
        )

        def block(kind, name: str, level: int, num_resnets: int, num_attentions: int, resample: bool):
            attention = CrossAttention(heads[level], layers[level], self.use_linear_projection)
            shape = (widths[level], num_resnets, num_attentions, attention, resample)
            return kind(*shape, self.dtype, self.remat, name=name)

        self.conv_in = Conv(widths[0], self.dtype)
        self.time_embedding = TimestepEmbedding(4 * widths[0], self.dtype)
        if self.addition_embed_type == "text_time":
            self.add_embedding = TimestepEmbedding(4 * widths[0], self.dtype)
        last, down, up = depth - 1, self.layers_per_block, self.layers_per_block + 1
        self.down_blocks = [
            block(DownBlock, f"down_blocks.{i}", i, down, down * kind.startswith("CrossAttn"), i < last)
            for i, kind in enumerate(self.down_block_types)
        ]
        self.mid_block = block(MidBlock, "mid_block", last, 2, 1, False) if self.mid_block_type else None
        self.up_blocks = [
            block(UpBlock, f"up_blocks.{i}", last - i, up, up * kind.startswith("CrossAttn"), i < last)
            for i, kind in enumerate(self.up_block_types)
        ]
        self.conv_norm_out = GroupNorm(GROUPS, EPSILON, self.dtype)
        self.conv_out = Conv(self.out_channels, self.dtype)

    def keys_values(self, context: Float[Array, "b k c"]) -> list[BlockKeysValues]:
        """Keys and values of captions in every block, in the order of computation; the same at all steps of a sampler."""
        middle = [self.mid_block] if self.mid_block else []
        return [block.keys_values(context) for block in (*self.down_blocks, *middle, *self.up_blocks)]

    def denoise(
        self,
        latents: Float[Array, "b h w c"],
        timesteps: Shaped[Array, "#b"],
        keys_values: Sequence[BlockKeysValues],
        added: AddedConditions | None = None,
    ) -> Float[Array, "b h w out"]:
        """The output for latents, their times (one where they are all alike) and their captions' keys and values."""
        pairs = iter(keys_values)
        time = self._time(timesteps, added)
        x = self.conv_in(latents)
        skips = [x]
        for block in self.down_blocks:
            x, of_block = block(x, time, next(pairs))
            skips += of_block
        if self.mid_block:
            x = self.mid_block(x, time, next(pairs))
        for block in self.up_blocks:
            x = block(x, time, next(pairs), [skips.pop() for _ in range(block.num_resnets)])
        return self.conv_out(nn.silu(self.conv_norm_out(x)))

    def __call__(
        self,
        latents: Float[Array, "b h w c"],
        timesteps: Shaped[Array, "#b"],
        context: Float[Array, "b k w2"],
        added: AddedConditions | None = None,
    ) -> Float[Array, "b h w out"]:
        """The output for latents, their times and the embeddings of their captions."""
        return self.denoise(latents, timesteps, self.keys_values(context), added)

    def _time(self, timesteps: Shaped[Array, " b"], added: AddedConditions | None) -> Float[Array, "_ t"]:
        waves = {"flip_sin_to_cos": self.flip_sin_to_cos, "freq_shift": self.freq_shift}
        time = self.time_embedding(sinusoids(timesteps, self.block_out_channels[0], **waves))
        if self.addition_embed_type != "text_time":
            return time
        assert added is not None and self.addition_time_embed_dim is not None, "text_time asks for both"
        text, sizes = added
        sizes = sinusoids(sizes.reshape(-1), self.addition_time_embed_dim, **waves).reshape(len(text), -1)
        return time + self.add_embedding(jnp.concatenate([text, sizes], axis=-1))
