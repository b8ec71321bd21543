"""Training of the autoencoder, and the whitening of its latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.data.images import ImageFiles, batches_of
from cpi_jax.diffusion.networks import Networks
from cpi_jax.generation.sharding import pad_rows


def autoencoder_loss(networks: Networks, kl_weight: float) -> Callable[[Any, jax.Array, jax.Array], jax.Array]:
    """L1 + 2 x squared error + `kl_weight` x KL divergence per latent number, each averaged over an image."""

    def loss(params: Any, images: jax.Array, keys: jax.Array) -> jax.Array:
        target = images.astype(jnp.float32) / 255
        mean, std = networks.encode_image(params, target)
        noise = jax.vmap(lambda k: jax.random.normal(k, mean.shape[1:]))(keys)
        error = 2 * (networks.decode_latents(params, mean + std * noise) - target)  # on the scale [-1, 1]
        kl = 0.5 * (mean**2 + std**2 - 1) - jnp.log(std)
        over_image = (1, 2, 3)
        return (jnp.abs(error) + 2 * error**2).mean(over_image) + kl_weight * kl.mean(over_image)

    return loss


def encode_latents(
    networks: Networks, params: Any, images: np.ndarray | ImageFiles, batch_size: int = 64
) -> np.ndarray:
    """Posterior means of uint8 images, read batch by batch, float32 [N, h, w, c], scaled as the UNet sees them."""
    encode = jax.jit(lambda p, x: networks.encode_image(p, x.astype(jnp.float32) / 255)[0])
    parts = [
        np.asarray(encode(params, pad_rows(batch, batch_size)))[: len(batch)]
        for batch in batches_of(images, batch_size)
    ]
    return np.concatenate(parts) * networks.scaling_factor


def whiten(params: Any, latents: np.ndarray) -> Any:
    """Folds a shift and scale into the 1x1 convolutions around the latents: mean 0, deviation 1 per channel.

    Exactly the same autoencoder of images; diffusion then starts from latents of the scale it assumes.

    Args:
      params: the autoencoder's parameters.
      latents: a sample of its posterior means, [N, h, w, c].
    """
    mean, std = latents.mean((0, 1, 2)), latents.std((0, 1, 2))
    channels = len(mean)
    quant, post = params["quant_conv"], params["post_quant_conv"]
    scale = np.concatenate([1 / std, np.ones(channels)])
    shift = np.concatenate([-mean / std, -2 * np.log(std)])  # the second half are log variances
    new_quant = {"kernel": quant["kernel"] * scale, "bias": quant["bias"] * scale + shift}
    new_post = {
        "kernel": post["kernel"] * std[:, None],
        "bias": post["bias"] + jnp.einsum("i,hwio->o", mean, post["kernel"]),
    }
    return {**params, "quant_conv": new_quant, "post_quant_conv": new_post}
