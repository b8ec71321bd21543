"""The configuration of a network, from the names and shapes of its tensors: single files hold no config.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cpi_jax.errors import InputError

Shapes = Mapping[str, tuple[int, ...]]  # by PyTorch's name, in its layout
_HEAD = 64  # numbers of a head in the text encoders of CLIP, and in the UNets from Stable Diffusion 2 on
_OPENCLIP_H_READ = 23  # layers of OpenCLIP-H that Stable Diffusion 2 reads, of 24


def unet_config(shapes: Shapes, base: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration of a UNet.

    Args:
      shapes: of its tensors.
      base: what is the same in all checkpoints of its kind; a single number of heads in it holds for all widths.

    Raises:
      InputError: for a tensor without which it cannot be told; names it.
    """
    depth = max(_count(shapes, r"down_blocks\.(\d+)\."), 1)
    widths = [_shape(shapes, f"down_blocks.{i}.resnets.0.conv1.weight")[0] for i in range(depth)]
    config = {
        **base,
        "in_channels": _shape(shapes, "conv_in.weight")[1],
        "out_channels": _shape(shapes, "conv_out.weight")[0],
        "block_out_channels": widths,
        "layers_per_block": _count(shapes, r"down_blocks\.0\.resnets\.(\d+)\."),
        "cross_attention_dim": _shape(shapes, "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight")[1],
        "use_linear_projection": len(_shape(shapes, "mid_block.attentions.0.proj_in.weight")) == 2,
    }
    for way in ("down", "up"):
        kinds = [_attends(shapes, f"{way}_blocks.{i}") for i in range(depth)]
        config[f"{way}_block_types"] = [f"{'CrossAttn' * kind}{way.title()}Block2D" for kind in kinds]
    layers = [
        _count(shapes, rf"down_blocks\.{i}\.attentions\.0\.transformer_blocks\.(\d+)\.") or 1 for i in range(depth)
    ]
    if max(layers) > 1:
        config["transformer_layers_per_block"] = layers
    if not isinstance(base["attention_head_dim"], int):
        config["attention_head_dim"] = [max(width // _HEAD, 1) for width in widths]  # the number of heads
    return config


def vae_config(shapes: Shapes, base: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration of an autoencoder; see `unet_config`."""
    depth = max(_count(shapes, r"encoder\.down_blocks\.(\d+)\."), 1)
    return {
        **base,
        "in_channels": _shape(shapes, "encoder.conv_in.weight")[1],
        "out_channels": _shape(shapes, "decoder.conv_out.weight")[0],
        "latent_channels": _shape(shapes, "decoder.conv_in.weight")[1],
        "block_out_channels": [
            _shape(shapes, f"encoder.down_blocks.{i}.resnets.0.conv1.weight")[0] for i in range(depth)
        ],
        "layers_per_block": _count(shapes, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        "down_block_types": ["DownEncoderBlock2D"] * depth,
        "up_block_types": ["UpDecoderBlock2D"] * depth,
    }


def text_config(shapes: Shapes, base: Mapping[str, Any], *, read_to_its_end: bool = True) -> dict[str, Any]:
    """Configuration of a text encoder; see `unet_config`.

    Args:
      shapes: of its tensors.
      base: what is the same in all checkpoints of its kind.
      read_to_its_end: whether the last layer is part of the network. Stable Diffusion 2 reads the layer before, and its
        files hold all of them; those that some converters write end there.
    """
    vocab, width = _shape(shapes, "text_model.embeddings.token_embedding.weight")
    layers = _count(shapes, r"text_model\.encoder\.layers\.(\d+)\.")
    config = {
        **base,
        "vocab_size": vocab,
        "hidden_size": width,
        "intermediate_size": _shape(shapes, "text_model.encoder.layers.0.mlp.fc1.weight")[0],
        "num_hidden_layers": layers - (not read_to_its_end and layers != _OPENCLIP_H_READ),
        "num_attention_heads": max(width // _HEAD, 1),
        "max_position_embeddings": _shape(shapes, "text_model.embeddings.position_embedding.weight")[0],
    }
    if read_to_its_end and "text_projection.weight" in shapes:
        config["projection_dim"] = shapes["text_projection.weight"][0]
    return config


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise InputError(f"{name!r} (in diffusers' names)")
    return shapes[name]


def _count(shapes: Shapes, pattern: str) -> int:
    """The number of modules whose names begin so, by the largest of their numbers."""
    return max((int(match[1]) + 1 for name in shapes if (match := re.match(pattern, name))), default=0)


def _attends(shapes: Shapes, block: str) -> bool:
    return any(name.startswith(f"{block}.attentions.") for name in shapes)
