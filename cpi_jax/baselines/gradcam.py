"""GradCAM (Selvaraju et al. 2017, arXiv 1610.02391) of a network cut in two: images -> feature map -> scores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from cpi_jax.classifiers.resnet import ResNet, pool
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.errors import InputError


class Split(NamedTuple):
    """A classifier cut behind its last convolution; head(params, features(params, images)) are its scores.

    Cut behind the last activation, where the map is not negative. In front of it a negative value under a negative
    weight counts as evidence, and in front of a group or layer normalisation the gradients of a group sum to zero.

    Attributes:
      features: (params, images [B, H, W, 3]) -> feature map [B, h, w, c].
      head: (params, feature map) -> scores [B, C].
    """

    features: Callable[[Any, jax.Array], jax.Array]
    head: Callable[[Any, jax.Array], jax.Array]


@functools.partial(jax.jit, static_argnames=("split", "rectify"))
def grad_cam(
    split: Split, params: Any, images: Float[Array, "b h w 3"], output: Int[ArrayLike, ""] = 0, *, rectify: bool = True
) -> Float[Array, "b h w"]:
    """Heat maps relu(sum_k alpha_k A_k), alpha_k the mean gradient of the score in channel k of the feature map A.

    Args:
      split: the classifier; pass the same one again to compile nothing.
      params: its parameters.
      images: in [0, 1].
      output: which score.
      rectify: whether evidence against the score is left out, as the paper has it.

    Returns:
      Maps as large as the images (bilinear).
    """
    return weighted_map(*channel_weights(split, params, images, output), images.shape[1:3], rectify=rectify)


@functools.partial(jax.jit, static_argnames="split")
def channel_weights(
    split: Split, params: Any, images: Float[Array, "b h w 3"], output: Int[ArrayLike, ""] = 0
) -> tuple[Float[Array, "b i j c"], Float[Array, "b c"]]:
    """The feature map and each channel's weight alpha; the weights are linear in the score that is explained."""
    features = split.features(params, images)
    gradient = jax.grad(lambda a: split.head(params, a)[:, output].sum())(features)
    return features, gradient.mean((1, 2))


@functools.partial(jax.jit, static_argnames=("size", "rectify"))
def weighted_map(
    features: Float[Array, "b i j c"], weights: Float[Array, "b c"], size: tuple[int, int], *, rectify: bool = True
) -> Float[Array, "b h w"]:
    """The weighted sum of the channels, its negative part left out if `rectify`, enlarged to `size`."""
    heat = jnp.einsum("bhwc,bc->bhw", features, weights)
    heat = nn.relu(heat) if rectify else heat
    return jax.image.resize(heat, (len(heat), *size), "bilinear")


def split_resnet(scorer: Scorer) -> Split:
    """Cuts a network of `load_resnet` in front of its pooling; the same architecture gives the same Split.

    Raises:
      InputError: for another network.
    """
    module = next(iter(getattr(scorer.apply, "args", ())), None)
    if not isinstance(module, ResNet):
        raise InputError(
            "GradCAM cannot tell where this classifier's last convolution ends: give it a Split, or leave it out"
        )
    return _split_resnet(module)


@functools.cache
def _split_resnet(module: ResNet) -> Split:
    last = f"GroupNorm_{2 * len(module.channels)}"

    def features(params: Any, images: jax.Array) -> jax.Array:
        returned = module.apply(
            {"params": params},
            images,
            capture_intermediates=lambda layer, _: layer.name == last,
            mutable=["intermediates"],
        )
        _, state = cast(tuple[Any, dict[str, Any]], returned)  # two results, since one collection is mutable
        return nn.relu(state["intermediates"][last]["__call__"][0])

    def head(params: Any, x: jax.Array) -> jax.Array:
        return cast(jax.Array, nn.Dense(module.num_outputs).apply({"params": params["Dense_0"]}, pool(x)))

    return Split(features, head)
