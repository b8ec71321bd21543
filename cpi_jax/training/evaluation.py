"""How well a generator says what its captions say: images of held-out captions, and the detector's AUROC on them."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.generator import find_caption_length, sample
from cpi_jax.plan.noise import noise_ids, noise_keys
from cpi_jax.training.classifier import held_out_auroc
from cpi_jax.training.prompts import prompt_ids


def draw_samples(
    folder: str | Path,
    examples: Examples,
    *,
    separator: str,
    empty: str,
    steps: int,
    guidance_scale: float,
    batch_size: int = 64,
) -> UInt8[np.ndarray, "n h w 3"]:
    """An image of every example's caption, by the checkpoint in a folder; the noise follows from the example's id."""
    generator, tokenizer = load_generator(folder, steps=steps, guidance_scale=guidance_scale)
    token_ids = prompt_ids(
        tokenizer, examples, find_caption_length(generator, tokenizer), separator=separator, empty=empty
    )
    keys = noise_keys(jax.random.key(0), 0, jnp.asarray(noise_ids(examples.ids)))
    draw = jax.jit(sample)
    starts = range(0, len(examples), batch_size)
    images = [np.asarray(draw(generator, token_ids[i : i + batch_size], keys[i : i + batch_size])) for i in starts]
    return np.round(255 * np.concatenate(images)).astype(np.uint8)


def detector_auroc(
    images: UInt8[np.ndarray, "n h w 3"], detector: Scorer, examples: Examples, batch_size: int = 100
) -> Float[np.ndarray, " j"]:
    """AUROC of each concept's detector score on images generated for the examples' captions; nan where one never varies."""
    score = jax.jit(lambda scorer, x: scorer(x.astype(jnp.float32) / 255))
    starts = range(0, len(images), batch_size)
    scores = np.concatenate([np.asarray(score(detector, images[i : i + batch_size])) for i in starts])
    return held_out_auroc(scores, examples.concepts)
