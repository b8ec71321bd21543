"""The networks of Stable Diffusion: the one place that imports models of diffusers and transformers.

Their last releases with Flax are diffusers 0.39.0 and transformers 4.57.6. Only the networks are used, never their
schedulers or pipelines (BUILD_NOTES.md says which faults that avoids).
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from typing import Any

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")  # silences a deprecation notice printed for every submodule

import flax.linen as nn
import jax
import jax.numpy as jnp
from diffusers import FlaxAutoencoderKL, FlaxUNet2DConditionModel
from diffusers.models.attention_flax import FlaxGEGLU
from transformers import CLIPTextConfig, CLIPTokenizer
from transformers.models.clip.modeling_flax_clip import FlaxCLIPTextModule

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
    def scaling_factor(self) -> float:
        """Latents are multiplied by this before diffusion."""
        return self.configs["vae"].get("scaling_factor", 0.18215)

    def encode_text(self, params: Any, token_ids: jax.Array) -> jax.Array:
        """Token ids int32 [B, L] -> embeddings [B, L, width] of the last layer, after its norm."""
        positions = jnp.broadcast_to(jnp.arange(token_ids.shape[-1]), token_ids.shape)
        mask = jnp.ones_like(token_ids)
        return self.text_encoder.apply({"params": params}, token_ids, mask, positions, deterministic=True)[0]

    def denoise(self, params: Any, latents: jax.Array, timesteps: jax.Array, context: jax.Array) -> jax.Array:
        """The UNet's output (noise or velocity) for latents [B, h, w, c], timesteps int32 [B], context [B, L, width]."""
        with nn.intercept_methods(_exact_gelu):
            out = self.unet.apply({"params": params}, latents.transpose(0, 3, 1, 2), timesteps, context).sample
        return out.transpose(0, 2, 3, 1)

    def encode_image(self, params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Images [B, H, W, 3] in [0, 1] -> mean and standard deviation of the latents, [B, h, w, c] each, unscaled."""
        pixels = (2 * images - 1).transpose(0, 3, 1, 2)
        posterior = self.vae.apply({"params": params}, pixels, method=self.vae.encode).latent_dist
        return posterior.mean, posterior.std

    def decode_latents(self, params: Any, latents: jax.Array) -> jax.Array:
        """Unscaled latents [B, h, w, c] -> images [B, H, W, 3], about [0, 1], not clipped."""
        pixels = self.vae.apply({"params": params}, latents, method=self.vae.decode).sample
        return pixels.transpose(0, 2, 3, 1) / 2 + 0.5


def build_networks(configs: dict[str, dict[str, Any]]) -> Networks:
    """Builds the networks that the configurations {"text_encoder", "unet", "vae"} describe."""
    return Networks(
        configs=configs,
        text_encoder=FlaxCLIPTextModule(CLIPTextConfig(**configs["text_encoder"])),
        unet=_module(FlaxUNet2DConditionModel, configs["unet"]),
        vae=_module(FlaxAutoencoderKL, configs["vae"]),
    )


def init_params(networks: Networks, key: jax.Array) -> dict[str, Any]:
    """Fresh parameters of all three parts; under `jax.eval_shape`, their shapes."""
    h, w, c = networks.latent_shape
    text_key, unet_key, vae_key = jax.random.split(key, 3)
    ids = jnp.zeros((1, networks.max_length), jnp.int32)
    context = jnp.zeros((1, networks.max_length, networks.configs["unet"]["cross_attention_dim"]))
    pixels = jnp.zeros((1, networks.configs["vae"].get("in_channels", 3), 8 * h, 8 * w))
    return {
        "text_encoder": networks.text_encoder.init(text_key, ids, jnp.ones_like(ids), ids)["params"],
        "unet": networks.unet.init(unet_key, jnp.zeros((1, c, h, w)), jnp.zeros(1, jnp.int32), context)["params"],
        "vae": networks.vae.init(vae_key, pixels)["params"],
    }


def _module(cls: type[nn.Module], config: dict[str, Any]) -> nn.Module:
    known = set(inspect.signature(cls).parameters) - {"parent", "name", "dtype"}
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in known})


def _exact_gelu(next_fun, args, kwargs, context):
    """PyTorch's GEGLU uses the exact GELU; diffusers' Flax one its tanh approximation."""
    if isinstance(context.module, FlaxGEGLU) and context.method_name == "__call__":
        linear, gate = jnp.split(context.module.proj(args[0]), 2, axis=-1)
        return linear * nn.gelu(gate, approximate=False)
    return next_fun(*args, **kwargs)
