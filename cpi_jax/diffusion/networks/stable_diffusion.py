"""The networks of Stable Diffusion as pure functions of their parameters."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cpi_jax.diffusion.networks.autoencoder import AutoencoderKL
from cpi_jax.diffusion.networks.unet import UNet2DCondition
from cpi_jax.diffusion.part_configs import complete_configs, validate_configs
from cpi_jax.networks.text_encoder import CLIPTextEncoder


@dataclasses.dataclass(frozen=True, eq=False)  # compared by identity: a static argument of jitted functions
class Networks:
    """Text encoder, UNet and autoencoder as pure functions of their parameters.

    Attributes:
      configs: the parts' configurations, as in the checkpoint's config.json files, completed (`complete_configs`).
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
        height, width = (size, size) if isinstance(size, int) else size
        return (height, width, self.configs["vae"].get("latent_channels", 4))

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of an image in pixels."""
        scale = 2 ** (len(self.configs["vae"]["down_block_types"]) - 1)
        height, width, _ = self.latent_shape
        return (height * scale, width * scale)

    @property
    def scaling_factor(self) -> float:
        """Latents are multiplied by this before diffusion."""
        return self.configs["vae"].get("scaling_factor", 0.18215)

    def encode_text(self, params: Any, token_ids: jax.Array) -> jax.Array:
        """Token ids int32 [B, L] -> embeddings [B, L, width] of the last layer, after its norm."""
        return _apply(self.text_encoder, params, token_ids).normed.astype(jnp.float32)

    def project_context(self, params: Any, context: jax.Array) -> Any:
        """Keys and values of embedded captions [B, L, width] in the UNet's attentions: a pytree of arrays [B, L, heads, d].

        They are the same at every step, so that a sampler computes them once.
        """
        return _apply(self.unet, params, context, method=self.unet.keys_values)

    def denoise_projected(self, params: Any, latents: jax.Array, timesteps: jax.Array, keys_values: Any) -> jax.Array:
        """`denoise` with a projected context; `timesteps` may be [1] where all are alike."""
        inputs = (latents, timesteps, keys_values)
        return _apply(self.unet, params, *inputs, method=self.unet.denoise).astype(jnp.float32)

    def denoise(
        self, params: Any, latents: jax.Array, timesteps: jax.Array, context: jax.Array, *, remat: bool = False
    ) -> jax.Array:
        """The UNet's output (see `prediction.py`) for latents [B, h, w, c], timesteps int32 [B], context [B, L, width].

        With `remat`, a backward pass keeps only what goes into its blocks and computes their inside again.
        """
        unet = self.unet.clone(remat=remat)
        return _apply(unet, params, latents, timesteps, context).astype(jnp.float32)

    def encode_image(self, params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Images [B, H, W, 3] in [0, 1] -> mean and standard deviation of the latents, [B, h, w, c] each, unscaled."""
        return _apply(self.vae, params, 2 * images - 1, method=self.vae.encode)

    def decode_latents(self, params: Any, latents: jax.Array) -> jax.Array:
        """Unscaled latents [B, h, w, c] -> images [B, H, W, 3], about [0, 1], not clipped."""
        pixels = _apply(self.vae, params, latents, method=self.vae.decode)
        return pixels.astype(jnp.float32) / 2 + 0.5


def _apply(module: nn.Module, params: Any, *inputs: Any, method: Any = None) -> Any:
    """What a module gives; Flax says of every one that it might give its variables, too."""
    return module.apply({"params": params}, *inputs, method=method)


def build_networks(configs: dict[str, dict[str, Any]], dtype: Any = jnp.float32) -> Networks:
    """Builds the networks that the configurations {"text_encoder", "unet", "vae"} describe.

    Args:
      configs: of the parts.
      dtype: of the activations of UNet and autoencoder; the text encoder's are float32, since it is a thousandth of the
        work.

    Raises:
      InputError: for a setting that no network has, or that these networks do not have; names it.
    """
    configs = complete_configs(configs)
    validate_configs(configs)
    return Networks(
        configs=configs,
        text_encoder=_module(CLIPTextEncoder, configs["text_encoder"], jnp.float32),
        unet=_module(UNet2DCondition, configs["unet"], dtype),
        vae=_module(AutoencoderKL, configs["vae"], dtype),
    )


def _module(cls: type[nn.Module], config: dict[str, Any], dtype: Any) -> nn.Module:
    """The module with those of its fields that the configuration names."""
    known = {field.name for field in dataclasses.fields(cls)} - {"parent", "name", "dtype"}
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in known}
    return cls(**fields, dtype=dtype)


def init_params(networks: Networks, key: jax.Array) -> dict[str, Any]:
    """Fresh parameters of all three parts."""
    h, w, c = networks.latent_shape
    text_key, unet_key, vae_key = jax.random.split(key, 3)
    ids = jnp.zeros((1, networks.max_length), jnp.int32)
    context = jnp.zeros((1, networks.max_length, networks.configs["unet"]["cross_attention_dim"]))
    pixels = jnp.zeros((1, *networks.image_size, networks.configs["vae"].get("in_channels", 3)))
    return {
        "text_encoder": networks.text_encoder.init(text_key, ids)["params"],
        "unet": networks.unet.init(unet_key, jnp.zeros((1, h, w, c)), jnp.zeros(1, jnp.int32), context)["params"],
        "vae": networks.vae.init(vae_key, pixels)["params"],
    }


def param_shapes(networks: Networks) -> dict[str, Any]:
    """Shapes and dtypes of the parameters of all three parts, a `jax.ShapeDtypeStruct` a leaf."""
    return jax.tree.map(lambda leaf: leaf, _shapes_of(json.dumps(networks.configs)))


@functools.lru_cache(maxsize=8)  # by what the configurations say: tracing a large network takes seconds
def _shapes_of(configs: str) -> dict[str, Any]:
    networks = build_networks(json.loads(configs))
    return jax.eval_shape(lambda: init_params(networks, jax.random.key(0)))
