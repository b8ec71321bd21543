"""CLIP's text encoder (Radford et al. 2021)."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cpi_jax.networks.encoder_layer import EncoderLayer
from cpi_jax.networks.layers import Dense, Embed, LayerNorm

_OLD_END = 2  # in files of before 2023 that name no true end token: it is the largest id


class EncodedText(NamedTuple):
    """What the text encoder says of captions.

    Attributes:
      hidden: of the chosen layer, as it comes out.
      normed: the same after the norm at the end.
      pooled: of the last layer after the norm, at the caption's end; projected where there is a projection.
    """

    hidden: Float[Array, "b n c"]
    normed: Float[Array, "b n c"]
    pooled: Float[Array, "b p"]


class CLIPTextEncoder(nn.Module):
    """transformers' CLIPTextModel: weights have its PyTorch names, and fields those of its config.json.

    Attributes:
      vocab_size: number of tokens.
      hidden_size: numbers a token.
      intermediate_size: of the hidden layers.
      num_hidden_layers: number of layers.
      num_attention_heads: of each.
      max_position_embeddings: most tokens of a caption.
      hidden_act: one of `ACTIVATIONS`.
      layer_norm_eps: epsilon of the norms.
      eos_token_id: the token that ends a caption.
      projection_size: numbers of the projected pooled caption (CLIPTextModelWithProjection); 0: no projection.
      dtype: of the activations.
    """

    vocab_size: int
    hidden_size: int
    max_position_embeddings: int
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    eos_token_id: int = 49407
    projection_size: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, token_ids: Int[Array, "b n"], skip: int = 0) -> EncodedText:
        """Encodes captions.

        Args:
          token_ids: of the captions, padded.
          skip: layers left out at the end, for `hidden` and `normed`.
        """
        words = self._embedding(self.vocab_size, "token_embedding")
        places = self._embedding(self.max_position_embeddings, "position_embedding")
        x = words(token_ids) + places(jnp.arange(token_ids.shape[1])[None])
        layer = (self.intermediate_size, self.num_attention_heads, self.hidden_act, self.layer_norm_eps, self.dtype)
        states = [x]
        for i in range(self.num_hidden_layers):
            states.append(EncoderLayer(*layer, causal=True, name=f"text_model.encoder.layers.{i}")(states[-1]))
        norm = LayerNorm(self.layer_norm_eps, self.dtype, name="text_model.final_layer_norm")
        hidden, last = states[-1 - skip], norm(states[-1])
        of_end = token_ids if self.eos_token_id == _OLD_END else token_ids == self.eos_token_id
        pooled = jnp.take_along_axis(last, of_end.argmax(axis=1)[:, None, None], axis=1)[:, 0]
        if self.projection_size:
            pooled = Dense(self.projection_size, self.dtype, use_bias=False, name="text_projection")(pooled)
        return EncodedText(hidden, norm(hidden) if skip else last, pooled)

    def _embedding(self, count: int, name: str) -> Embed:
        return Embed(count, self.hidden_size, self.dtype, name=f"text_model.embeddings.{name}")
