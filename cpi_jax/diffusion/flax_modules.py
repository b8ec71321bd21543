"""The networks' modules: the one place of generation that imports models of diffusers and transformers.

Their last releases with Flax are diffusers 0.39.0 and transformers 4.57.6. Only the networks are used, never their
schedulers or pipelines (BUILD_NOTES.md says which faults that avoids). They take a second and more to import, so this file
is imported where a network is built or traced (`networks.py`).
"""

from __future__ import annotations

import inspect
import os
from typing import Any

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")  # silences a deprecation notice printed for every submodule

import flax.linen as nn
import jax
import jax.numpy as jnp
from diffusers import FlaxAutoencoderKL, FlaxUNet2DConditionModel
from diffusers.models.attention_flax import FlaxAttention, FlaxGEGLU, FlaxTransformer2DModel
from diffusers.models.resnet_flax import FlaxResnetBlock2D
from diffusers.models.vae_flax import FlaxAttentionBlock
from transformers import CLIPTextConfig
from transformers.models.clip.modeling_flax_clip import FlaxCLIPTextModule

from cpi_jax.diffusion.attention import attend


def build_modules(configs: dict[str, dict[str, Any]], dtype: Any) -> dict[str, nn.Module]:
    """Text encoder, UNet and autoencoder; see `networks.build_networks`."""
    return {
        "text_encoder": FlaxCLIPTextModule(CLIPTextConfig(**configs["text_encoder"])),
        "unet": _module(FlaxUNet2DConditionModel, configs["unet"], dtype),
        "vae": _module(FlaxAutoencoderKL, configs["vae"], dtype),
    }


def _module(cls: type[nn.Module], config: dict[str, Any], dtype: Any) -> nn.Module:
    known = set(inspect.signature(cls).parameters) - {"parent", "name", "dtype"}
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in known}
    return cls(**fields, dtype=dtype)


class Remat:
    """Interceptor: what a residual or transformer block computes is not kept for the backward pass."""

    def __init__(self):
        self.inside = False

    def __call__(self, next_fun, args, kwargs, context):
        of_block = isinstance(context.module, (FlaxResnetBlock2D, FlaxTransformer2DModel))
        if self.inside or not of_block or context.method_name != "__call__":
            return next_fun(*args, **kwargs)

        def block(module, *args):
            self.inside = True  # the call comes through here once more
            try:
                return module(*args, **kwargs)
            finally:
                self.inside = False

        return nn.remat(block)(context.module, *args)


def as_pytorch(next_fun, args, kwargs, context):
    """Where diffusers' Flax layers differ from its PyTorch ones: the exact GELU, a norm's epsilon, the softmax's type."""
    module = context.module
    if context.method_name != "__call__":
        return next_fun(*args, **kwargs)
    if isinstance(module, FlaxGEGLU):
        linear, gate = jnp.split(module.proj(args[0]), 2, axis=-1)
        return linear * nn.gelu(gate, approximate=False)
    if isinstance(module, FlaxAttention):
        hidden, context_states = args[0], args[1] if len(args) > 1 else None
        return _attention(module, hidden, hidden if context_states is None else context_states)
    if isinstance(module, FlaxAttentionBlock):  # the autoencoder's
        return args[0] + _attention_over_pixels(module, module.group_norm(args[0]))
    if isinstance(module, nn.GroupNorm) and isinstance(module.parent, FlaxTransformer2DModel):
        object.__setattr__(module, "epsilon", 1e-6)
    return next_fun(*args, **kwargs)


def _attention(module: FlaxAttention, hidden: jax.Array, context: jax.Array) -> jax.Array:
    def heads(x):
        return x.reshape(*x.shape[:2], module.heads, module.dim_head)

    out = attend(
        heads(module.query(hidden)), heads(module.key(context)), heads(module.value(context)), scale=module.scale
    )
    return module.proj_attn(out.reshape(*hidden.shape[:2], -1))


def _attention_over_pixels(module: FlaxAttentionBlock, hidden: jax.Array) -> jax.Array:
    b, h, w, c = hidden.shape
    flat = hidden.reshape(b, h * w, c)

    def heads(x):
        return x.reshape(b, h * w, module.num_heads, -1)

    size = c // module.num_heads
    out = attend(heads(module.query(flat)), heads(module.key(flat)), heads(module.value(flat)), scale=size**-0.5)
    return module.proj_attn(out.reshape(b, h * w, c)).reshape(hidden.shape)
