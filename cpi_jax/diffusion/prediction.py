"""What a denoiser predicts of x_t = alpha x_0 + sigma noise: the one place that knows the three kinds.

Training's target, the sampler's way from an output to clean latents, and the weights of timesteps all come from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Prediction(NamedTuple):
    """One kind of prediction; its functions take arrays that broadcast.

    Attributes:
      target: (clean, noise, alpha, sigma) -> what a perfect network says.
      clean: (noisy, output, alpha, sigma) -> the clean latents that an output stands for.
      noise_error: (alpha^2, sigma^2) -> squared error of the noise for an output whose squared error is 1.
    """

    target: Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]
    clean: Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]
    noise_error: Callable[[jax.Array, jax.Array], jax.Array]


# Noise (Ho et al. 2020), velocity (Salimans & Ho 2022, arXiv 2202.00512), clean latents.
PREDICTIONS = {
    "epsilon": Prediction(
        target=lambda clean, noise, alpha, sigma: noise,
        clean=lambda noisy, output, alpha, sigma: (noisy - sigma * output) / alpha,
        noise_error=lambda a, s: jnp.ones_like(a),
    ),
    "v_prediction": Prediction(
        target=lambda clean, noise, alpha, sigma: alpha * noise - sigma * clean,
        clean=lambda noisy, output, alpha, sigma: alpha * noisy - sigma * output,
        noise_error=lambda a, s: a / (a + s),
    ),
    "sample": Prediction(
        target=lambda clean, noise, alpha, sigma: clean,
        clean=lambda noisy, output, alpha, sigma: output,
        noise_error=lambda a, s: a / s,
    ),
}


def min_snr_weights(
    alphas: Float[Array, " t"], sigmas: Float[Array, " t"], gamma: float, prediction: Prediction
) -> Float[Array, " t"]:
    """Weights of the timesteps by their signal-to-noise ratio (Min-SNR-gamma, Hang et al. 2023, arXiv 2303.09556).

    The squared error of x_0 weighs min(SNR, gamma); that of an output, what it makes of the error of x_0.
    """
    a, s = alphas**2, sigmas**2  # SNR = a / s, which has no number where a schedule ends in pure noise
    of_noise = jnp.where(a <= gamma * s, 1.0, gamma * s / jnp.where(a > 0, a, 1.0))
    return of_noise * prediction.noise_error(a, s)
