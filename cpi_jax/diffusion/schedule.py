"""Noise schedule and solver steps of Stable Diffusion, precomputed in float64.

x_t = alpha_t x_0 + sigma_t noise, with alpha_t^2 + sigma_t^2 = 1 and lambda_t = log(alpha_t / sigma_t).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cpi_jax.diffusion.scheduler_config import SPACINGS, complete_scheduler
from cpi_jax.errors import InputError

SOLVERS = ("dpm_solver", "ddim")
_STEPS_TO_FIRST = ("DDIMScheduler", "PNDMScheduler", "TCDScheduler")  # of others, set_alpha_to_one changes nothing
_LEAST_SIGNAL = 1e-8  # of a picture, at the last timestep: float32 divides by it


class SolverSteps(NamedTuple):
    """Coefficients of a solver, one entry per evaluation of the denoiser, in sampling order; float32 arrays [T].

    With m_k the predicted clean latents of step k:
      x <- carry * x + gain * ((1 + mix) * m_k - mix * m_{k-1})
    DPM-Solver++ 2M (Lu et al. 2022, arXiv 2211.01095, algorithm 2); with mix = 0 its first order, which is DDIM
    (Song et al. 2021, arXiv 2010.02502, equation 12 without noise). Of a stochastic solver this is the mean of the next
    level: SDE-DPM-Solver++ 2M (ibid., equation 19 ff.); with mix = 0 the posterior of DDPM (Ho et al. 2020, equation 7).

    Attributes:
      timestep: what the UNet is told, int32.
      alpha: signal scale at the timestep.
      sigma: noise scale at the timestep.
      carry: factor of the current latents.
      gain: factor of the prediction.
      mix: share of the previous prediction in the extrapolation.
    """

    timestep: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    carry: np.ndarray
    gain: np.ndarray
    mix: np.ndarray


def alphas_sigmas(config: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """alpha_t and sigma_t of every training timestep, float64 [num_train_timesteps].

    With `rescale_betas_zero_snr` (Lin et al. 2023, arXiv 2305.08891, algorithm 1) the last timestep is pure noise.

    Args:
      config: scheduler_config.json of a checkpoint.

    Raises:
      InputError: for a configuration that `complete_scheduler` refuses, or betas that do not lead from a picture to noise.
    """
    config = complete_scheduler(config)
    count, kind = config["num_train_timesteps"], config["beta_schedule"]
    if kind == "squaredcos_cap_v2":  # Nichol & Dhariwal 2021, equation 17
        signal = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - signal[1:] / signal[:-1], 0.999)
    elif kind == "scaled_linear":
        betas = np.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, count, dtype=np.float64) ** 2
    else:
        betas = np.linspace(config["beta_start"], config["beta_end"], count, dtype=np.float64)
    alpha = np.sqrt(np.cumprod(1 - betas))
    first, last = alpha[0], alpha[-1]
    if not (first < 1 and _LEAST_SIGNAL < last < np.sqrt(0.5)):
        raise InputError(
            f"the scheduler's betas leave {first:.3g} of a picture at the first of {count} timesteps and {last:.3g} at the "
            f"last: it must begin below 1 and end between {_LEAST_SIGNAL:g} and 0.7, as noise with little of a picture"
        )
    if config.get("rescale_betas_zero_snr"):
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    return alpha, np.sqrt(1 - alpha**2)


def prediction_type(config: dict[str, Any]) -> str:
    """What the UNet predicts: one of `PREDICTIONS`.

    Raises:
      InputError: for a configuration that `complete_scheduler` refuses.
    """
    return complete_scheduler(config)["prediction_type"]


def solver_steps(
    config: dict[str, Any], num_steps: int, *, solver: str = "dpm_solver", spacing: str = "", stochastic: bool = False
) -> SolverSteps:
    """The steps of a solver, the last of them to sigma 0 (DDIM: to the first timestep's where the checkpoint says so).

    Args:
      config: scheduler_config.json of a checkpoint.
      num_steps: evaluations of the denoiser.
      solver: "dpm_solver" (DPM-Solver++ 2M, midpoint form; first order in the first and the last step) or "ddim".
      spacing: of the timesteps (Lin et al. 2023, table 2): "trailing", "leading" or "linspace"; empty: the checkpoint's
        `timestep_spacing`, else trailing. Leading spacing has an offset of one timestep, as in diffusers' pipeline.
      stochastic: the means of the levels instead, between which noise of the standard deviation
        s' sqrt(1 - (s' a / (s a'))^2) is missing, with a, s the level's scales and a', s' those of the next; the last is
        the picture.

    Raises:
      InputError: for a number of steps that the schedule cannot hold, or another solver or spacing.
    """
    config = complete_scheduler(config)
    alpha, sigma = alphas_sigmas(config)
    if solver == "dpm_solver" and not alpha[-1]:  # as diffusers has it, so that lambda is finite at pure noise
        alpha[-1] = 2.0**-12
        sigma[-1] = np.sqrt(1 - alpha[-1] ** 2)
    if not 1 <= num_steps < len(alpha):
        raise InputError(f"sampler.steps must lie between 1 and {len(alpha) - 1}, not {num_steps}")
    if solver not in SOLVERS:
        raise InputError(f"sampler.solver must be {' or '.join(SOLVERS)}, not {solver!r}")
    timestep = _timesteps(config, len(alpha), num_steps, solver, spacing)
    if timestep[0] >= len(alpha):
        raise InputError(f"sampler.steps = {num_steps} in leading spacing go beyond the {len(alpha)} timesteps")
    owns = (config.get("_class_name") or "DDIMScheduler").removeprefix("Flax") in _STEPS_TO_FIRST
    to_first = solver == "ddim" and not stochastic and owns and not config.get("set_alpha_to_one", True)
    a = np.append(alpha[timestep], alpha[0] if to_first else 1.0)
    s = np.append(sigma[timestep], sigma[0] if to_first else 0.0)
    carry = s[1:] / s[:-1]
    if stochastic:
        carry = carry**2 * a[:-1] / a[1:]
    mix = np.zeros(num_steps)
    if solver == "dpm_solver":
        h = np.diff(np.log(a[:-1] / s[:-1]))
        mix[1:-1] = h[1:] / (2 * h[:-1])
    return SolverSteps(
        timestep=timestep.astype(np.int32),
        alpha=a[:-1].astype(np.float32),
        sigma=s[:-1].astype(np.float32),
        carry=carry.astype(np.float32),
        gain=(a[1:] - carry * a[:-1]).astype(np.float32),  # = a' (1 - exp(-h))
        mix=mix.astype(np.float32),
    )


def _timesteps(config: dict[str, Any], count: int, num_steps: int, solver: str, spacing: str) -> np.ndarray:
    """Timesteps from noise to picture, int64 [T]; DPM-Solver's grids end one step before its last timestep."""
    spacing = spacing or config.get("timestep_spacing", "trailing")
    more = 1 if solver == "dpm_solver" else 0
    if spacing == "trailing":
        return np.round(np.arange(count, 0, -count / num_steps)).astype(np.int64)[:num_steps] - 1
    if spacing == "leading":
        steps = np.arange(more, num_steps + more) * (count // (num_steps + more)) + 1
    elif spacing == "linspace":
        steps = np.linspace(0, count - 1, num_steps + more).round()[more:]
    else:
        raise InputError(f"sampler.spacing must be {', '.join(SPACINGS)} or empty, not {spacing!r}")
    return steps[::-1].astype(np.int64)
