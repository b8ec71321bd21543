"""Scores of images that are there already."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.images import ImageFiles, batches_of
from cpi_jax.generation import sharding


def score_images(
    scorers: Mapping[str, Scorer | HostScorer],
    images: np.ndarray | ImageFiles,
    batch_size: int = 64,
) -> dict[str, np.ndarray]:
    """Scores [N, C] by scorer of images [N, H, W, 3], which are read once."""
    scores_of = {name: [] for name in scorers}
    for batch in batches_of(images, batch_size):
        padded = sharding.pad_rows(batch, batch_size)
        for name, scorer in scorers.items():
            on_host = isinstance(scorer, HostScorer)
            batch_scores = (
                scorer(padded.astype(np.float32) / 255) if on_host else np.asarray(_score_pixels(scorer, padded))
            )
            scores_of[name].append(batch_scores[: len(batch)])
    return {name: np.concatenate(scores) for name, scores in scores_of.items()}


@jax.jit
def _score_pixels(scorer: Scorer, images: jax.Array) -> jax.Array:
    return scorer(images.astype(jnp.float32) / 255)
