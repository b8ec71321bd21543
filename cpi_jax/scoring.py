"""The fused step: token ids -> images -> scores of the classifier f and the detector h, in one compiled call."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt8

from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.diffusion.sampler import Generator, sample


def score_batch(
    generator: Generator,
    scorers: Mapping[str, Scorer],
    token_ids: Int[Array, "b l"],
    keys: Key[Array, " b"],
) -> tuple[dict[str, Float[Array, "b c"]], UInt8[Array, "b h w 3"]]:
    """Generates images and scores them; the per-device function, for jit, vmap, shard_map and pmap.

    The scores are of the float images; the images come back as uint8 and, like any output that the caller's jit leaves
    out, cost nothing when unused.

    Args:
      generator: of the images.
      scorers: by name.
      token_ids: captions, int32 [B, L].
      keys: noise keys [B], see `noise_keys`.
    """
    images = sample(generator, token_ids, keys)
    scores = {name: scorer(images) for name, scorer in scorers.items()}
    return scores, jnp.round(images * 255).astype(jnp.uint8)
