"""What is compared with PyTorch diffusers, and how close it must come; torch_golden.py makes the numbers in fixtures/."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.diffusion.checkpoint import load_checkpoint, unconditional_ids
from cpi_jax.diffusion.miniature import write_miniature
from cpi_jax.diffusion.sampler import make_generator, sample
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.diffusion.schedule import SolverSteps, prediction_type, solver_steps
from cpi_jax.embedded import SHAPES_GENERATOR
from cpi_jax.plan.noise import noise_keys

FIXTURES = Path(__file__).parent / "fixtures"
CHECKPOINTS = ("embedded", "sd15", "sd21", "sdxl")  # all but the first are miniatures with random weights
# With these random weights the UNet multiplies a rounding of its input by 10; with others (0 of sd21) by up to 1000, and
# then two machines differ by more than the tolerance.
SEEDS = {"sd15": 0, "sd21": 3, "sdxl": 0}
RELATIVE = 1e-4  # of the norm of a network's output
PIXEL = 1e-3  # mean absolute difference of an image in [0, 1]

# Samplers of an image: as `load_generator` takes them.
IMAGES: dict[str, dict[str, Any]] = {
    "dpm_solver": {"steps": 20, "guidance_scale": 3.0, "spacing": "trailing"},
    "ddim": {"steps": 20, "guidance_scale": 3.0, "solver": "ddim", "spacing": "leading"},
}
# Samplers of a prompt, by diffusers' own pipeline; "all" is everything at once.
PROMPT, NEGATIVE = "a photo of 2 dogs on grass", "1 dog, blurry"
_ALL: dict[str, Any] = {
    "steps": 20,
    "guidance_scale": 5.0,
    "negative": NEGATIVE,
    "clip_skip": 1,
    "guidance_rescale": 0.7,
}
PIPELINES: dict[str, dict[str, dict[str, Any]]] = {
    "sd15": {"all": {**_ALL, "height": 64, "width": 128, "solver": "ddim", "spacing": "leading"}},
    "sdxl": {
        "base": {"steps": 20, "guidance_scale": 5.0},
        "all": {**_ALL, "height": 96, "width": 64, "original_size": (80, 48), "crop": (4, 8), "target_size": (70, 60)},
        "turbo": {"steps": 1, "guidance_scale": 1.0, "solver": "ddim", "spacing": "trailing"},
    },
}
PARTS = {
    "embedded": ("context", "unet", "decoded", "encoded", *(f"image {name}" for name in IMAGES)),
    "sd15": ("context", "unet", "decoded", "encoded", *(f"image {name}" for name in (*IMAGES, *PIPELINES["sd15"]))),
    "sd21": ("context", "unet", "decoded", "encoded", *(f"image {name}" for name in IMAGES)),
    "sdxl": ("context", "pooled", "unet", *(f"image {name}" for name in PIPELINES["sdxl"])),
}
TOLD = (80, 48, 4, 8, 70, 60)  # sizes, where a UNet is told any

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


def inputs(name: str, vocabulary: int, tokenizer: Any, length: int, latent: int) -> dict[str, np.ndarray]:
    """Token ids, noise, timesteps and pixels that both implementations get."""
    rng = np.random.default_rng(CHECKPOINTS.index(name))
    ids = rng.integers(0, vocabulary - 2, (2, length))
    if name == "sdxl":  # two encoders differ behind the end
        ids = np.asarray(tokenizer([PROMPT, NEGATIVE], padding="max_length", max_length=length).input_ids)
    return {"ids": ids, "noise": noise(2, (latent, latent, 4)), "timesteps": np.array([999, 300])}


def noise(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Of the first examples."""
    return np.asarray(jax.vmap(lambda key: jax.random.normal(key, shape))(_keys()))[:count]


def _keys() -> jax.Array:
    return noise_keys(jax.random.key(0), 0, jnp.arange(2, dtype=jnp.uint32))


def ours(name: str, folder: Path, given: dict[str, np.ndarray], parts: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Text embeddings, UNet output, decoded, encoded and sampled pictures, or some of them; NHWC."""
    checkpoint = load_checkpoint(folder)
    networks, params, tokenizer = checkpoint.networks, checkpoint.params, checkpoint.tokenizer
    ids, noisy = jnp.asarray(given["ids"], jnp.int32), jnp.asarray(given["noise"])
    timesteps = jnp.asarray(given["timesteps"], jnp.int32)

    @functools.cache
    def captions():
        return jax.jit(networks.encode_text)(params, ids)

    def unet():
        added = networks.added_conditions(captions(), jnp.array(TOLD, jnp.float32))
        return jax.jit(networks.denoise)(params["unet"], noisy, timesteps, captions().context, added)

    def image(kind):  # one program for all of the same size: the networks are the same objects
        settings = SamplerSettings(**(IMAGES.get(kind) or PIPELINES[name][kind]))
        unconditional = unconditional_ids(tokenizer, networks.max_length, settings.negative)
        generator = make_generator(networks, params, checkpoint.scheduler, unconditional, settings)
        prompt = ids[:1] if kind in IMAGES else unconditional_ids(tokenizer, networks.max_length, PROMPT)[None]
        return sample(generator, prompt, _keys()[:1])

    def decoded():
        return jax.jit(networks.decode_latents)(params["vae"], noisy[:1])

    compute = {
        "context": lambda: captions().context,
        "pooled": lambda: captions().pooled,
        "unet": unet,
        "decoded": decoded,
        "encoded": lambda: jax.jit(networks.encode_image)(params["vae"], decoded())[0],
    }
    parts = parts or PARTS[name]
    return {
        part: np.asarray(image(part.removeprefix("image ")) if part.startswith("image") else compute[part]())
        for part in parts
    }


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
