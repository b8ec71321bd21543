"""The scheduler_config.json of a checkpoint: which fields are honoured, and what a class takes where its file is silent."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from cpi_jax.diffusion.prediction import PREDICTIONS
from cpi_jax.errors import InputError

SPACINGS = ("trailing", "leading", "linspace")
BETA_SCHEDULES = ("scaled_linear", "linear", "squaredcos_cap_v2")
_MOST_TIMESTEPS = 100_000

# What a scheduler's configuration may hold besides the noise schedule: settings of its own solver, which ours replaces,
# and what diffusers' pipeline of Stable Diffusion overrides (clip_sample with False, steps_offset with 1).
_OF_ITS_SOLVER = {
    "algorithm_type", "clip_sample", "clip_sample_range", "disable_corrector", "dynamic_thresholding_ratio",
    "euler_at_final", "flow_shift", "interpolation_type", "lambda_min_clipped", "lower_order_final",
    "original_inference_steps",
    "predict_x0", "sample_max_value", "sigma_max", "sigma_min", "skip_prk_steps", "solver_order", "solver_p",
    "solver_type", "steps_offset", "time_shift_type", "timestep_scaling", "timestep_type", "variance_type",
}  # fmt: skip
_HONOURED = {
    "beta_end", "beta_schedule", "beta_start", "num_train_timesteps", "prediction_type", "rescale_betas_zero_snr",
    "set_alpha_to_one", "timestep_spacing",
}  # fmt: skip
_ONLY = {  # other values would change the pictures in ways that are not built
    "final_sigmas_type": "zero", "invert_sigmas": False, "shift_terminal": None,
    "thresholding": False, "trained_betas": None, "use_beta_sigmas": False, "use_dynamic_shifting": False,
    "use_exponential_sigmas": False, "use_flow_sigmas": False, "use_karras_sigmas": False, "use_lu_lambdas": False,
}  # fmt: skip
# What the classes of diffusers (0.39) take where their file says nothing; only where they differ is the class asked.
_DEFAULTS = {"num_train_timesteps": 1000, "prediction_type": "epsilon"}
_DDPM = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
_KARRAS = {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012}
_LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "set_alpha_to_one": True}
_ZERO_SNR = {"rescale_betas_zero_snr": False}
SCHEDULERS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": _DDPM | _ZERO_SNR | {"set_alpha_to_one": True},
    "DDPMScheduler": _DDPM | _ZERO_SNR,
    "DEISMultistepScheduler": _DDPM,
    "DPMSolverMultistepScheduler": _DDPM | _ZERO_SNR,
    "DPMSolverSinglestepScheduler": _DDPM,
    "EulerAncestralDiscreteScheduler": _DDPM | _ZERO_SNR,
    "EulerDiscreteScheduler": _DDPM | _ZERO_SNR,
    "HeunDiscreteScheduler": _KARRAS,
    "KDPM2AncestralDiscreteScheduler": _KARRAS,
    "KDPM2DiscreteScheduler": _KARRAS,
    "LCMScheduler": _LATENT | _ZERO_SNR,
    "LMSDiscreteScheduler": _DDPM,
    "PNDMScheduler": _DDPM | {"set_alpha_to_one": False},
    "TCDScheduler": _LATENT | _ZERO_SNR,
    "UniPCMultistepScheduler": _DDPM | _ZERO_SNR,
}


def complete_scheduler(config: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's configuration with all that its noise schedule needs: what it leaves out is its class's own default.

    Only the spacing of the timesteps has no default here; see `solver_steps`.

    Args:
      config: scheduler_config.json of a checkpoint.

    Raises:
      InputError: for a kind of scheduler, a field or a value that is not supported, since the pictures would differ from
        what the configuration asks for; or a field that is left out and has no default, since no class is named.
    """
    name = config.get("_class_name")
    if name is None:
        defaults = _DEFAULTS
    elif (known := str(name).removeprefix("Flax")) in SCHEDULERS:
        defaults = _DEFAULTS | SCHEDULERS[known]
    else:
        raise InputError(f"the scheduler {name} is not supported; use a checkpoint of Stable Diffusion 1.x, 2.x or XL")
    for field, value in config.items():
        if field in _ONLY and value != _ONLY[field]:
            raise InputError(f"the scheduler's {field} = {value!r} is not supported, only {_ONLY[field]!r}")
        if not (field.startswith("_") or field in _ONLY or field in _HONOURED or field in _OF_ITS_SOLVER):
            raise InputError(f"the scheduler's field {field!r} is not known; remove it if the pictures do not need it")
    config = config | {field: value for field, value in defaults.items() if field not in config}
    _validate_values(config)
    if config.get("rescale_betas_zero_snr"):
        if config["prediction_type"] == "epsilon":
            raise InputError(
                "rescale_betas_zero_snr needs prediction_type v_prediction or sample: at pure noise, noise says nothing of "
                "a picture"
            )
        if name is not None and "rescale_betas_zero_snr" not in defaults:
            raise InputError(
                f"the scheduler {name} has no rescale_betas_zero_snr: remove it, or name a class that has it"
            )
    return config


def _validate_values(config: dict[str, Any]) -> None:
    """Refuses what is missing and numbers that no noise schedule has."""
    for field, known in (
        ("beta_schedule", BETA_SCHEDULES),
        ("prediction_type", tuple(PREDICTIONS)),
        ("timestep_spacing", SPACINGS),
    ):
        if field in config and config[field] not in known:
            raise InputError(f"the scheduler's {field} {config[field]!r} is not supported; use {', '.join(known)}")
    betas = ("beta_start", "beta_end")
    needed = ("beta_schedule",) if config.get("beta_schedule") == "squaredcos_cap_v2" else ("beta_schedule", *betas)
    if missing := [field for field in needed if field not in config]:
        raise InputError(
            f"the scheduler has no {missing[0]} and no _class_name whose default it could take: add one of them"
        )
    for field in ("rescale_betas_zero_snr", "set_alpha_to_one"):
        if not isinstance(config.get(field, False), bool):
            raise InputError(f"the scheduler's {field} must be true or false, not {config[field]!r}")
    count = config["num_train_timesteps"]
    if not _is_a(Integral, count) or not 2 <= count <= _MOST_TIMESTEPS:
        raise InputError(
            f"the scheduler's num_train_timesteps must be a whole number from 2 to {_MOST_TIMESTEPS:,}, not {count!r}"
        )
    if set(betas) <= config.keys():
        start, end = (config[field] for field in betas)
        if not (_is_a(Real, start) and _is_a(Real, end) and 0 < start <= end < 1):
            raise InputError(
                f"the scheduler's beta_start and beta_end must be numbers with 0 < start <= end < 1, not {start!r} and "
                f"{end!r}"
            )


def _is_a(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
