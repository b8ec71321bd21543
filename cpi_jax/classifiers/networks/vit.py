"""The vision transformer (Dosovitskiy et al. 2021), as transformers' ViTForImageClassification: it has no pooler."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cpi_jax.classifiers.networks.patches import embed_patches
from cpi_jax.networks.encoder_layer import EncoderLayer, LayerNames
from cpi_jax.networks.layers import Dense, LayerNorm, parameter

_NAMES = LayerNames(
    "layernorm_before", "attention.attention.query", "attention.attention.key", "attention.attention.value",
    "attention.output.dense", "layernorm_after", "intermediate.dense", "output.dense",
)  # fmt: skip


class ViTClassifier(nn.Module):
    """Logits of preprocessed images. Weights have PyTorch's names, and fields those of config.json.

    Attributes:
      num_labels: logits an image.
      hidden_size: numbers a patch.
      intermediate_size: of the hidden layers.
      num_hidden_layers: number of layers.
      num_attention_heads: of each.
      hidden_act: one of `ACTIVATIONS`.
      layer_norm_eps: epsilon of the norms.
      patch_size: pixels each way.
      qkv_bias: whether queries, keys and values have one.
    """

    num_labels: int
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    patch_size: int = 16
    qkv_bias: bool = True

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b c"]:
        first = parameter(
            self, "vit.embeddings.cls_token", nn.initializers.zeros, (1, 1, self.hidden_size), jnp.float32
        )
        x = embed_patches(images, first, self.patch_size, "vit.embeddings.patch_embeddings.projection", use_bias=True)
        places = "vit.embeddings.position_embeddings"
        x = x + parameter(self, places, nn.initializers.normal(0.02), (1, *x.shape[1:]), jnp.float32)
        layer = (self.intermediate_size, self.num_attention_heads, self.hidden_act, self.layer_norm_eps, jnp.float32)
        for i in range(self.num_hidden_layers):
            x = EncoderLayer(*layer, _NAMES, qkv_bias=self.qkv_bias, name=f"vit.encoder.layer.{i}")(x)
        x = LayerNorm(self.layer_norm_eps, jnp.float32, name="vit.layernorm")(x[:, :1])
        return Dense(self.num_labels, jnp.float32, name="classifier")(x[:, 0])
