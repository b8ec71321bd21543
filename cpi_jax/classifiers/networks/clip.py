"""CLIP's image encoder (Radford et al. 2021), as in transformers' CLIPModel, and its scores of prompts."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cpi_jax.classifiers.networks.patches import embed_patches
from cpi_jax.networks.encoder_layer import EncoderLayer
from cpi_jax.networks.layers import Dense, Embed, LayerNorm, parameter


class CLIPScorer(nn.Module):
    """How well prompts fit preprocessed images. Weights have PyTorch's names, and fields those of config.json.

    Attributes:
      projection_dim: numbers of an embedded image, and of an embedded prompt.
      hidden_size: numbers a patch.
      intermediate_size: of the hidden layers.
      num_hidden_layers: number of layers.
      num_attention_heads: of each.
      hidden_act: one of `ACTIVATIONS`.
      layer_norm_eps: epsilon of the norms.
      patch_size: pixels each way.
    """

    projection_dim: int
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    patch_size: int = 32

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"], prompts: Float[Array, "c p"]) -> Float[Array, "b c"]:
        """The scaled cosines.

        Args:
          images: preprocessed.
          prompts: embedded, of length 1.
        """
        size, epsilon = self.hidden_size, self.layer_norm_eps
        first = parameter(self, "vision_model.embeddings.class_embedding", nn.initializers.zeros, (size,), jnp.float32)
        patches = "vision_model.embeddings.patch_embedding"
        x = embed_patches(images, first.reshape(1, 1, size), self.patch_size, patches, use_bias=False)
        places = Embed(x.shape[1], size, jnp.float32, name="vision_model.embeddings.position_embedding")
        x = x + places(jnp.arange(x.shape[1])[None])
        x = LayerNorm(epsilon, jnp.float32, name="vision_model.pre_layrnorm")(x)  # so in files
        layer = (self.intermediate_size, self.num_attention_heads, self.hidden_act, epsilon, jnp.float32)
        for i in range(self.num_hidden_layers):
            x = EncoderLayer(*layer, name=f"vision_model.encoder.layers.{i}")(x)
        x = LayerNorm(epsilon, jnp.float32, name="vision_model.post_layernorm")(x[:, :1])[:, 0]
        x = Dense(self.projection_dim, jnp.float32, use_bias=False, name="visual_projection")(x)
        scale = parameter(self, "logit_scale", nn.initializers.zeros, (), jnp.float32)
        return jnp.exp(scale) * unit(x) @ prompts.T


def unit(x: Float[Array, "b p"]) -> Float[Array, "b p"]:
    """Of length 1."""
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)
