"""A transformer's layer that encodes text or images: CLIP's (Radford et al. 2021) ViT's (Dosovitskiy et al. 2021)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from cpi_jax.networks.attention import attend
from cpi_jax.networks.layers import Dense, LayerNorm

# By transformers' names, as config.json has them.
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "quick_gelu": lambda x: x * nn.sigmoid(1.702 * x),
    "gelu": functools.partial(nn.gelu, approximate=False),
    "gelu_new": functools.partial(nn.gelu, approximate=True),
    "gelu_pytorch_tanh": functools.partial(nn.gelu, approximate=True),
    "relu": nn.relu,
    "silu": nn.silu,
    "swish": nn.silu,
    "tanh": nn.tanh,
}


class LayerNames(NamedTuple):
    """What PyTorch calls the modules of a layer."""

    attention_norm: str
    query: str
    key: str
    value: str
    attention_out: str
    hidden_norm: str
    hidden_in: str
    hidden_out: str


CLIP_NAMES = LayerNames(
    "layer_norm1", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj",
    "layer_norm2", "mlp.fc1", "mlp.fc2",
)  # fmt: skip


class EncoderLayer(nn.Module):
    """Attention among the tokens, and a hidden layer; each norms first and is added.

    Attributes:
      intermediate_size: of the hidden layer.
      heads: of the attention.
      activation: one of `ACTIVATIONS`.
      epsilon: of the norms.
      dtype: of the activations.
      names: of the modules.
      causal: each token attends to itself and those before.
      qkv_bias: whether queries, keys and values have one.
    """

    intermediate_size: int
    heads: int
    activation: str
    epsilon: float
    dtype: Any
    names: LayerNames = CLIP_NAMES
    causal: bool = False
    qkv_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
        b, n, c = x.shape
        names = self.names
        norm = functools.partial(LayerNorm, self.epsilon, self.dtype)
        dense = functools.partial(Dense, dtype=self.dtype, kernel_init=nn.initializers.normal(0.01))
        h = norm(name=names.attention_norm)(x)
        query, key, value = (
            dense(c, use_bias=self.qkv_bias, name=name)(h).reshape(b, n, self.heads, -1)
            for name in (names.query, names.key, names.value)
        )
        h = attend(query, key, value, scale=(c // self.heads) ** -0.5, causal=self.causal).reshape(b, n, c)
        x = x + dense(c, name=names.attention_out)(h)
        h = dense(self.intermediate_size, name=names.hidden_in)(norm(name=names.hidden_norm)(x))
        return x + dense(c, name=names.hidden_out)(ACTIVATIONS[self.activation](h))
