"""Sampling that is anchored in real pictures: each image is its example's own picture, edited as its caption says.

Edit-friendly DDPM inversion (Huberman-Spiegelglas et al. 2024, arXiv 2304.06140), and its second order (LEDITS++, Brack et
al. 2024, arXiv 2311.16711). The picture is noised at every level independently. What the denoiser, told the picture's own
caption, misses of the next level is added to each of its variants. Source and variants take their steps together, so that
no noise is kept. SDEdit (Meng et al. 2022, arXiv 2108.01073), the simple reference, starts at a noised picture.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from cpi_jax.diffusion.generator import AnyArray, Sources
from cpi_jax.diffusion.prediction import PREDICTIONS
from cpi_jax.diffusion.sampler import DiffusionParams, DiffusionSampler


@dataclasses.dataclass(frozen=True)
class EditFriendlySampler(DiffusionSampler):
    """Variants of real pictures, in step with them.

    With the denoiser's mean mu of the next level (`solver_steps` of a stochastic solver) and the picture x' there, noised
    anew, a variant's latents y become

      y' = x' + mu(y, the variant's caption) - mu(x, the picture's caption)

    and at the end, where x' is the picture itself, the picture plus what the two captions make differ. They begin as the
    picture at the solver's first level.

    Outside what may change (`Sources.editable`) a variant has the latents of the image that its example's own caption
    gives, which then comes along, and not those of the picture: a baseline goes through guidance everywhere, so that the
    two are treated alike and differ within the mask alone.
    """

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, params: DiffusionParams, token_ids: Int[Array, "b l"], keys: Key[Array, " b"], sources: Sources
    ) -> Float[Array, "b height width 3"]:
        """Images in [0, 1]."""
        num_rows, num_sources, solver = len(token_ids), len(sources.pictures), params.solver
        noised = self._noise_pictures(params, keys, sources)
        of_row, part = jnp.asarray(sources.of_row), None
        if sources.editable is not None:
            part = self._in_latents(sources.editable)
            token_ids = jnp.concatenate([token_ids, sources.token_ids])
            of_row = jnp.append(of_row, jnp.arange(num_sources, dtype=of_row.dtype))
        b = len(token_ids)
        scale = jnp.full(b, params.guidance_scale)
        if params.source_guidance is not None:
            scale = jnp.append(scale, jnp.full(num_sources, params.source_guidance))
        captions, both = self._conditions(params, jnp.concatenate([token_ids, sources.token_ids]), len(scale))
        scale = scale[:, None, None, None]

        def step(guided: bool, carry: Any, levels: Any):
            (latents, previous), (now, following) = carry, levels
            output = self._denoise(
                params, latents, now.timestep, both if guided else captions, scale if guided else None
            )
            clean = PREDICTIONS[self.prediction].clean(latents, output, now.alpha, now.sigma)
            mean = now.carry * latents + now.gain * ((1 + now.mix) * clean - now.mix * previous)
            pictures = noised(*following)
            variants = pictures[of_row] + mean[:b] - mean[b:][of_row]
            if part is not None:
                own = variants[num_rows:]
                variants = jnp.concatenate([jnp.where(part, variants[:num_rows], own[sources.of_row]), own])
            return (jnp.concatenate([variants, pictures]), clean), None

        pictures = noised(solver.timestep[0], solver.alpha[0], solver.sigma[0])
        latents = jnp.concatenate([pictures[of_row], pictures])
        ends = ((solver.timestep, 0), (solver.alpha, 1), (solver.sigma, 0))
        following = tuple(jnp.append(levels[1:], jnp.asarray(last, levels.dtype)) for levels, last in ends)
        latents, _ = self._scan(step, (latents, jnp.zeros_like(latents)), (solver, following))
        return self._decode(params, latents[:num_rows])

    def _in_latents(self, pixels: AnyArray) -> Array:
        """Which latents some pixel of a mask [B, H, W] is of, [B, h, w, 1]."""
        h, w, _ = self.latent_shape
        return jnp.asarray(pixels).reshape(len(pixels), h, -1, w, pixels.shape[2] // w).any((2, 4))[..., None]

    def _noise_pictures(self, params, keys, sources):
        """What gives the pictures' latents at a level, with noise of their key and the timestep alone."""
        nets, pixels = self.networks, sources.pictures.astype(jnp.float32) / 255
        mean, _ = nets.encode_image(params.networks["vae"], pixels)
        clean = mean.astype(jnp.float32) * nets.scaling_factor
        some_row = jnp.zeros(len(clean), jnp.int32).at[sources.of_row].set(jnp.arange(len(keys)))
        source_keys = keys[some_row]

        def noised(timestep: Array, alpha: Array, sigma: Array) -> Array:
            level_keys = jax.vmap(lambda key: jax.random.fold_in(key, timestep))(source_keys)
            noise = jax.vmap(lambda key: jax.random.normal(key, self.latent_shape))(level_keys)
            return alpha * clean + sigma * noise

        return noised


@dataclasses.dataclass(frozen=True)
class SDEditSampler(EditFriendlySampler):
    """Sampling that begins at a noised picture (Meng et al. 2022): with less noise closer to it, and less obedient."""

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, params: DiffusionParams, token_ids: Int[Array, "b l"], keys: Key[Array, " b"], sources: Sources
    ) -> Float[Array, "b height width 3"]:
        """Images in [0, 1]."""
        solver = params.solver
        pictures = self._noise_pictures(params, keys, sources)(solver.timestep[0], solver.alpha[0], solver.sigma[0])
        return self._decode(params, self._solve(params, token_ids, pictures[sources.of_row]))
