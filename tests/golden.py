"""What is compared with PyTorch diffusers, and how close it must come; torch_golden.py makes the numbers in fixtures/."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.miniature import write_miniature
from cpi_jax.diffusion.sampler import make_generator, sample
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.diffusion.schedule import SolverSteps, prediction_type, solver_steps
from cpi_jax.embedded import SHAPES_GENERATOR
from cpi_jax.files.json_files import read_json
from cpi_jax.plan.noise import noise_keys

FIXTURES = Path(__file__).parent / "fixtures"
CHECKPOINTS = ("embedded", "sd15", "sd21")  # the last two are miniatures with random weights
# With these random weights the UNet multiplies a rounding of its input by 10; with others (0 of sd21) by up to 1000, and
# then two machines differ by more than the tolerance.
SEEDS = {"sd15": 0, "sd21": 3}
RELATIVE = 1e-4  # of the norm of a network's output
PIXEL = 1e-3  # mean absolute difference of an image in [0, 1]

# Samplers of an image: as `load_generator` takes them.
IMAGES: dict[str, dict[str, Any]] = {
    "dpm_solver": {"steps": 20, "guidance_scale": 3.0, "spacing": "trailing"},
    "ddim": {"steps": 20, "guidance_scale": 3.0, "solver": "ddim", "spacing": "leading"},
}
PARTS = ("context", "unet", "decoded", "encoded", *(f"image {name}" for name in IMAGES))

_LINEAR = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
_ZERO_SNR = _LINEAR | {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
# Solvers with a made-up network: (scheduler's configuration, solver, spacing, steps).
SOLVERS: dict[str, tuple[dict[str, Any], str, str, int]] = {
    f"{solver} {spacing} {kind} {steps}": (
        _LINEAR | {"prediction_type": kind, "steps_offset": 1},
        solver,
        spacing,
        steps,
    )
    for solver in ("dpm_solver", "ddim")
    for spacing in ("trailing", "leading", "linspace")
    for kind, steps in (("epsilon", 20), ("v_prediction", 10), ("sample", 4), ("epsilon", 1), ("v_prediction", 2))
    if not (solver == "ddim" and spacing == "linspace")  # there diffusers steps beside its own grid
}
SOLVERS |= {
    "zero snr dpm_solver": (_ZERO_SNR, "dpm_solver", "trailing", 10),
    "zero snr ddim": (_ZERO_SNR, "ddim", "trailing", 10),
    "linear": (_LINEAR | {"beta_schedule": "linear"}, "dpm_solver", "trailing", 10),
    "cosine": (
        _LINEAR | {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
        "ddim",
        "trailing",
        10,
    ),
    "last alpha": (_LINEAR | {"set_alpha_to_one": False, "steps_offset": 1}, "ddim", "leading", 10),
}


def network(x: Any, t: Any, sin: Any) -> Any:
    """In a denoiser's place."""
    return sin(3 * x + t / 500)


def checkpoint(name: str, folder: Path) -> Path:
    """The folder of a checkpoint; a miniature is written below `folder`."""
    if name == "embedded":
        return SHAPES_GENERATOR
    write_miniature(name, folder / name, SEEDS[name])
    return folder / name


def inputs(name: str, vocabulary: int, length: int, latent: int) -> dict[str, np.ndarray]:
    """Token ids, noise, timesteps and pixels that both implementations get."""
    rng = np.random.default_rng(CHECKPOINTS.index(name))
    ids = rng.integers(0, vocabulary - 2, (2, length))
    noise = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (latent, latent, 4)))(_keys()))
    return {"ids": ids, "noise": noise, "timesteps": np.array([999, 300])}


def _keys() -> jax.Array:
    return noise_keys(jax.random.key(0), 0, jnp.arange(2, dtype=jnp.uint32))


def ours(folder: Path, given: dict[str, np.ndarray], parts: Sequence[str] = PARTS) -> dict[str, np.ndarray]:
    """Text embedding, UNet output, decoded, encoded and sampled pictures, or some of them; NHWC."""
    generator, _ = load_generator(folder, **IMAGES["dpm_solver"])
    networks, params = generator.apply.networks, generator.params.networks
    ids, noise = jnp.asarray(given["ids"], jnp.int32), jnp.asarray(given["noise"])
    timesteps = jnp.asarray(given["timesteps"], jnp.int32)
    context = jax.jit(networks.encode_text)(params, ids).context
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")

    def image(name):  # one program for all of them: the networks are the same objects
        settings = SamplerSettings(**IMAGES[name])
        other = make_generator(networks, params, scheduler, generator.params.unconditional, settings)
        return sample(other, ids[:1], _keys()[:1])

    def decoded():
        return jax.jit(networks.decode_latents)(params["vae"], noise[:1])

    compute = {
        "context": lambda: context,
        "unet": lambda: jax.jit(networks.denoise)(params["unet"], noise, timesteps, context),
        "decoded": decoded,
        "encoded": lambda: jax.jit(networks.encode_image)(params["vae"], decoded())[0],
        **{f"image {name}": partial(image, name) for name in IMAGES},
    }
    return {part: np.asarray(compute[part]()) for part in parts}


def difference(name: str, found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """How far a number is off, and how far it may be."""
    off = found.astype(np.float64) - expected
    if name.startswith("image"):
        return float(np.abs(off).mean()), PIXEL
    return float(np.linalg.norm(off) / np.linalg.norm(expected)), RELATIVE


def solve(steps: SolverSteps, predict: Callable[..., Any], start: Any) -> Any:
    """The recurrence in float64, with `predict(x, timestep, alpha, sigma)` for the clean latents."""
    x, previous = start, 0.0
    for t, *coefficients in zip(*steps):
        a, s, carry, gain, mix = map(float, coefficients)
        clean = predict(x, t, a, s)
        x = carry * x + gain * ((1 + mix) * clean - mix * previous)
        previous = clean
    return x


def our_solver(case: str, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Timesteps and where the recurrence ends."""
    config, solver, spacing, steps = SOLVERS[case]
    coefficients, kind = solver_steps(config, steps, solver=solver, spacing=spacing), prediction_type(config)

    def predict(x, t, a, s):
        output = network(x, t, np.sin)
        if kind == "epsilon":
            return (x - s * output) / a
        return output if kind == "sample" else a * x - s * output

    return coefficients.timestep, solve(coefficients, predict, start.astype(np.float64))
