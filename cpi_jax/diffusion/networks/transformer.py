"""Attention between the pixels of a feature map, and from them to a caption."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from cpi_jax.networks.attention import attend
from cpi_jax.networks.layers import Conv, Dense, GroupNorm, LayerNorm

# Keys and values of a caption's tokens in one attention, by head: [B, tokens, heads, d] each.
KeysValues = tuple[Float[Array, "b k _ _"], Float[Array, "b k _ _"]]


class Attention(nn.Module):
    """Attention of several heads (Vaswani et al. 2017).

    Attributes:
      features: numbers a token, over all heads.
      heads: into which they part.
      dtype: of the activations.
      bias: of queries, keys and values.
    """

    features: int
    heads: int
    dtype: Any
    bias: bool = False

    def setup(self):
        dense = functools.partial(Dense, self.features, self.dtype)
        self.to_query = dense(use_bias=self.bias, name="to_q")
        self.to_key = dense(use_bias=self.bias, name="to_k")
        self.to_value = dense(use_bias=self.bias, name="to_v")
        self.to_out = dense(name="to_out.0")

    def keys_values(self, context: Float[Array, "b k c"]) -> KeysValues:
        """Keys and values of what is attended to."""
        return self._by_head(self.to_key(context)), self._by_head(self.to_value(context))

    def __call__(self, x: Float[Array, "b q c"], keys_values: KeysValues | None = None) -> Float[Array, "b q features"]:
        """Attends to the given keys and values, by default to those of `x` itself."""
        keys, values = self.keys_values(x) if keys_values is None else keys_values
        attended = attend(self._by_head(self.to_query(x)), keys, values, scale=(self.features // self.heads) ** -0.5)
        return self.to_out(attended.reshape(*x.shape[:2], self.features))

    def _by_head(self, x: Float[Array, "b n features"]) -> Float[Array, "b n heads d"]:
        return x.reshape(*x.shape[:2], self.heads, -1)


class FeedForward(nn.Module):
    """A hidden layer gated by the exact GELU (GEGLU: Shazeer 2020).

    Attributes:
      features: numbers a token.
      dtype: of the activations.
    """

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b n c"]) -> Float[Array, "b n features"]:
        hidden = Dense(8 * self.features, self.dtype, name="net.0.proj")(x)
        linear, gate = hidden[..., : 4 * self.features], hidden[..., 4 * self.features :]
        return Dense(self.features, self.dtype, name="net.2")(linear * nn.gelu(gate, approximate=False))


class TransformerBlock(nn.Module):
    """Attention among the pixels, attention to the caption, a hidden layer; each norms first and is added.

    Attributes:
      features: numbers a pixel.
      heads: of both attentions.
      dtype: of the activations.
    """

    features: int
    heads: int
    dtype: Any

    def setup(self):
        self.norm1, self.norm2, self.norm3 = (LayerNorm(1e-5, self.dtype) for _ in range(3))
        self.attn1 = Attention(self.features, self.heads, self.dtype)
        self.attn2 = Attention(self.features, self.heads, self.dtype)
        self.ff = FeedForward(self.features, self.dtype)

    def keys_values(self, context: Float[Array, "b k c"]) -> KeysValues:
        """The caption's, as this block's second attention reads them."""
        return self.attn2.keys_values(context)

    def __call__(self, x: Float[Array, "b n c"], keys_values: KeysValues) -> Float[Array, "b n c"]:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), keys_values)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    """Transformer blocks over the pixels of a feature map, added to it.

    Attributes:
      features: channels.
      heads: of the attentions.
      layers: number of blocks.
      linear_projection: whether dense layers lead in and out, in place of 1x1 convolutions: the same sums, but the weights
        have another shape.
      groups: of the norm.
      dtype: of the activations.
    """

    features: int
    heads: int
    layers: int
    linear_projection: bool
    groups: int
    dtype: Any

    def setup(self):
        projection = Dense if self.linear_projection else functools.partial(Conv, size=1)
        self.norm = GroupNorm(self.groups, 1e-6, self.dtype)
        self.proj_in = projection(self.features, self.dtype)
        self.blocks = [
            TransformerBlock(self.features, self.heads, self.dtype, name=f"transformer_blocks.{i}")
            for i in range(self.layers)
        ]
        self.proj_out = projection(self.features, self.dtype)

    def keys_values(self, context: Float[Array, "b k c"]) -> tuple[KeysValues, ...]:
        """The caption's, a pair for each block."""
        return tuple(block.keys_values(context) for block in self.blocks)

    def __call__(self, x: Float[Array, "b h w c"], keys_values: Sequence[KeysValues]) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        tokens = self.proj_in(self.norm(x)).reshape(b, h * w, c)
        for block, pair in zip(self.blocks, keys_values, strict=True):
            tokens = block(tokens, pair)
        return x + self.proj_out(tokens.reshape(b, h, w, c))
