"""The networks of Stable Diffusion: the one place that imports models of diffusers and transformers.

Their last releases with Flax are diffusers 0.39.0 and transformers 4.57.6. Only the networks are used, never their
schedulers or pipelines (BUILD_NOTES.md says which faults that avoids).
"""

from __future__ import annotations

import contextlib
import dataclasses
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
from transformers import CLIPTextConfig, CLIPTokenizer
from transformers.models.clip.modeling_flax_clip import FlaxCLIPTextModule

from cpi_jax.diffusion.attention import attend
from cpi_jax.diffusion.part_configs import check_configs

__all__ = ["CLIPTokenizer", "Networks", "build_networks", "init_params"]


@dataclasses.dataclass(frozen=True, eq=False)  # compared by identity: a static argument of jitted functions
class Networks:
    """Text encoder, UNet and autoencoder as pure functions of their parameters.

    Attributes:
      configs: the parts' configurations, as in the checkpoint's config.json files.
      text_encoder: CLIP's text transformer.
      unet: the denoiser.
      vae: the autoencoder.
    """

    configs: dict[str, dict[str, Any]]
    text_encoder: nn.Module
    unet: nn.Module
    vae: nn.Module

    @property
    def max_length(self) -> int:
        """Tokens of a caption, BOS, EOS and padding included."""
        return self.configs["text_encoder"]["max_position_embeddings"]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(h, w, channels) of the latents of one image."""
        size = self.configs["unet"]["sample_size"]
        return (size, size, self.configs["vae"]["latent_channels"])

    @property
    def image_size(self) -> int:
        """Pixels of an image's side."""
        return self.latent_shape[0] * 2 ** (len(self.configs["vae"]["down_block_types"]) - 1)

    @property
    def scaling_factor(self) -> float:
        """Latents are multiplied by this before diffusion."""
        return self.configs["vae"].get("scaling_factor", 0.18215)

    def encode_text(self, params: Any, token_ids: jax.Array) -> jax.Array:
        """Token ids int32 [B, L] -> embeddings [B, L, width] of the last layer, after its norm."""
        positions = jnp.broadcast_to(jnp.arange(token_ids.shape[-1]), token_ids.shape)
        mask = jnp.ones_like(token_ids)
        out = self.text_encoder.apply({"params": params}, token_ids, mask, positions, deterministic=True)[0]
        return out.astype(jnp.float32)

    def denoise(
        self, params: Any, latents: jax.Array, timesteps: jax.Array, context: jax.Array, *, remat: bool = False
    ) -> jax.Array:
        """The UNet's output (see `prediction.py`) for latents [B, h, w, c], timesteps int32 [B], context [B, L, width].

        With `remat`, a backward pass keeps only what goes into its blocks and computes their inside again.
        """
        with contextlib.ExitStack() as stack:
            if remat:
                stack.enter_context(nn.intercept_methods(_Remat()))
            stack.enter_context(nn.intercept_methods(_as_pytorch))
            out = self.unet.apply({"params": params}, latents.transpose(0, 3, 1, 2), timesteps, context).sample
        return out.transpose(0, 2, 3, 1).astype(jnp.float32)

    def encode_image(self, params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Images [B, H, W, 3] in [0, 1] -> mean and standard deviation of the latents, [B, h, w, c] each, unscaled."""
        pixels = (2 * images - 1).transpose(0, 3, 1, 2)
        with nn.intercept_methods(_as_pytorch):
            posterior = self.vae.apply({"params": params}, pixels, method=self.vae.encode).latent_dist
        return posterior.mean, posterior.std

    def decode_latents(self, params: Any, latents: jax.Array) -> jax.Array:
        """Unscaled latents [B, h, w, c] -> images [B, H, W, 3], about [0, 1], not clipped."""
        with nn.intercept_methods(_as_pytorch):
            pixels = self.vae.apply({"params": params}, latents, method=self.vae.decode).sample
        return pixels.transpose(0, 2, 3, 1).astype(jnp.float32) / 2 + 0.5


def build_networks(configs: dict[str, dict[str, Any]], dtype: Any = jnp.float32) -> Networks:
    """Builds the networks that the configurations {"text_encoder", "unet", "vae"} describe.

    Args:
      configs: of the parts.
      dtype: of the activations of UNet and autoencoder; the text encoder's are float32, since its softmax would be of
        their type, and it is a thousandth of the work.

    Raises:
      InputError: for a setting that no network has, or that diffusers' Flax networks do not have; names it.
    """
    check_configs(configs)
    return Networks(
        configs=configs,
        text_encoder=FlaxCLIPTextModule(CLIPTextConfig(**configs["text_encoder"])),
        unet=_module(FlaxUNet2DConditionModel, configs["unet"], dtype),
        vae=_module(FlaxAutoencoderKL, configs["vae"], dtype),
    )


def init_params(networks: Networks, key: jax.Array) -> dict[str, Any]:
    """Fresh parameters of all three parts; under `jax.eval_shape`, their shapes."""
    h, w, c = networks.latent_shape
    text_key, unet_key, vae_key = jax.random.split(key, 3)
    ids = jnp.zeros((1, networks.max_length), jnp.int32)
    context = jnp.zeros((1, networks.max_length, networks.configs["unet"]["cross_attention_dim"]))
    pixels = jnp.zeros((1, networks.configs["vae"].get("in_channels", 3), networks.image_size, networks.image_size))
    return {
        "text_encoder": networks.text_encoder.init(text_key, ids, jnp.ones_like(ids), ids)["params"],
        "unet": networks.unet.init(unet_key, jnp.zeros((1, c, h, w)), jnp.zeros(1, jnp.int32), context)["params"],
        "vae": networks.vae.init(vae_key, pixels)["params"],
    }


def _module(cls: type[nn.Module], config: dict[str, Any], dtype: Any) -> nn.Module:
    known = set(inspect.signature(cls).parameters) - {"parent", "name", "dtype"}
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in known}
    return cls(**fields, dtype=dtype)


class _Remat:
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


def _as_pytorch(next_fun, args, kwargs, context):
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
