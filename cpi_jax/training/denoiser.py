"""Training of the UNet and the text encoder on captions and cached latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cpi_jax.diffusion.networks import Networks
from cpi_jax.diffusion.prediction import PREDICTIONS, min_snr_weights
from cpi_jax.diffusion.schedule import alphas_sigmas, prediction_type
from cpi_jax.errors import require_known


class CaptionedLatents(NamedTuple):
    """What the denoiser learns from: scaled latents with one or more phrasings of each caption."""

    latents: Float[Array, "n h w c"]
    token_ids: Int[Array, "p n l"]


class DenoiserBatch(NamedTuple):
    """One batch: latents, captions (some replaced by the unconditional one) and timesteps."""

    latents: Float[Array, "b h w c"]
    token_ids: Int[Array, "b l"]
    timesteps: Int[Array, " b"]


def denoiser_batches(
    batch_size: int,
    unconditional: Int[Array, " l"],
    *,
    drop: float,
    second_phrasing: float,
    num_timesteps: int,
    density: str,
) -> Callable[[jax.Array, CaptionedLatents], DenoiserBatch]:
    """Draws batches on device; timesteps are stratified over each batch.

    Args:
      batch_size: B.
      unconditional: ids of the empty prompt.
      drop: probability of training without the caption, for classifier-free guidance (Ho & Salimans 2022).
      second_phrasing: probability of the captions' second phrasing.
      num_timesteps: of the noise schedule.
      density: of the timesteps t: "uniform", or "linear" (proportional to t), since which objects appear is decided at high
        noise.

    Raises:
      InputError: for another density.
    """
    require_known(density, "density of timesteps", ("uniform", "linear"))
    exponent = {"uniform": 1.0, "linear": 0.5}[density]

    def draw(key: jax.Array, data: CaptionedLatents) -> DenoiserBatch:
        index_key, drop_key, phrase_key, time_key = jax.random.split(key, 4)
        index = jax.random.randint(index_key, (batch_size,), 0, data.latents.shape[0])
        phrase = jax.random.bernoulli(phrase_key, second_phrasing, (batch_size,)).astype(jnp.int32)
        dropped = jax.random.bernoulli(drop_key, drop, (batch_size, 1))
        token_ids = jnp.where(dropped, unconditional, data.token_ids[phrase, index])
        u = (jnp.arange(batch_size) + jax.random.uniform(time_key, (batch_size,))) / batch_size
        timesteps = jnp.minimum(num_timesteps * u**exponent, num_timesteps - 1).astype(jnp.int32)
        return DenoiserBatch(data.latents[index], token_ids, timesteps)

    return draw


def denoiser_loss(
    networks: Networks, scheduler_config: dict[str, Any], *, min_snr_gamma: float = 0.0, remat: bool = False
) -> Callable[[Any, DenoiserBatch, jax.Array], jax.Array]:
    """Mean squared error of what the checkpoint's UNet predicts: noise, velocity or clean latents (`Prediction.target`).

    Args:
      networks: text encoders and UNet; SDXL's is told the size of whole pictures, as its sampler is by default.
      min_snr_gamma: weighs timesteps by `min_snr_weights`; 0: all alike.
      remat: compute the inside of the UNet's blocks again in the backward pass: less memory, more time.
    """
    alphas, sigmas = (jnp.asarray(x, jnp.float32) for x in alphas_sigmas(scheduler_config))
    prediction = PREDICTIONS[prediction_type(scheduler_config)]
    weights = jnp.ones_like(alphas)
    if min_snr_gamma:
        weights = min_snr_weights(alphas, sigmas, min_snr_gamma, prediction)

    def loss(params: Any, batch: DenoiserBatch, keys: jax.Array) -> jax.Array:
        clean = batch.latents
        noise = jax.vmap(lambda k: jax.random.normal(k, clean.shape[1:]))(keys)
        alpha, sigma = (x[batch.timesteps][:, None, None, None] for x in (alphas, sigmas))
        captions = networks.encode_text(params, batch.token_ids)
        added = networks.added_conditions(captions)
        noisy = alpha * clean + sigma * noise
        output = networks.denoise(params["unet"], noisy, batch.timesteps, captions.context, added, remat=remat)
        target = prediction.target(clean, noise, alpha, sigma)
        return weights[batch.timesteps] * ((output - target) ** 2).mean((1, 2, 3))

    return loss
