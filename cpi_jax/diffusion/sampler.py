"""Text-conditioned sampling: text encoder -> solver steps in a scan -> autoencoder -> images.

The noise of an image follows from (study key, draw, example id) alone, never from the batch, the device or the caption
(common random numbers, Glasserman & Yao 1992): the same example with another caption is the same scene, edited.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, Key

from cpi_jax.diffusion.networks import Networks
from cpi_jax.diffusion.prediction import PREDICTIONS
from cpi_jax.diffusion.schedule import SolverSteps

DECODED_AT_ONCE = 8 * 512 * 512  # pixels: the autoencoder needs more memory for an image than the UNet


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
      source_guidance: weight of guidance of the real pictures' own captions; None where they are not guided.
    """

    networks: dict[str, Any]
    unconditional: Int[Array, " l"]
    guidance_scale: Float[Array, ""]
    solver: SolverSteps
    guidance_rescale: Float[Array, ""] | None = None
    time_ids: Float[Array, "6"] | None = None
    source_guidance: Float[Array, ""] | None = None


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
        """Images in [0, 1]."""
        noise = jax.vmap(lambda key: jax.random.normal(key, self.latent_shape))(keys)
        return self._decode(params, self._solve(params, token_ids, noise))

    def _solve(self, params, token_ids, latents):
        """From latents at the solver's first level to those of pictures."""
        captions, both = self._conditions(params, token_ids, len(token_ids))

        def step(guided: bool, carry: Any, now: Any):  # the solver's numbers of one step, traced
            latents, previous = carry
            scale = params.guidance_scale if guided else None
            output = self._denoise(params, latents, now.timestep, both if guided else captions, scale)
            clean = PREDICTIONS[self.prediction].clean(latents, output, now.alpha, now.sigma)
            latents = now.carry * latents + now.gain * ((1 + now.mix) * clean - now.mix * previous)
            return (latents, clean), None

        return self._scan(step, (latents, jnp.zeros_like(latents)), params.solver)[0]

    def _scan(self, step: Callable[..., Any], carry: Any, levels: Any) -> Any:
        """The steps (guided, carry, level) -> (carry, None), of which only those [first, last) are guided."""
        first, last = self.guided
        for guided, some in ((False, slice(first)), (True, slice(first, last)), (False, slice(last, None))):
            part = jax.tree.map(lambda x: x[some], levels)  # noqa: B023
            if len(jax.tree.leaves(part)[0]):
                carry, _ = jax.lax.scan(functools.partial(step, guided), carry, part)
        return carry

    def _conditions(self, params, token_ids, num_guided):
        """What the UNet reads beside latents and time, the same at every step: (keys and values of captions in it, added).

        Of the captions, and with the empty or negative prompt's behind them, once for each of the first `num_guided`.
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
        empty = jax.tree.map(lambda x: jnp.broadcast_to(x[-1:], (num_guided, *x.shape[1:])), of_rows)
        return captions, jax.tree.map(lambda x, y: jnp.concatenate([x, y]), captions, empty)

    def _denoise(self, params, latents, timestep, conditions, scale):
        """The UNet's output at one step; with guidance of a scale, of the first rows, whose empty prompts come behind."""
        num_guided = len(jax.tree.leaves(conditions)[0]) - len(latents)
        inputs = jnp.concatenate([latents, latents[:num_guided]])
        output = self.networks.denoise_projected(params.networks["unet"], inputs, timestep[None], *conditions)
        if scale is None:
            return output
        conditional, without = jnp.split(output, [len(latents)])
        alone, conditional = conditional[num_guided:], conditional[:num_guided]
        output = without + scale * (conditional - without)
        if params.guidance_rescale is not None:
            spread, wanted = (x.std(axis=(1, 2, 3), keepdims=True) for x in (output, conditional))
            output = output * (1 + params.guidance_rescale * (wanted / spread - 1))
        return jnp.concatenate([output, alone])

    def _decode(self, params, latents):
        """Pictures in [0, 1]; in slices, so that large batches do not need more memory here than in the UNet."""
        vae, latents = params.networks["vae"], latents / self.networks.scaling_factor
        height, width, _ = self.latent_shape
        at_once = max(1, DECODED_AT_ONCE // (height * width * self.networks.pixels_per_latent**2))
        if len(latents) <= at_once:
            pictures = self.networks.decode_latents(vae, latents)
        else:
            one = lambda z: self.networks.decode_latents(vae, z[None])[0]  # noqa: E731
            pictures = jax.lax.map(one, latents, batch_size=at_once)
        return jnp.clip(pictures, 0.0, 1.0)
