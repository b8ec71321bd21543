"""Numbers of PyTorch diffusers on the same weights: recomputes them and compares, or writes fixtures/.

    make parity                                  # recomputes, compares with the fixtures and with this package
    python -m tests.torch_golden --write         # writes the fixtures anew
    python -m tests.torch_golden --full sd15 sdxl    # besides: UNets at full size, random weights (sdxl: 15 GB or more)

Needs the extra `parity`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")  # a notice for every Flax module

import jax
import jax.numpy as jnp
import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from flax.traverse_util import flatten_dict, unflatten_dict

from configs import finetune_sd
from cpi_jax.checkpoints.weights import to_torch, torch_name
from cpi_jax.data.shapes import EMPTY, make_shapes
from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.miniature import random_like
from cpi_jax.diffusion.networks import EmbeddedCaptions, Networks, build_networks, param_shapes
from cpi_jax.files.json_files import read_json
from cpi_jax.training.stable_diffusion import train_stable_diffusion
from tests import golden

_PIPELINES = (StableDiffusionPipeline, StableDiffusionXLPipeline)
_NOTHING_ELSE = ({"safety_checker": None, "feature_extractor": None}, {"add_watermarker": False})
_SCHEDULERS = {"dpm_solver": DPMSolverMultistepScheduler, "ddim": DDIMScheduler}


def scheduler_of(config: dict, solver: str, spacing: str):
    known = {k: v for k, v in config.items() if not k.startswith("_")} | {"timestep_spacing": spacing}
    known |= {"steps_offset": 1}  # as the pipeline sets it
    if solver == "ddim":
        known |= {"clip_sample": False, "set_alpha_to_one": config.get("set_alpha_to_one", True)}
    return _SCHEDULERS[solver].from_config(known)


def solvers() -> dict[str, np.ndarray]:
    start = np.random.default_rng(0).normal(size=6)
    out = {"start": start}
    for case, (config, solver, spacing, steps) in golden.SOLVERS.items():
        scheduler = scheduler_of(config, solver, spacing)
        scheduler.set_timesteps(steps)
        x = torch.tensor(start)
        for t in scheduler.timesteps:
            x = scheduler.step(golden.network(x, t, torch.sin), t, x).prev_sample
        out |= {f"{case}/timesteps": scheduler.timesteps.numpy(), f"{case}/end": x.numpy()}
    return out


def read_pipeline(name: str, folder: Path) -> Any:
    """A checkpoint's pipeline of diffusers, in float32."""
    is_xl = name == "sdxl"
    pipeline = _PIPELINES[is_xl].from_pretrained(folder, torch_dtype=torch.float32, **_NOTHING_ELSE[is_xl])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def outputs(
    name: str, folder: Path, pipeline: Any, given: dict[str, np.ndarray], parts: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """What PyTorch makes of the inputs, NHWC: all that is compared of a checkpoint, or some of it."""
    parts = parts or golden.PARTS[name]
    text, unet, vae = pipeline.text_encoder, pipeline.unet, pipeline.vae
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    ids, noise, timesteps = torch.tensor(given["ids"]), channels_first(given["noise"]), torch.tensor(given["timesteps"])
    out: dict[str, Any] = {}
    if name == "sdxl":
        prompts = [golden.PROMPT, golden.NEGATIVE]
        context, _, pooled, _ = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)
        added = {"text_embeds": pooled, "time_ids": torch.tensor([golden.TOLD] * 2)}
        denoised = unet(noise, timesteps, context, added_cond_kwargs=added).sample
        out |= {"context": context, "pooled": pooled, "unet": denoised.permute(0, 2, 3, 1)}
    else:
        context = text(ids).last_hidden_state
        decoded = vae.decode(noise[:1]).sample
        out |= {
            "context": context,
            "unet": unet(noise, timesteps, context).sample.permute(0, 2, 3, 1),
            "decoded": decoded.permute(0, 2, 3, 1) / 2 + 0.5,
            "encoded": vae.encode(decoded).latent_dist.mean.permute(0, 2, 3, 1),
        }
        images = [image for image in golden.IMAGES if f"image {image}" in parts]
        out |= step_by_step(pipeline, config, context[:1], noise[:1], images)
    out = {key: value.numpy() for key, value in out.items() if key in parts}
    pictures = [image for image in golden.PIPELINES.get(name, {}) if f"image {image}" in parts]
    return out | by_pipeline(name, pipeline, config, pictures)


def channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.tensor(images).permute(0, 3, 1, 2)


def step_by_step(
    pipeline, config: dict, context: torch.Tensor, noise: torch.Tensor, images: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Pictures of any tokens."""
    text, unet, vae, tokenizer = pipeline.text_encoder, pipeline.unet, pipeline.vae, pipeline.tokenizer
    length = text.config.max_position_embeddings
    empty = tokenizer("", padding="max_length", max_length=length, return_tensors="pt").input_ids
    without, out = text(empty).last_hidden_state, {}
    for image in images:
        settings = golden.IMAGES[image]
        scheduler = scheduler_of(config, settings.get("solver", "dpm_solver"), settings["spacing"])
        scheduler.set_timesteps(settings["steps"])
        x, scale = noise, settings["guidance_scale"]
        for t in scheduler.timesteps:
            output = unet(x, t, context).sample
            if scale != 1:
                nothing = unet(x, t, without).sample
                output = nothing + scale * (output - nothing)
            x = scheduler.step(output, t, x).prev_sample
        image_of = vae.decode(x / vae.config.scaling_factor).sample
        out[f"image {image}"] = (image_of / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    return out


def by_pipeline(name: str, pipeline, config: dict, images: Sequence[str]) -> dict[str, np.ndarray]:
    """Pictures of a prompt, by diffusers' pipeline as its users call it."""
    out = {}
    for image in images:
        settings = golden.PIPELINES[name][image]
        spacing = settings.get("spacing") or config.get("timestep_spacing", "trailing")
        pipeline.scheduler = scheduler_of(config, settings.get("solver", "dpm_solver"), spacing)
        height, width = settings.get("height", 64), settings.get("width", 64)
        told = {"crops_coords_top_left": "crop", "original_size": "original_size", "target_size": "target_size"}
        made = pipeline(
            golden.PROMPT,
            negative_prompt=settings.get("negative"),
            num_inference_steps=settings["steps"],
            guidance_scale=settings["guidance_scale"],
            guidance_rescale=settings.get("guidance_rescale", 0.0),
            clip_skip=settings.get("clip_skip"),
            height=height,
            width=width,
            latents=channels_first(golden.noise(1, (height // 8, width // 8, 4))),
            output_type="np",
            **{theirs: settings[own] for theirs, own in told.items() if own in settings},
        )
        out[f"image {image}"] = made.images
    return out


def full(architecture: str) -> tuple[float, float]:
    """Relative difference of a UNet at full size with random weights, each framework in a process of its own."""
    outputs = []
    for by in (full_by_torch, full_by_jax):  # one after the other: the memory of both would be needed at once
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            outputs.append(process.submit(by, architecture).result())
    expected, found = outputs
    return golden.difference("unet", found, expected)


def full_inputs(architecture: str) -> tuple[Networks, dict, dict[str, np.ndarray]]:
    """Networks, the weights of the UNet by path, and what it is given."""
    nets = build_networks(ARCHITECTURES[architecture][0])
    rng = np.random.default_rng(1)
    side = {"sd15": 64, "sdxl": 32}[architecture]
    given = {
        "latents": rng.standard_normal((1, side, side, 4), np.float32),
        "context": rng.standard_normal((1, 77, nets.configs["unet"]["cross_attention_dim"]), np.float32),
        "pooled": rng.standard_normal((1, 1280), np.float32),
    }
    return nets, flatten_dict(random_like(param_shapes(nets)["unet"])), given


@torch.no_grad()
def full_by_torch(architecture: str) -> np.ndarray:
    nets, weights, given = full_inputs(architecture)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(nets.configs["unet"])
    state = {torch_name(key): torch.from_numpy(to_torch(key, weights.pop(key))) for key in list(weights)}
    unet.load_state_dict(state, assign=True)
    added = {"text_embeds": torch.tensor(given["pooled"]), "time_ids": torch.tensor([golden.TOLD])}
    latents, context = channels_first(given["latents"]), torch.tensor(given["context"])
    output = unet(latents, torch.tensor([500]), context, added_cond_kwargs=added if nets.is_told_sizes else None)
    return output.sample.permute(0, 2, 3, 1).numpy()


def full_by_jax(architecture: str) -> np.ndarray:
    nets, weights, given = full_inputs(architecture)
    unet = unflatten_dict({key: jax.device_put(weights.pop(key)) for key in list(weights)})
    latents, context, pooled = (jnp.asarray(given[name]) for name in ("latents", "context", "pooled"))
    captions = EmbeddedCaptions(context, pooled if nets.is_told_sizes else None)
    added = nets.added_conditions(captions, jnp.array(golden.TOLD, jnp.float32))
    return np.asarray(jax.jit(nets.denoise)(unet, latents, jnp.array([500], jnp.int32), context, added))


def finetuned(folder: Path) -> Path:
    """What a short training of UNet and text encoder exports."""
    config = finetune_sd.get_config("shapes")
    config.init, config.empty = str(golden.SHAPES_GENERATOR), EMPTY
    config.unet.trained, config.unet.num_steps, config.unet.optimizer.warmup = "unet+text_encoder", 2, 1
    return train_stable_diffusion(config, make_shapes(16), folder / "finetuned", lambda step, export: False)


def compare(what: str, found: np.ndarray, expected: np.ndarray, name: str = "") -> bool:
    off, allowed = golden.difference(name or what, found, expected)
    print(f"{what:45s} {off:.1e}  (at most {allowed:.0e})", flush=True)
    return off <= allowed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the fixtures instead of comparing with them")
    parser.add_argument("--full", nargs="+", default=[], choices=("sd15", "sdxl"), help="besides, UNets at full size")
    options = parser.parse_args()
    good = True
    ends = solvers()
    if options.write:
        np.savez_compressed(golden.FIXTURES / "torch_solvers.npz", **ends)
    stored = np.load(golden.FIXTURES / "torch_solvers.npz")
    for case in golden.SOLVERS:
        timesteps, end = golden.our_solver(case, stored["start"])
        good &= bool(np.array_equal(timesteps, ends[f"{case}/timesteps"]))
        good &= compare(f"fixture: {case}", stored[f"{case}/end"], ends[f"{case}/end"])
        good &= compare(f"ours: {case}", end, ends[f"{case}/end"])
    with tempfile.TemporaryDirectory() as temporary:
        for name in golden.CHECKPOINTS:
            folder = golden.checkpoint(name, Path(temporary))
            given = golden.inputs(name, folder)
            expected = outputs(name, folder, read_pipeline(name, folder), given)
            if options.write:
                kept = {k: v.astype(np.float16) if k.startswith("image") else v for k, v in expected.items()}
                np.savez_compressed(golden.FIXTURES / f"torch_{name}.npz", noise=given["noise"], **kept)
            stored = np.load(golden.FIXTURES / f"torch_{name}.npz")
            found = golden.ours(name, folder, given)
            for key, value in expected.items():
                good &= compare(f"fixture: {name}, {key}", stored[key].astype(np.float32), value, key)
                good &= compare(f"ours: {name}, {key}", found[key], value, key)
        folder = finetuned(Path(temporary))
        given = golden.inputs("embedded", folder)
        expected = outputs("embedded", folder, read_pipeline("embedded", folder), given)
        found = golden.ours("embedded", folder, given)
        for key, value in expected.items():
            good &= compare(f"ours: fine-tuned, {key}", found[key], value, key)
        weights = read_pipeline("embedded", folder).unet.state_dict()["conv_in.weight"].permute(2, 3, 1, 0).numpy()
        own = load_generator(folder)[0].params.networks["unet"]["conv_in"]["kernel"]
        good &= compare("ours: fine-tuned, opened as a pipeline", np.asarray(own), weights)
    for architecture in options.full:
        started = time.monotonic()
        off, allowed = full(architecture)
        took = time.monotonic() - started
        print(f"{architecture}'s UNet at full size: {off:.1e} (at most {allowed:.0e}), {took:.0f} s")
        good &= off <= allowed
    sys.exit(None if good else "parity does not hold")


if __name__ == "__main__":
    main()
