"""Noise schedule and solver steps of Stable Diffusion, precomputed in float64.

x_t = alpha_t x_0 + sigma_t noise, with alpha_t^2 + sigma_t^2 = 1 and lambda_t = log(alpha_t / sigma_t).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cpi_jax.errors import InputError


class SolverSteps(NamedTuple):
    """Coefficients of DPM-Solver++ 2M, one entry per evaluation of the denoiser, in sampling order; float32 arrays [T].

    With m_k the predicted clean latents of step k:
      x <- carry * x + gain * ((1 + mix) * m_k - mix * m_{k-1})
    (Lu et al. 2022, arXiv 2211.01095, algorithm 2). The last step goes to sigma = 0.

    Attributes:
      timestep: what the UNet is told, int32.
      alpha: signal scale at the timestep.
      sigma: noise scale at the timestep.
      carry: factor of the current latents.
      gain: factor of the prediction.
      mix: share of the previous prediction in the extrapolation; 0 in the first and the last step.
    """

    timestep: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    carry: np.ndarray
    gain: np.ndarray
    mix: np.ndarray


def alphas_sigmas(config: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """alpha_t and sigma_t of every training timestep, float64 [num_train_timesteps].

    Args:
      config: scheduler_config.json of a checkpoint.

    Raises:
      InputError: for a beta schedule other than linear and scaled_linear, or zero terminal SNR.
    """
    count, kind = config.get("num_train_timesteps", 1000), config.get("beta_schedule", "linear")
    start, end = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    if kind == "scaled_linear":
        betas = np.linspace(start**0.5, end**0.5, count, dtype=np.float64) ** 2
    elif kind == "linear":
        betas = np.linspace(start, end, count, dtype=np.float64)
    else:
        raise InputError(f"beta_schedule {kind!r} is not supported; use a checkpoint with scaled_linear or linear")
    if config.get("rescale_betas_zero_snr"):
        raise InputError("a scheduler with rescale_betas_zero_snr is not supported")
    signal = np.cumprod(1 - betas)
    return np.sqrt(signal), np.sqrt(1 - signal)


def prediction_type(config: dict[str, Any]) -> str:
    """What the UNet predicts: "epsilon" (noise) or "v_prediction" (velocity).

    Raises:
      InputError: for another one.
    """
    kind = config.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction"):
        raise InputError(f"prediction_type {kind!r} is not supported; use epsilon or v_prediction")
    return kind


def dpm_solver_steps(config: dict[str, Any], num_steps: int) -> SolverSteps:
    """DPM-Solver++ 2M (midpoint form) over `num_steps` trailing timesteps, the last step to sigma 0.

    The final step is of first order, as diffusers' `lower_order_final` and `final_sigmas_type="zero"` have it.

    Raises:
      InputError: for a number of steps that the schedule cannot hold.
    """
    alpha, sigma = alphas_sigmas(config)
    if not 1 <= num_steps <= len(alpha):
        raise InputError(f"sampler.steps must lie between 1 and {len(alpha)}, not {num_steps}")
    timestep = np.round(np.arange(len(alpha), 0, -len(alpha) / num_steps)).astype(np.int64)[:num_steps] - 1
    a, s = np.append(alpha[timestep], 1.0), np.append(sigma[timestep], 0.0)
    with np.errstate(divide="ignore"):
        lam = np.log(a) - np.log(s)
    h = np.diff(lam)  # the last one is infinite: exp(-h) = 0
    mix = np.zeros(num_steps)
    mix[1:-1] = h[1:-1] / (2 * h[:-2])
    return SolverSteps(
        timestep=timestep.astype(np.int32),
        alpha=a[:-1].astype(np.float32),
        sigma=s[:-1].astype(np.float32),
        carry=(s[1:] / s[:-1]).astype(np.float32),
        gain=(-a[1:] * np.expm1(-h)).astype(np.float32),
        mix=mix.astype(np.float32),
    )
