"""ResNet (He et al. 2016), as transformers' ResNetForImageClassification."""

from __future__ import annotations

from typing import Any, cast

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cpi_jax.networks.layers import BatchNorm, Conv, Dense

_EPSILON = 1e-5  # of the norms
_REDUCTION = 4  # of the channels, within a bottleneck


class ResNetClassifier(nn.Module):
    """Logits of preprocessed images. Weights have PyTorch's names, and fields those of config.json.

    Attributes:
      num_labels: logits an image.
      embedding_size: channels of the first convolution.
      hidden_sizes: channels of each stage.
      depths: layers of each stage.
      layer_type: "basic", two 3x3 convolutions a layer, or "bottleneck", a 3x3 convolution between two of 1x1.
      downsample_in_first_stage: the first stage halves the size, as the others do.
    """

    num_labels: int
    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    layer_type: str = "bottleneck"
    downsample_in_first_stage: bool = False

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b c"]:
        x = nn.relu(ConvNorm(self.embedding_size, 7, 2, name="resnet.embedder.embedder")(images))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=cast(Any, ((1, 1), (1, 1))))  # typed as a text in Flax
        for stage, (features, depth) in enumerate(zip(self.hidden_sizes, self.depths)):
            for i in range(depth):
                halves = i == 0 and (stage > 0 or self.downsample_in_first_stage)
                layer = ResidualLayer(
                    features, 1 + halves, self.layer_type, name=f"resnet.encoder.stages.{stage}.layers.{i}"
                )
                x = layer(x)
        return Dense(self.num_labels, jnp.float32, name="classifier.1")(x.mean((1, 2)))


class ResidualLayer(nn.Module):
    """Convolutions, added to their input, which a 1x1 convolution brings to the same shape where it has another.

    Attributes:
      features: channels that come out.
      stride: 2 to halve the size.
      kind: as `layer_type`.
    """

    features: int
    stride: int
    kind: str

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ features"]:
        narrow = self.features // _REDUCTION
        convolutions = {  # channels, kernel, stride
            "basic": ((self.features, 3, self.stride), (self.features, 3, 1)),
            "bottleneck": ((narrow, 1, 1), (narrow, 3, self.stride), (self.features, 1, 1)),
        }[self.kind]
        h = x
        for i, convolution in enumerate(convolutions):
            h = ConvNorm(*convolution, name=f"layer.{i}")(nn.relu(h) if i else h)
        if x.shape[-1] != self.features or self.stride != 1:
            x = ConvNorm(self.features, 1, self.stride, name="shortcut")(x)
        return nn.relu(h + x)


class ConvNorm(nn.Module):
    """A convolution and its batch norm.

    Attributes:
      features: channels that come out.
      size: of the kernel, an odd number of pixels each way.
      stride: 2 to halve the size.
    """

    features: int
    size: int
    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ features"]:
        padding = (self.size // 2, self.size // 2)
        x = Conv(self.features, jnp.float32, self.size, self.stride, padding, use_bias=False, name="convolution")(x)
        return BatchNorm(_EPSILON, jnp.float32, name="normalization")(x)
