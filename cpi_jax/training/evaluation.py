"""How well a generator says what its captions say: the detector's AUROC on generated images."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.captions import assemble, make_slots
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.sampler import noise_keys, sample
from cpi_jax.importance.metrics import auroc


def detector_auroc(
    folder: str | Path,
    detector: Scorer,
    examples: Examples,
    *,
    separator: str,
    empty: str,
    steps: int,
    guidance_scale: float,
) -> np.ndarray:
    """AUROC [J] of each concept's detector score on images generated for the examples' captions."""
    generator, tokenizer = load_generator(folder, steps=steps, guidance_scale=guidance_scale)
    length = generator.params.unconditional.shape[0]
    token_ids = assemble(make_slots(tokenizer, examples.slots, length=length, separator=separator, empty=empty))
    keys = noise_keys(jax.random.key(0), 0, jnp.asarray(examples.ids, jnp.uint32))
    score = jax.jit(lambda g, d, ids, k: d.apply(d.params, sample(g, ids, k)))
    starts = range(0, len(examples), 100)
    scores = jnp.concatenate([score(generator, detector, token_ids[i : i + 100], keys[i : i + 100]) for i in starts])
    ones = jnp.ones(len(examples))
    return np.asarray(jax.vmap(auroc, in_axes=(1, 1, None))(scores, jnp.asarray(examples.concepts), ones))
