"""Gradients of a score in the pixels, as heat maps (Simonyan, Vedaldi & Zisserman 2014, arXiv 1312.6034)."""

from __future__ import annotations

import jax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from cpi_jax.classifiers.scorer import Scorer


@jax.jit
def gradient(scorer: Scorer, images: Float[Array, "b h w 3"], output: Int[ArrayLike, ""] = 0) -> Float[Array, "b h w"]:
    """The signed gradient of a score in each pixel, summed over the colours."""
    return _pixel_gradient(scorer, images, output).sum(-1)


@jax.jit
def gradient_times_input(
    scorer: Scorer, images: Float[Array, "b h w 3"], output: Int[ArrayLike, ""] = 0
) -> Float[Array, "b h w"]:
    """Gradient times pixel, summed over the colours: for a linear model, each pixel's difference from a black one."""
    return (_pixel_gradient(scorer, images, output) * images).sum(-1)


def _pixel_gradient(scorer: Scorer, images: jax.Array, output: ArrayLike) -> jax.Array:
    # Rows are independent, so that the gradient of the sum holds every image's own.
    return jax.grad(lambda x: scorer(x)[:, output].sum())(images)
