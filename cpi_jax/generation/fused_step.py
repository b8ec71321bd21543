"""The fused step: token ids -> images -> scores of the classifier f and the detector h, in one compiled call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, UInt8, UInt32

from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.diffusion.generator import Generator, Sources, sample
from cpi_jax.generation import sharding
from cpi_jax.plan.noise import noise_keys


def paint_and_score(
    generator: Generator,
    scorers: Mapping[str, Scorer],
    token_ids: Int[Array, "b l"],
    keys: Key[Array, " b"],
    sources: Sources | None = None,
) -> tuple[dict[str, Float[Array, "b c"]], UInt8[Array, "b h w 3"], Float[Array, "b 2 3"]]:
    """`score_batch`, and each image's smallest and largest value of every colour: what says that an image is one.

    NaN anywhere in a colour makes both of its values NaN; as uint8 it would be black.
    """
    images = sample(generator, token_ids, keys, sources)
    scores = {name: scorer(images) for name, scorer in scorers.items()}
    extremes = jnp.stack([images.min((1, 2)), images.max((1, 2))], axis=1)
    finite = jnp.isfinite(images).all((1, 2))[:, None]  # asked for itself: on CPUs XLA's min and max may skip NaN
    extremes = jnp.where(finite, extremes, jnp.nan)
    return scores, jnp.round(images * 255).astype(jnp.uint8), extremes


def score_batch(
    generator: Generator,
    scorers: Mapping[str, Scorer],
    token_ids: Int[Array, "b l"],
    keys: Key[Array, " b"],
    sources: Sources | None = None,
) -> tuple[dict[str, Float[Array, "b c"]], UInt8[Array, "b h w 3"]]:
    """Generates images and scores them; the per-device function, for jit, vmap, shard_map and pmap.

    The scores are of the float images; the images come back as uint8 and, like any output that the caller's jit leaves
    out, cost nothing when unused.

    Args:
      generator: of the images.
      scorers: by name.
      token_ids: captions, int32 [B, L].
      keys: noise keys [B], see `noise_keys`.
      sources: the real pictures, where the generator is anchored in them.

    Example:
      >>> import cpi_jax, jax, jax.numpy as jnp
      >>> generator = cpi_jax.Generator(0.5, lambda params, ids, keys: jnp.full((len(ids), 2, 2, 3), params))
      >>> scorers = {"target": cpi_jax.Scorer(None, lambda params, images: images.mean((1, 2, 3))[:, None])}
      >>> keys = jax.random.split(jax.random.key(0), 3)
      >>> scores, images = cpi_jax.score_batch(generator, scorers, jnp.zeros((3, 4), jnp.int32), keys)
      >>> scores["target"].tolist(), images.shape
      ([[0.5], [0.5], [0.5]], (3, 2, 2, 3))
    """
    return paint_and_score(generator, scorers, token_ids, keys, sources)[:2]


def keyed_batch(
    generator: Generator,
    scorers: Mapping[str, Scorer],
    key: PRNGKeyArray,
    draw: int | Int[Array, ""],
    token_ids: Int[Array, "b l"],
    ids: UInt32[Array, "..."],
    sources: Sources | None = None,
) -> tuple[dict[str, Float[Array, "b c"]], UInt8[Array, "b h w 3"], Float[Array, "b 2 3"]]:
    """The fused step of a study, on one device: `paint_and_score` with the noise of a draw."""
    return paint_and_score(generator, scorers, token_ids, noise_keys(key, draw, ids), sources)


@functools.cache
def compiled_step(mesh: jax.sharding.Mesh) -> Callable[..., Any]:
    """`keyed_batch` over the devices of a mesh; one for all studies of a process."""
    return sharding.split_rows(keyed_batch, mesh, num_replicated=4, num_split=3)
