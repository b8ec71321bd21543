"""The layers that networks are made of. Their parameters have Flax's names and layouts, and images are [B, H, W, C].

Flax's own layers trace the initialiser of each parameter at every call, to compare its shape with what is there: half of
the time to trace a network. Whoever reads weights has compared them (`read_params`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Initializer = Callable[..., jax.Array]
_LECUN, _ZEROS = nn.initializers.lecun_normal(), nn.initializers.zeros


def parameter(module: nn.Module, name: str, init: Initializer, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """A parameter of a module as it is given, or a fresh one where there is none yet; cast to `dtype`."""
    given = module.has_variable("params", name)
    return jnp.asarray(module.get_variable("params", name) if given else module.param(name, init, shape), dtype)


class Dense(nn.Module):
    """A dense layer, x @ kernel + bias.

    Attributes:
      features: numbers that come out.
      dtype: of what comes out.
      use_bias: whether there is one.
      kernel_init: of fresh parameters.
    """

    features: int
    dtype: Any
    use_bias: bool = True
    kernel_init: Initializer = _LECUN

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b features"]:
        kernel = parameter(self, "kernel", self.kernel_init, (x.shape[-1], self.features), self.dtype)
        x = _product(x.astype(self.dtype), kernel)
        if self.use_bias:
            x = x + _by_channel(parameter(self, "bias", _ZEROS, (self.features,), self.dtype), x)
        return x


class Conv(nn.Module):
    """A convolution.

    Attributes:
      features: channels that come out.
      dtype: of what comes out.
      size: of the kernel, in pixels each way.
      stride: pixels from one sum to the next each way.
      padding: zeros (before, after) each row and column; none where the kernel is of one pixel.
      use_bias: whether there is one.
    """

    features: int
    dtype: Any
    size: int = 3
    stride: int = 1
    padding: tuple[int, int] = (1, 1)
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ features"]:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = parameter(self, "kernel", _LECUN, shape, self.dtype)
        if self.size == 1:  # the same sums, sooner
            x = _product(x[:, :: self.stride, :: self.stride].astype(self.dtype), kernel.reshape(shape[2:]))
        else:
            strides, padding = (self.stride,) * 2, (self.padding,) * 2
            layout = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x.astype(self.dtype), kernel, strides, padding, dimension_numbers=layout)
        if self.use_bias:
            x = x + _by_channel(parameter(self, "bias", _ZEROS, (self.features,), self.dtype), x)
        return x


class GroupNorm(nn.Module):
    """A norm over groups of channels (Wu & He 2018), its statistics in float32.

    They are taken of each channel, then of the channels of a group: on CPUs that is 2 to 5 times as fast as both at once.

    Attributes:
      groups: into which the channels part.
      epsilon: added to the variance.
      dtype: of what comes out.
    """

    groups: int
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        by_group = (b, self.groups, c // self.groups)
        exact = x.astype(jnp.float32)

        def mean_of(values: Float[Array, "b h w c"]) -> Float[Array, "b g 1"]:
            return values.sum(axis=(1, 2)).reshape(by_group).sum(axis=2, keepdims=True) / (h * w * by_group[2])

        mean, of_squares = mean_of(exact), mean_of(exact * exact)
        scale, bias = _scale_and_bias(self, c, (1, *by_group[1:]))
        factor = scale * jax.lax.rsqrt(jnp.maximum(of_squares - mean * mean, 0) + self.epsilon)
        shift = bias - mean * factor
        return (exact * factor.reshape(b, 1, 1, c) + shift.reshape(b, 1, 1, c)).astype(self.dtype)


class LayerNorm(nn.Module):
    """A norm over the numbers of a token (Ba et al. 2016), its statistics in float32.

    Attributes:
      epsilon: added to the variance.
      dtype: of what comes out.
    """

    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
        c = x.shape[-1]
        exact = x.astype(jnp.float32)
        mean, of_squares = (values.sum(axis=2, keepdims=True) / c for values in (exact, exact * exact))
        scale, bias = _scale_and_bias(self, c, (1, 1, c))
        factor = scale * jax.lax.rsqrt(jnp.maximum(of_squares - mean * mean, 0) + self.epsilon)
        return ((exact - mean) * factor + bias).astype(self.dtype)


class BatchNorm(nn.Module):
    """A norm by channel with the mean and variance that training has seen (Ioffe & Szegedy 2015), as in inference.

    Attributes:
      epsilon: added to the variance.
      dtype: of what comes out.
    """

    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        c = x.shape[-1]
        scale, bias = _scale_and_bias(self, c, (1, 1, 1, c))
        mean = parameter(self, "mean", _ZEROS, (c,), jnp.float32).reshape(scale.shape)
        variance = parameter(self, "var", nn.initializers.ones, (c,), jnp.float32).reshape(scale.shape)
        factor = scale * jax.lax.rsqrt(variance + self.epsilon)
        return ((x.astype(jnp.float32) - mean) * factor + bias).astype(self.dtype)


def _scale_and_bias(module: nn.Module, features: int, shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Of a norm, reshaped."""
    scale = parameter(module, "scale", nn.initializers.ones, (features,), jnp.float32)
    return scale.reshape(shape), parameter(module, "bias", _ZEROS, (features,), jnp.float32).reshape(shape)


class Embed(nn.Module):
    """A vector for each token.

    Attributes:
      count: of tokens.
      features: numbers of a vector.
      dtype: of what comes out.
    """

    count: int
    features: int
    dtype: Any

    @nn.compact
    def __call__(self, ids: Int[Array, "b n"]) -> Float[Array, "b n features"]:
        shape = (self.count, self.features)
        table = parameter(self, "embedding", nn.initializers.normal(0.01), shape, self.dtype)
        return jnp.take(table, ids, axis=0)  # NaN for what is no token


def _product(x: Float[Array, "*b c"], kernel: Float[Array, "c d"]) -> Float[Array, "*b d"]:
    return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))


def _by_channel(values: Float[Array, " c"], x: jax.Array) -> jax.Array:
    """Of the rank of `x`, along its last axis."""
    return values.reshape((1,) * (x.ndim - 1) + (-1,))
