"""What a generator and scorers will give, known before any image: sizes and numbers of outputs."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.diffusion.generator import Generator, Sources
from cpi_jax.generation.batches import split_by_place
from cpi_jax.generation.fused_step import paint_and_score


def count_outputs(
    generator: Generator, scorers: Mapping[str, Scorer | HostScorer], caption_length: int, batch_size: int
) -> tuple[dict[str, int], tuple[int, int]]:
    """Columns of each scorer, and height and width of an image; a host scorer is tried on noise, `batch_size` of it."""
    on_device, on_host = split_by_place(scorers)
    key = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    caption = jax.ShapeDtypeStruct((1, caption_length), jnp.int32)
    sources = None
    if generator.source_size:
        pictures = np.zeros((1, *generator.source_size, 3), np.uint8)
        sources = Sources(pictures, np.zeros((1, caption_length), np.int32), of_row=np.zeros(1, np.int32))
    shapes, images, _ = jax.eval_shape(paint_and_score, generator, on_device, caption, key, sources)
    batch = (batch_size or 8, *images.shape[1:])
    columns = {name: scores.shape[1] for name, scores in shapes.items()}
    return columns | {name: scorer.try_out(batch) for name, scorer in on_host.items()}, images.shape[1:3]
