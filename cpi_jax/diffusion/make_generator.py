"""From a checkpoint's networks and settings to a generator."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from cpi_jax.diffusion.anchor import EditFriendlySampler, SDEditSampler
from cpi_jax.diffusion.generator import Generator
from cpi_jax.diffusion.networks import Networks, size_ids
from cpi_jax.diffusion.sampler import DiffusionParams, DiffusionSampler
from cpi_jax.diffusion.sampler_settings import SamplerSettings, find_size, validate_for
from cpi_jax.diffusion.schedule import SolverSteps, prediction_type, solver_steps
from cpi_jax.diffusion.scheduler_config import complete_scheduler
from cpi_jax.errors import InputError

# By what images are anchored in real pictures with.
SAMPLERS = {"": DiffusionSampler, "edit_friendly": EditFriendlySampler, "sdedit": SDEditSampler}


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
    steps = _steps(scheduler_config, settings)
    guided = _guided_steps(steps, settings)
    height, width = find_size(networks, settings)
    factor = networks.pixels_per_latent
    latent_shape = (height // factor, width // factor, networks.latent_shape[-1])
    validate_for(networks, settings)
    sampler = SAMPLERS[settings.anchor](
        networks, prediction_type(scheduler_config), guided, latent_shape, clip_skip=settings.clip_skip
    )
    facts: list[Any] = [networks.configs, sampler.prediction, guided]
    if latent_shape != networks.latent_shape:
        facts.append({"latent_shape": latent_shape})
    if settings.clip_skip:
        facts.append({"clip_skip": settings.clip_skip})
    if settings.anchor:
        facts.append({"anchor": settings.anchor})
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
        source_guidance=None if settings.source_guidance == 1 else jnp.float32(settings.source_guidance),
    )
    source_size = (height, width) if settings.anchor else None
    return Generator(
        weights, sampler, name, caption_length=networks.max_length, source_size=source_size,
        within_masks=settings.anchor == "edit_friendly",
    )  # fmt: skip


def _steps(scheduler_config: dict[str, Any], settings: SamplerSettings) -> SolverSteps:
    """The solver's, from the first level that an anchored image begins at."""
    steps = solver_steps(
        scheduler_config,
        settings.steps,
        solver=settings.solver,
        spacing=settings.spacing,
        stochastic=settings.anchor == "edit_friendly",
    )
    left_out = settings.levels_left_out
    mix = np.where(np.arange(settings.steps) == left_out, 0, steps.mix)  # the first step has none before it
    return SolverSteps(*(coefficient[left_out:] for coefficient in steps._replace(mix=mix.astype(np.float32))))


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
