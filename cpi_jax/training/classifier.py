"""Training of image classifiers on images and labels only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, UInt8

from cpi_jax.classifiers.resnet import ResNet
from cpi_jax.errors import InputError
from cpi_jax.statistics.metrics import auroc
from cpi_jax.training.loop import fit
from cpi_jax.training.optimizer import make_optimizer
from cpi_jax.validation.ranges import validate_numbers


class LabelledImages(NamedTuple):
    """Images with C independent binary targets each."""

    images: UInt8[Array | np.ndarray, "n h w 3"]
    targets: Float[Array | np.ndarray, "n c"]


def train_classifier(
    images: np.ndarray,
    targets: np.ndarray,
    *,
    name: str,
    channels: tuple[int, ...],
    num_steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    workdir: str | Path,
) -> Any:
    """Fits a `ResNet` to binary targets by the sigmoid cross-entropy.

    Each image is blurred by a random amount (a mix with its 3x3 mean), so that the classifier reads shapes rather than the
    sharpness and pixel noise that tell photographs from generated images.

    Args:
      images: uint8 [N, H, W, 3].
      targets: {0, 1}, [N, C].
      name: names log lines and checkpoints.
      channels: widths of the network's stages, multiples of 8.
      num_steps: optimiser steps.
      batch_size: images a step.
      learning_rate: peak of the schedule.
      seed: of initialisation and batches.
      workdir: where the checkpoints live.

    Returns:
      The network's averaged parameters.

    Raises:
      InputError: for widths that no network has.
    """
    if not channels:
        raise InputError("channels must hold the width of at least one stage")
    for width in channels:
        validate_numbers(channels=width)
    module = ResNet(targets.shape[-1], channels)
    params = jax.jit(module.init)(jax.random.key(seed), jnp.zeros((1, *images.shape[1:])))["params"]

    def draw(key: jax.Array, data: LabelledImages) -> LabelledImages:
        index = jax.random.randint(key, (batch_size,), 0, data.images.shape[0])
        return jax.tree.map(lambda x: x[index], data)

    def loss(params: Any, batch: LabelledImages, keys: jax.Array) -> jax.Array:
        images = batch.images.astype(jnp.float32) / 255
        share = jax.vmap(lambda key: jax.random.uniform(key, (1, 1, 1)))(keys)
        images = images + share * (nn.avg_pool(images, (3, 3), padding="SAME", count_include_pad=False) - images)
        logits = module.apply({"params": params}, images)
        return optax.sigmoid_binary_cross_entropy(logits, batch.targets).mean(-1)

    return fit(
        name,
        params,
        make_optimizer(learning_rate, num_steps, warmup=min(100, num_steps // 10)),
        loss,
        draw,
        LabelledImages(images, targets.astype(np.float32)),
        num_steps=num_steps,
        batch_size=batch_size,
        seed=seed,
        workdir=workdir,
    )


def held_out_auroc(scores: Float[np.ndarray, "n c"], targets: np.ndarray) -> np.ndarray:
    """AUROC of each output, [C]; nan where a target never varies."""
    ones = jnp.ones(len(scores))
    return np.asarray(jax.vmap(auroc, in_axes=(1, 1, None))(jnp.asarray(scores), jnp.asarray(targets, jnp.int32), ones))
