"""The networks of Stable Diffusion as pure functions of their parameters."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cpi_jax.diffusion.networks.autoencoder import AutoencoderKL
from cpi_jax.diffusion.networks.unet import AddedConditions, UNet2DCondition
from cpi_jax.diffusion.part_configs import complete_configs, has_two_encoders, text_parts, validate_configs
from cpi_jax.networks.text_encoder import CLIPTextEncoder


class EmbeddedCaptions(NamedTuple):
    """Captions as the UNet reads them.

    Attributes:
      context: a vector for each token; of two text encoders side by side.
      pooled: a vector for the whole caption, of the second text encoder; None where there is one encoder alone.
    """

    context: Float[Array, "b l c"]
    pooled: Float[Array, "b p"] | None


@dataclasses.dataclass(frozen=True, eq=False)  # compared by identity: a static argument of jitted functions
class Networks:
    """Text encoders, UNet and autoencoder as pure functions of their parameters.

    Attributes:
      configs: the parts' configurations, as in the checkpoint's config.json files, completed (`complete_configs`); of SDXL
        also "pipeline", what its model_index.json decides, and in "text_encoder_2" the ids of its tokenizer.
      text_encoders: CLIP's text transformers, by part: one, or SDXL's two.
      unet: the denoiser.
      vae: the autoencoder.
    """

    configs: dict[str, dict[str, Any]]
    text_encoders: dict[str, nn.Module]
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
    def pixels_per_latent(self) -> int:
        """Pixels of an image's side for one of its latents' side."""
        return 2 ** (len(self.configs["vae"]["down_block_types"]) - 1)

    @property
    def size_step(self) -> int:
        """What divides the sides of every image that can be made: the UNet halves latents until they would be odd."""
        return self.pixels_per_latent * 2 ** (len(self.configs["unet"]["down_block_types"]) - 1)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of an image in pixels."""
        height, width, _ = self.latent_shape
        return (height * self.pixels_per_latent, width * self.pixels_per_latent)

    @property
    def is_told_sizes(self) -> bool:
        """Whether the UNet is told the pooled caption and the picture's sizes, as SDXL's is."""
        return has_two_encoders(self.configs)

    @property
    def scaling_factor(self) -> float:
        """Latents are multiplied by this before diffusion."""
        return self.configs["vae"].get("scaling_factor", 0.18215)

    def encode_text(self, params: dict[str, Any], token_ids: Int[Array, "b l"], skip: int = 0) -> EmbeddedCaptions:
        """Embeds captions: of one text encoder the last layer after its norm, of SDXL's two the layers before the last.

        Args:
          params: by part.
          token_ids: of the captions.
          skip: layers left out at the end, besides (diffusers' `clip_skip`).
        """
        told, exact = self.is_told_sizes, jnp.float32
        first = _apply(self.text_encoders["text_encoder"], params["text_encoder"], token_ids, skip + told)
        if not told:
            return EmbeddedCaptions(first.normed.astype(exact), None)
        config = self.configs["text_encoder_2"]
        is_end = token_ids == config["eos_token_id"]
        behind = jnp.cumsum(is_end, axis=1) > is_end  # the end; the second encoder reads its own padding there
        padded = jnp.where(behind, config["pad_token_id"], token_ids)
        second = _apply(self.text_encoders["text_encoder_2"], params["text_encoder_2"], padded, skip + 1)
        context, pooled = jnp.concatenate([first.hidden, second.hidden], axis=-1).astype(exact), second.pooled
        if self.configs["pipeline"]["force_zeros_for_empty_prompt"]:
            says = ~is_end[:, 1:2]  # no caption of a study is empty: it is the prompt of no guidance
            context, pooled = context * says[..., None], pooled * says
        return EmbeddedCaptions(context, pooled.astype(exact))

    def added_conditions(
        self, captions: EmbeddedCaptions, time_ids: Float[Array, " n"] | None = None
    ) -> AddedConditions | None:
        """What the UNet is told besides: the pooled captions and the same sizes for all; None where it is told nothing.

        Args:
          captions: as they were embedded.
          time_ids: see `size_ids`; None: those of the checkpoint's own size.
        """
        if captions.pooled is None:
            return None
        ids = size_ids(*self.image_size) if time_ids is None else time_ids
        return AddedConditions(captions.pooled, jnp.broadcast_to(ids, (len(captions.pooled), len(ids))))

    def project_context(self, params: Any, context: jax.Array) -> Any:
        """Keys and values of embedded captions [B, L, width] in the UNet's attentions: a pytree of arrays [B, L, heads, d].

        They are the same at every step, so that a sampler computes them once.
        """
        return _apply(self.unet, params, context, method=self.unet.keys_values)

    def denoise_projected(
        self,
        params: Any,
        latents: jax.Array,
        timesteps: jax.Array,
        keys_values: Any,
        added: AddedConditions | None = None,
    ) -> jax.Array:
        """`denoise` with a projected context; `timesteps` may be [1] where all are alike."""
        inputs = (latents, timesteps, keys_values, added)
        return _apply(self.unet, params, *inputs, method=self.unet.denoise).astype(jnp.float32)

    def denoise(
        self,
        params: Any,
        latents: jax.Array,
        timesteps: jax.Array,
        context: jax.Array,
        added: AddedConditions | None = None,
        *,
        remat: bool = False,
    ) -> jax.Array:
        """The UNet's output (see `prediction.py`) for latents [B, h, w, c], timesteps int32 [B], context [B, L, width].

        With `remat`, a backward pass keeps only what goes into its blocks and computes their inside again.
        """
        unet = self.unet.clone(remat=remat)
        return _apply(unet, params, latents, timesteps, context, added).astype(jnp.float32)

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


