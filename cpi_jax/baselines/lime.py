"""LIME for images (Ribeiro, Singh & Guestrin 2016, arXiv 1602.04938): a local linear model of hidden superpixels.

Constants follow the authors' `lime_image`: each superpixel is hidden with probability one half, a perturbation at cosine
distance d from the image weighs exp(-(d / 0.25)^2 / 2), and the linear model is a ridge regression with penalty 1.
The superpixels are SLIC's, not quickshift's, and the scores are the classifier's own, logits where it gives logits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.extras import import_extra

KERNEL_WIDTH = 0.25


def superpixels(images: Float[np.ndarray, "b h w 3"], num_segments: int) -> Int[np.ndarray, "b h w"]:
    """Cuts each image into at most `num_segments` superpixels (SLIC), numbered from 0; runs on the host.

    Raises:
      InputError: where scikit-image is not installed.
    """
    slic = import_extra("skimage.segmentation", "baselines", "LIME's superpixels").slic
    return np.stack([_cut(slic, image, num_segments) for image in images])


def _cut(slic: Callable[..., np.ndarray], image: np.ndarray, num_segments: int) -> np.ndarray:
    # SLIC takes the number as a hint and may return more.
    for asked in range(num_segments, 0, -1):
        segments = slic(image, n_segments=asked, start_label=0, channel_axis=-1)
        if segments.max() < num_segments:
            break
    return segments.astype(np.int32)


@partial(jax.jit, static_argnames=("num_segments", "num_samples", "batch_size"))
def lime(
    keys: Key[Array, " b"],
    scorer: Scorer,
    images: Float[Array, "b h w 3"],
    hidden: Float[Array, "b h w 3"],
    segments: Int[Array, "b h w"],
    *,
    num_segments: int,
    num_samples: int = 1000,
    penalty: Float[ArrayLike, ""] = 1.0,
    batch_size: int = 100,
) -> Float[Array, "b s c"]:
    """The coefficient of every superpixel for every score: what showing it adds. `paint_segments` makes heat maps of them.

    Args:
      keys: of the perturbations, one an image; consumed.
      images: in [0, 1].
      hidden: what is seen where a superpixel is hidden.
      segments: superpixel of each pixel, below `num_segments` (`superpixels`).
      num_segments: columns of the linear model, S.
      num_samples: perturbations of an image, M; the first hides nothing.
      penalty: of the ridge regression, on everything but the intercept.
      batch_size: perturbations scored at once.
    """

    def of_image(key: jax.Array, image: jax.Array, behind: jax.Array, parts: jax.Array) -> tuple[jax.Array, jax.Array]:
        exists = jnp.zeros(num_segments, bool).at[parts].set(True)
        # A superpixel that the image lacks is a column of zeros, and its coefficient 0.
        shown = jax.random.bernoulli(key, 0.5, (num_samples, num_segments)).at[0].set(True) & exists[None]

        def score(z: jax.Array) -> jax.Array:
            return scorer(jnp.where(z[parts][..., None], image, behind)[None])[0]

        return shown, jax.lax.map(score, shown, batch_size=batch_size)

    shown, scores = jax.lax.map(lambda x: of_image(*x), (keys, images, hidden, segments))  # [B, M, S], [B, M, C]
    count = shown.sum(-1)
    distance = 1 - jnp.sqrt(count / count[:, :1])
    weights = jnp.exp(-((distance / KERNEL_WIDTH) ** 2) / 2)
    return jax.vmap(ridge, in_axes=(0, 0, 0, None))(shown, scores, weights, penalty)


@jax.jit
def paint_segments(coefficients: Float[Array, "b s"], segments: Int[Array, "b h w"]) -> Float[Array, "b h w"]:
    """Heat maps whose pixels hold the coefficient of their superpixel."""
    return jax.vmap(lambda c, parts: c[parts])(coefficients, segments)


def ridge(
    x: Float[Array, "m s"] | Bool[Array, "m s"],
    y: Float[Array, "m c"],
    weights: Float[Array, " m"],
    penalty: Float[ArrayLike, ""],
) -> Float[Array, "s c"]:
    """Coefficients of the weighted ridge regressions of the columns of y on x, with free intercepts."""
    share = weights / weights.sum()
    x = x - (share @ x)[None]
    y = y - (share @ y)[None]
    normal = (x * weights[:, None]).T @ x + penalty * jnp.eye(x.shape[1])
    return jax.scipy.linalg.solve(normal, x.T @ (weights[:, None] * y), assume_a="pos")


@partial(jax.jit, static_argnames="num_segments")
def segment_means(
    images: Float[Array, "b h w 3"], segments: Int[Array, "b h w"], num_segments: int
) -> Float[Array, "b h w 3"]:
    """Every superpixel in its mean colour: what `lime_image` shows where one is hidden."""

    def of_image(image: jax.Array, parts: jax.Array) -> jax.Array:
        total = jax.ops.segment_sum(image.reshape(-1, 3), parts.ravel(), num_segments)
        size = jnp.bincount(parts.ravel(), length=num_segments)
        return (total / jnp.maximum(size, 1)[:, None])[parts]

    return jax.vmap(of_image)(images, segments)


@jax.jit
def medians(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Each image in its median colour: where most of it is background, a hidden superpixel then vanishes."""
    return jnp.broadcast_to(jnp.median(images, axis=(1, 2), keepdims=True), images.shape)


# What is seen where a superpixel is hidden: (images, segments, number of segments) -> pictures.
Background = Callable[[jax.Array, jax.Array, int], jax.Array]
BACKGROUNDS: dict[str, Background] = {
    "mean": segment_means,
    "median": lambda images, segments, num_segments: medians(images),
}
