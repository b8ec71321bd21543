"""Text-conditioned sampling: text encoder -> DPM-Solver++ 2M in a scan -> autoencoder -> images.

The noise of an image follows from (study key, draw, example id) alone, never from the batch, the device or the caption
(common random numbers, Glasserman & Yao 1992): the same example with another caption is the same scene, edited.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, UInt32

from cpi_jax.diffusion.networks import Networks
from cpi_jax.diffusion.schedule import SolverSteps, prediction_type


@struct.dataclass
class Generator:
    """A text-conditioned image generator: a pure function and its parameters; a pytree.

    Attributes:
      params: the function's parameters.
      apply: (params, token_ids int32 [B, L], noise keys [B]) -> images float32 [B, H, W, 3] in [0, 1]. Each image depends
        on its own row alone.
      name: tells functions with the same parameters apart; part of what identifies a study.
    """

    params: Any
    apply: Callable[[Any, jax.Array, jax.Array], jax.Array] = struct.field(pytree_node=False)
    name: str = struct.field(pytree_node=False, default="")


@struct.dataclass
class DiffusionParams:
    """Parameters of a latent diffusion sampler; all of them traced, so that changing one compiles nothing.

    Attributes:
      networks: {"text_encoder", "unet", "vae"}.
      unconditional: ids of the empty prompt, int32 [L].
      guidance_scale: weight of classifier-free guidance (Ho & Salimans 2022); unused where there is none.
      solver: coefficients of the T steps.
    """

    networks: dict[str, Any]
    unconditional: Int[Array, " l"]
    guidance_scale: Float[Array, ""]
    solver: SolverSteps


@dataclasses.dataclass(frozen=True)
class DiffusionSampler:
    """The static part of a sampler: networks, what the UNet predicts, whether there is guidance."""

    networks: Networks
    prediction: str
    guided: bool

    def __call__(
        self, params: DiffusionParams, token_ids: Int[Array, "b l"], keys: Key[Array, " b"]
    ) -> Float[Array, "b h w 3"]:
        nets, weights = self.networks, params.networks
        context = nets.encode_text(weights["text_encoder"], token_ids)
        if self.guided:
            without = nets.encode_text(weights["text_encoder"], params.unconditional[None])
            context = jnp.concatenate([context, jnp.broadcast_to(without, context.shape)])
        noise = jax.vmap(lambda key: jax.random.normal(key, nets.latent_shape))(keys)

        def step(carry, now: SolverSteps):
            latents, previous = carry
            clean = self._predict_clean(weights["unet"], params.guidance_scale, latents, context, now)
            latents = now.carry * latents + now.gain * ((1 + now.mix) * clean - now.mix * previous)
            return (latents, clean), None

        (latents, _), _ = jax.lax.scan(step, (noise, jnp.zeros_like(noise)), params.solver)
        images = nets.decode_latents(weights["vae"], latents / nets.scaling_factor)
        return jnp.clip(images, 0.0, 1.0)

    def _predict_clean(self, unet, guidance_scale, latents, context, now):
        inputs = jnp.concatenate([latents, latents]) if self.guided else latents
        timesteps = jnp.full((inputs.shape[0],), now.timestep)
        output = self.networks.denoise(unet, inputs, timesteps, context)
        if self.guided:
            conditional, without = jnp.split(output, 2)
            output = without + guidance_scale * (conditional - without)
        if self.prediction == "v_prediction":
            return now.alpha * latents - now.sigma * output
        return (latents - now.sigma * output) / now.alpha


def make_generator(
    networks: Networks,
    params: dict[str, Any],
    scheduler_config: dict[str, Any],
    solver: SolverSteps,
    unconditional: Int[Array, " l"],
    guidance_scale: float,
) -> Generator:
    """Puts a sampler together; a guidance scale of exactly 1 leaves out the second pass."""
    sampler = DiffusionSampler(networks, prediction_type(scheduler_config), guided=guidance_scale != 1.0)
    solver = jax.tree.map(jnp.asarray, solver)
    described = json.dumps([networks.configs, sampler.prediction, sampler.guided], sort_keys=True, default=str)
    name = hashlib.sha256(described.encode()).hexdigest()[:16]
    return Generator(DiffusionParams(params, unconditional, jnp.float32(guidance_scale), solver), sampler, name)


@jax.jit
def sample(generator: Generator, token_ids: Int[Array, "b l"], keys: Key[Array, " b"]) -> Float[Array, "b h w 3"]:
    """Images in [0, 1] for token ids int32 [B, L] and noise keys [B]; runs under jit, vmap, shard_map and pmap."""
    return generator.apply(generator.params, token_ids, keys)


def noise_keys(key: PRNGKeyArray, draw: int | Int[Array, ""], example_ids: UInt32[Array, "..."]) -> Key[Array, " b"]:
    """The noise key of each example: fold_in(fold_in(key, draw), id).

    Args:
      key: the study's key.
      draw: index of the noise draw.
      example_ids: uint32 [B], or [B, 2] for ids of 64 bits, whose halves are folded in one after the other; a high half of
        0 is left out, so that a small id has the same noise in either form (`cpi_jax.noise_ids` makes both).
    """
    of_draw = jax.random.fold_in(key, draw)
    if example_ids.ndim == 1:
        return jax.vmap(lambda i: jax.random.fold_in(of_draw, i))(example_ids)

    def of_halves(i):
        high = jnp.where(i[0] > 0, jax.random.fold_in(of_draw, i[0]), of_draw)
        return jax.random.fold_in(high, i[1])

    return jax.vmap(of_halves)(example_ids)