def size_ids(
    height: int,
    width: int,
    *,
    original: tuple[int, ...] = (),
    crop: tuple[int, ...] = (0, 0),
    target: tuple[int, ...] = (),
) -> Float[Array, "6"]:
    """What SDXL's UNet is told of a picture's sizes (Podell et al. 2023, arXiv 2307.01952, section 2.2).

    Args:
      height: of the picture in pixels.
      width: of the picture.
      original: height and width of the photograph that the picture is to be like; empty: the picture's own.
      crop: pixels cut off at its top and left.
      target: height and width of the cut; empty: the picture's own.
    """
    sizes = (*(original or (height, width)), *crop, *(target or (height, width)))
    return jnp.asarray(sizes, jnp.float32)


def build_networks(configs: dict[str, dict[str, Any]], dtype: Any = jnp.float32) -> Networks:
    """Builds the networks that the configurations of the parts describe (see `Networks.configs`).

    Args:
      configs: of the parts.
      dtype: of the activations of UNet and autoencoder; the text encoders' are float32, since they are a thousandth of
        the work.

    Raises:
      InputError: for a setting that no network has, or that these networks do not have; names it.
    """
    configs = complete_configs(configs)
    validate_configs(configs)
    texts = {part: dict(configs[part]) for part in text_parts(configs)}
    if second := texts.get("text_encoder_2"):
        second["projection_size"] = second["projection_dim"]
    return Networks(
        configs=configs,
        text_encoders={part: _module(CLIPTextEncoder, config, jnp.float32) for part, config in texts.items()},
        unet=_module(UNet2DCondition, configs["unet"], dtype),
        vae=_module(AutoencoderKL, configs["vae"], dtype),
    )


def _module(cls: type[nn.Module], config: dict[str, Any], dtype: Any) -> nn.Module:
    """The module with those of its fields that the configuration names."""
    known = {field.name for field in dataclasses.fields(cls)} - {"parent", "name", "dtype"}
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in known}
    return cls(**fields, dtype=dtype)


def init_params(networks: Networks, key: jax.Array) -> dict[str, Any]:
    """Fresh parameters of all parts."""
    text_key, unet_key, vae_key = jax.random.split(key, 3)
    ids = jnp.zeros((1, networks.max_length), jnp.int32)
    context = jnp.zeros((1, networks.max_length, networks.configs["unet"]["cross_attention_dim"]))
    pooled = jnp.zeros((1, networks.configs["text_encoder_2"]["projection_dim"])) if networks.is_told_sizes else None
    latents = jnp.zeros((1, *networks.latent_shape))
    added = networks.added_conditions(EmbeddedCaptions(context, pooled))
    pixels = jnp.zeros((1, *networks.image_size, networks.configs["vae"].get("in_channels", 3)))
    texts = {part: module.init(text_key, ids)["params"] for part, module in networks.text_encoders.items()}
    return texts | {
        "unet": networks.unet.init(unet_key, latents, jnp.zeros(1, jnp.int32), context, added)["params"],
        "vae": networks.vae.init(vae_key, pixels)["params"],
    }


def param_shapes(networks: Networks) -> dict[str, Any]:
    """Shapes and dtypes of the parameters of all parts, a `jax.ShapeDtypeStruct` a leaf."""
    said = {
        part: {
            field: value for field, value in config.items() if field != "architectures" and not field.startswith("_")
        }
        for part, config in networks.configs.items()
    }  # without what tells who wrote it
    return jax.tree.map(lambda leaf: leaf, _shapes_of(json.dumps(said, sort_keys=True)))


@functools.lru_cache(maxsize=8)  # by what the configurations say: tracing a large network takes seconds
def _shapes_of(configs: str) -> dict[str, Any]:
    networks = build_networks(json.loads(configs))
    return jax.eval_shape(lambda: init_params(networks, jax.random.key(0)))
