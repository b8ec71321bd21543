"""Attention by the kernel that suits the device: cuDNN's flash attention on GPUs, XLA's elsewhere."""

from __future__ import annotations

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FLASH_TOKENS = 1024  # from here on it is worth it
_FLASH_HEAD_SIZE = {8: 128, 9: 256, 10: 256}  # largest, by major compute capability


def attend(
    query: Float[Array, "b q h d"],
    key: Float[Array, "b k h d"],
    value: Float[Array, "b k h d"],
    scale: float,
    *,
    causal: bool = False,
) -> Float[Array, "b q h d"]:
    """Softmax attention, the softmax in float32 whatever the type of the inputs.

    Args:
      query: of the tokens that attend.
      key: of those attended to.
      value: of those attended to.
      scale: of the products.
      causal: to no token behind the query's.
    """

    def attention(implementation: Any) -> Any:
        kernel = functools.partial(jax.nn.dot_product_attention, is_causal=causal)
        return functools.partial(kernel, scale=scale, implementation=implementation)

    kernel = attention_kernel(jax.local_devices()[0], query.dtype, query.shape[-1], query.shape[1])
    if kernel == "xla":
        return attention("xla")(query, key, value)
    # The program may still be compiled for another platform than this process's first device.
    return jax.lax.platform_dependent(query, key, value, cuda=attention(kernel), default=attention("xla"))


def attention_kernel(device: Any, dtype: jnp.dtype, head_size: int, tokens: int) -> str:
    """ "cudnn" where its flash attention can run and pays, else "xla".

    Args:
      device: of this process, a `jax.Device`.
      dtype: of the inputs; flash attention takes 16 bits only.
      head_size: d; a multiple of 8, at most 128 on Ampere and 256 on Hopper.
      tokens: queries.
    """
    if device.platform != "gpu" or tokens < FLASH_TOKENS or dtype not in (jnp.bfloat16, jnp.float16):
        return "xla"
    nvidia = re.fullmatch(r"(\d+)\.\d+", getattr(device, "compute_capability", ""))
    largest = _FLASH_HEAD_SIZE.get(int(nvidia[1]), 0) if nvidia else 0
    return "cudnn" if head_size % 8 == 0 and head_size <= largest else "xla"
