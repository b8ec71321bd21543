"""Edits of real pictures against the paper's two passes with PyTorch diffusers' networks: part of `make parity`.

The embedded generator, 20 steps. First the noise maps of each picture (Huberman-Spiegelglas et al. 2024, algorithm 1), then
sampling with them under another caption.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")  # a notice for every Flax module

import jax
import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

import cpi_jax
from tests import golden

STEPS, SKIP, SCALE = 20, 3, 3.0
OF_ROW = np.array([0, 1, 1], np.int32)


@torch.no_grad()
def by_the_paper(pictures, own, captions, empty, noise, timesteps):
    """float [B, H, W, 3] in [0, 1]; `noise` [T, S, h, w, c] is each level's own."""
    folder = cpi_jax.SHAPES_GENERATOR
    text = CLIPTextModel.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    bars = DDPMScheduler.from_pretrained(folder / "scheduler").alphas_cumprod.double()
    kind = DDPMScheduler.from_pretrained(folder / "scheduler").config.prediction_type
    bar = torch.cat([bars[torch.tensor(timesteps)], torch.ones(1, dtype=torch.double)])  # the last level is the picture
    embed = lambda ids: text(torch.tensor(ids)).last_hidden_state  # noqa: E731
    without = embed(empty[None])

    def clean_and_noise(x, context, j, scale):
        t, a, s = torch.tensor(timesteps[j]), bar[j].sqrt().float(), (1 - bar[j]).sqrt().float()
        output = unet(x, t, context).sample
        if scale != 1:
            nothing = unet(x, t, without.expand_as(context)).sample
            output = nothing + scale * (output - nothing)
        if kind == "epsilon":
            return (x - s * output) / a, output
        return a * x - s * output, s * x + a * output

    def mean_and_spread(x, context, j, scale):
        clean, predicted = clean_and_noise(x, context, j, scale)
        variance = (1 - bar[j + 1]) / (1 - bar[j]) * (1 - bar[j] / bar[j + 1])
        direction = (1 - bar[j + 1] - variance).clamp(min=0).sqrt().float()
        return bar[j + 1].sqrt().float() * clean + direction * predicted, variance.sqrt().float()

    pixels = torch.tensor(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    clean = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
    levels = [
        bar[j].sqrt().float() * clean + (1 - bar[j]).sqrt().float() * torch.tensor(noise[j]).permute(0, 3, 1, 2)
        for j in range(STEPS)
    ] + [clean]
    maps = []
    for j in range(SKIP, STEPS):
        mean, spread = mean_and_spread(levels[j], embed(own), j, 1.0)
        maps.append((levels[j + 1] - mean) / (spread if spread > 0 else 1))
    x, context = levels[SKIP][OF_ROW], embed(captions)
    for j in range(SKIP, STEPS):
        mean, spread = mean_and_spread(x, context, j, SCALE)
        x = mean + (spread if spread > 0 else 1) * maps[j - SKIP][OF_ROW]
    return (vae.decode(x / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def main() -> None:
    examples = cpi_jax.make_shapes(2)
    generator, tokenizer = cpi_jax.load_generator(
        cpi_jax.SHAPES_GENERATOR, steps=STEPS, guidance_scale=SCALE, solver="ddim", anchor="edit_friendly", skip=SKIP
    )
    own = np.asarray(cpi_jax.assemble(cpi_jax.make_slots(tokenizer, examples.slots, length=32, empty="an empty scene")))
    others = [
        tuple(slot or ("1 blue circle" if k == 2 else "") for k, slot in enumerate(row)) for row in examples.slots
    ]
    others.append(("1 red circle", *[""] * 5))
    captions = np.asarray(cpi_jax.assemble(cpi_jax.make_slots(tokenizer, others, length=32, empty="an empty scene")))
    ids = np.array([5, 9], np.uint32)
    keys = cpi_jax.noise_keys(jax.random.key(7), 0, ids)
    timesteps = np.round(np.arange(1000, 0, -1000 / STEPS)).astype(int) - 1
    shape = generator.apply.latent_shape
    noise = np.stack([[jax.random.normal(jax.random.fold_in(key, t), shape) for key in keys] for t in timesteps])
    sources = cpi_jax.Sources(examples.images, own, OF_ROW)
    found = cpi_jax.sample(generator, captions, keys[OF_ROW], sources)
    empty = np.asarray(generator.params.unconditional)
    expected = by_the_paper(examples.images, own, captions, empty, noise, timesteps)
    off = float(np.abs(np.asarray(found) - expected).mean())
    print(f"{'ours: edits of real pictures':45s} {off:.1e}  (at most {golden.PIXEL:.0e})")
    sys.exit(None if off <= golden.PIXEL else "parity does not hold")


if __name__ == "__main__":
    main()
