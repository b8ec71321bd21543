"""Text-conditioned sampling: text encoder -> solver steps in a scan -> autoencoder -> images.

The noise of an image follows from (study key, draw, example id) alone, never from the batch, the device or the caption
(common random numbers, Glasserman & Yao 1992): the same example with another caption is the same scene, edited.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, Key

from cpi_jax.captions.slots import Tokenizer
from cpi_jax.diffusion.networks import Networks, size_ids
from cpi_jax.diffusion.prediction import PREDICTIONS
from cpi_jax.diffusion.sampler_settings import SamplerSettings, find_size, validate_for
from cpi_jax.diffusion.schedule import SolverSteps, prediction_type, solver_steps
from cpi_jax.diffusion.scheduler_config import complete_scheduler
from cpi_jax.errors import InputError

MOST_TOKENS = 2**16  # of a caption
DECODED_AT_ONCE = 8 * 512 * 512  # pixels: the autoencoder needs more memory for an image than the UNet


@struct.dataclass
class Generator:
    """A text-conditioned image generator: a pure function and its parameters; a pytree.

    Attributes:
      params: the function's parameters.
      apply: (params, token_ids int32 [B, L], noise keys [B]) -> images float32 [B, H, W, 3] in [0, 1]. Each image depends
        on its own row alone.
      name: tells functions with the same parameters apart; part of what identifies a study.
      caption_length: L, the tokens of a caption with BOS, EOS and padding; None: the tokenizer's `model_max_length`.

    Raises:
      InputError: for a caption length that is no whole number above 2 (BOS, a word, EOS).

    Example:
      A generator that paints images of 2 x 2 pixels, the brighter the larger the ids of the caption:

      >>> import cpi_jax, jax, jax.numpy as jnp
      >>> def paint(params, token_ids, keys):
      ...     return jnp.broadcast_to(params * token_ids.mean(1)[:, None, None, None], (len(keys), 2, 2, 3))
      >>> generator = cpi_jax.Generator(jnp.float32(0.1), paint, name="brightness", caption_length=4)
      >>> cpi_jax.sample(generator, jnp.array([[0, 1, 2, 1]]), jax.random.split(jax.random.key(0), 1)).shape
      (1, 2, 2, 3)
    """

    params: Any
    apply: Callable[[Any, jax.Array, jax.Array], jax.Array] = struct.field(pytree_node=False)
    name: str = struct.field(pytree_node=False, default="")
    caption_length: int | None = struct.field(pytree_node=False, default=None)

    def __post_init__(self):
        length = self.caption_length
        whole = isinstance(length, int) and not isinstance(length, bool)
        if length is not None and not (whole and length > 2):
            raise InputError(f"caption_length must be a whole number above 2 (BOS, a word, EOS), not {length!r}")


def find_caption_length(generator: Generator, tokenizer: Tokenizer) -> int:
    """Tokens of a caption: as the generator says, else as the tokenizer does.

    Raises:
      InputError: where neither says it: transformers gives a tokenizer without a length one of 10^30.
    """
    length = generator.caption_length or tokenizer.model_max_length
    if length > MOST_TOKENS:
        raise InputError(
            f"neither generator nor tokenizer says how many tokens a caption has (model_max_length is {length:.3g}): say "
            "it, as in Generator(params, apply, caption_length=77)"
        )
    return length


@struct.dataclass
class DiffusionParams:
    """Parameters of a latent diffusion sampler; all of them traced, so that changing one compiles nothing.

    Attributes:
      networks: by part.
      unconditional: ids of the empty or the negative prompt, int32 [L].
      guidance_scale: weight of classifier-free guidance (Ho & Salimans 2022); unused where there is none.
      solver: coefficients of the T steps.
      guidance_rescale: see `SamplerSettings`; None: not rescaled.
      time_ids: sizes that SDXL's UNet is told (`size_ids`); None where it is told none.
    """

    networks: dict[str, Any]
    unconditional: Int[Array, " l"]
    guidance_scale: Float[Array, ""]
    solver: SolverSteps
    guidance_rescale: Float[Array, ""] | None = None
    time_ids: Float[Array, "6"] | None = None


@dataclasses.dataclass(frozen=True)
class DiffusionSampler:
    """The static part of a sampler.

    Attributes:
      networks: of the checkpoint.
      prediction: what the UNet predicts, one of `PREDICTIONS`.
      guided: the steps [first, last) with guidance.
      latent_shape: (h, w, channels) of the latents of one image.
      clip_skip: see `SamplerSettings`.
    """

    networks: Networks
    prediction: str
    guided: tuple[int, int]
    latent_shape: tuple[int, int, int]
    clip_skip: int = 0

    def __call__(
        self, params: DiffusionParams, token_ids: Int[Array, "b l"], keys: Key[Array, " b"]
    ) -> Float[Array, "b h w 3"]:
        nets, weights = self.networks, params.networks
        first, last = self.guided
        captions, both = self._conditions(params, token_ids)
        noise = jax.vmap(lambda key: jax.random.normal(key, self.latent_shape))(keys)

        def step(guided: bool, carry: Any, now: Any):  # the solver's numbers of one step, traced
            latents, previous = carry
            output = self._denoise(params, latents, now.timestep, both if guided else captions, guided)
            clean = PREDICTIONS[self.prediction].clean(latents, output, now.alpha, now.sigma)
            latents = now.carry * latents + now.gain * ((1 + now.mix) * clean - now.mix * previous)
            return (latents, clean), None

        carry = (noise, jnp.zeros_like(noise))
        for guided, some in ((False, slice(first)), (True, slice(first, last)), (False, slice(last, None))):
            steps = SolverSteps(*(coefficient[some] for coefficient in params.solver))
            if len(steps.timestep):
                carry, _ = jax.lax.scan(functools.partial(step, guided), carry, steps)
        return jnp.clip(self._decode(weights["vae"], carry[0] / nets.scaling_factor), 0.0, 1.0)

    def _conditions(self, params, token_ids):
        """What the UNet reads beside latents and time, the same at every step: (keys and values of captions in it, added).

        Of the captions, and with the empty or negative prompt's behind them.
        """
        nets, weights, (first, last) = self.networks, params.networks, self.guided
        guided = first < last
        together = guided and not self.clip_skip
        rows = jnp.concatenate([token_ids, params.unconditional[None]]) if together else token_ids
        embedded = nets.encode_text(weights, rows, self.clip_skip)
        if guided and not together:
            without = nets.encode_text(weights, params.unconditional[None])
            embedded = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), embedded, without)
        of_rows = (
            nets.project_context(weights["unet"], embedded.context),
            nets.added_conditions(embedded, params.time_ids),
        )
        if not guided:
            return of_rows, of_rows
        captions = jax.tree.map(lambda x: x[:-1], of_rows)
        empty = jax.tree.map(lambda x: jnp.broadcast_to(x[-1:], (len(x) - 1, *x.shape[1:])), of_rows)
        return captions, jax.tree.map(lambda x, y: jnp.concatenate([x, y]), captions, empty)

    def _denoise(self, params, latents, timestep, conditions, guided):
        """The UNet's output at one step; guided, of each caption and of none, whose conditions come behind."""
        inputs = jnp.concatenate([latents, latents]) if guided else latents
        output = self.networks.denoise_projected(params.networks["unet"], inputs, timestep[None], *conditions)
        if not guided:
            return output
        conditional, without = jnp.split(output, 2)
        output = without + params.guidance_scale * (conditional - without)
        if params.guidance_rescale is not None:
            spread, wanted = (x.std(axis=(1, 2, 3), keepdims=True) for x in (output, conditional))
            output = output * (1 + params.guidance_rescale * (wanted / spread - 1))
        return output

    def _decode(self, vae, latents):
        """In slices, so that large batches do not need more memory here than in the UNet."""
        height, width, _ = self.latent_shape
        at_once = max(1, DECODED_AT_ONCE // (height * width * self.networks.pixels_per_latent**2))
        if len(latents) <= at_once:
            return self.networks.decode_latents(vae, latents)
        return jax.lax.map(lambda z: self.networks.decode_latents(vae, z[None])[0], latents, batch_size=at_once)


def make_generator(
    networks: Networks,
    params: dict[str, Any],
    scheduler_config: dict[str, Any],
    unconditional: Int[Array, " l"],
    settings: SamplerSettings,
) -> Generator:
    """Puts a sampler together.

    Args:
      networks: built with the settings' dtype.
      params: of the networks, by part.
      scheduler_config: scheduler_config.json of the checkpoint.
      unconditional: ids of the empty or the negative prompt.

    Raises:
      InputError: for a scheduler or settings that are not supported, or that the networks do not have.
    """
    scheduler_config = complete_scheduler(scheduler_config)
    steps = solver_steps(scheduler_config, settings.steps, solver=settings.solver, spacing=settings.spacing)
    guided = _guided_steps(steps, settings)
    height, width = find_size(networks, settings)
    factor = networks.pixels_per_latent
    latent_shape = (height // factor, width // factor, networks.latent_shape[-1])
    validate_for(networks, settings)
    sampler = DiffusionSampler(
        networks, prediction_type(scheduler_config), guided, latent_shape, clip_skip=settings.clip_skip
    )
    facts: list[Any] = [networks.configs, sampler.prediction, guided]
    if latent_shape != networks.latent_shape:
        facts.append({"latent_shape": latent_shape})
    if settings.clip_skip:
        facts.append({"clip_skip": settings.clip_skip})
    described = json.dumps(facts, sort_keys=True, default=str)
    name = hashlib.sha256(described.encode()).hexdigest()[:16]
    sizes = {"original": settings.original_size, "crop": settings.crop, "target": settings.target_size}
    weights = DiffusionParams(
        params,
        unconditional,
        guidance_scale=jnp.float32(settings.guidance_scale),
        solver=jax.tree.map(jnp.asarray, steps),
        guidance_rescale=jnp.float32(settings.guidance_rescale) if settings.guidance_rescale else None,
        time_ids=size_ids(height, width, **sizes) if networks.is_told_sizes else None,
    )
    return Generator(weights, sampler, name, caption_length=networks.max_length)


def _guided_steps(steps: SolverSteps, settings: SamplerSettings) -> tuple[int, int]:
    if settings.guidance_scale == 1:
        return 0, 0
    if not settings.guidance_interval:
        return 0, len(steps.timestep)
    low, high = settings.guidance_interval
    first, last = (
        int((steps.sigma > level * steps.alpha).sum()) for level in (high, low)
    )  # levels fall from step to step
    if first == last:
        levels = ", ".join(f"{level:.3g}" for level in steps.sigma / steps.alpha)
        raise InputError(
            f"sampler.guidance_interval ({low:g}, {high:g}) has no step in it: their noise levels are {levels}"
        )
    return first, last


@jax.jit
def sample(generator: Generator, token_ids: Int[Array, "b l"], keys: Key[Array, " b"]) -> Float[Array, "b h w 3"]:
    """Draws one image for each caption; runs under jit, vmap, shard_map and pmap.

    Args:
      generator: of the images; an argument like others, so that other parameters compile nothing.
      token_ids: of the captions, L tokens each (`assemble`).
      keys: of the initial noise (`noise_keys`); rows with the same key are the same scene.

    Returns:
      Images in [0, 1].

    Example:
      >>> import cpi_jax, jax, jax.numpy as jnp
      >>> generator = cpi_jax.Generator(0.5, lambda params, ids, keys: jnp.full((len(ids), 8, 8, 3), params))
      >>> keys = cpi_jax.noise_keys(jax.random.key(0), 0, jnp.arange(2, dtype=jnp.uint32))
      >>> cpi_jax.sample(generator, jnp.zeros((2, 32), jnp.int32), keys).shape
      (2, 8, 8, 3)
    """
    return generator.apply(generator.params, token_ids, keys)
