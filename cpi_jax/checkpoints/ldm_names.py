"""Names of tensors in single-file checkpoints, turned into those of diffusers and transformers.

The files keep the modules of the original code (Rombach et al. 2022, "LDM"): a UNet whose blocks are numbered throughout,
an autoencoder, and CLIP's text encoder in one of two spellings, transformers' or OpenCLIP's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np


class Source(NamedTuple):
    """Where a tensor of a part comes from.

    Attributes:
      name: in the file.
      third: which third of its rows, where queries, keys and values are fused; None: all of it.
      transposed: whether it is stored [in, out].
    """

    name: str
    third: int | None = None
    transposed: bool = False

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """The tensor's shape, of that in the file."""
        first = stored if self.third is None else (stored[0] // 3, *stored[1:])
        return first[::-1] if self.transposed else first

    def cut(self, value: np.ndarray) -> np.ndarray:
        """The tensor, of that in the file."""
        if self.third is not None:
            value = np.split(value, 3)[self.third]
        return value.T if self.transposed else value


# What stands before the names of a part's tensors.
UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXT_PREFIXES = {  # by kind of checkpoint: before the names of its text encoders
    "sd15": {"text_encoder": "cond_stage_model.transformer."},
    "sd21": {"text_encoder": "cond_stage_model.model."},
    "sdxl": {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
}

_RESNET = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2", "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip
_UNET_ENDS = {
    "input_blocks.0.0": "conv_in", "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2", "out.0": "conv_norm_out",
    "out.2": "conv_out",
}  # fmt: skip
_MIDDLE = ("resnets.0", "attentions.0", "resnets.1")
_VAE_ATTENTION = {
    "norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0",
    "query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0",  # of diffusers before 2023
}  # fmt: skip
_OPENCLIP = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight", "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection.weight": "text_projection.weight",
}  # fmt: skip
_OPENCLIP_LAYER = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}  # fmt: skip


def unet_sources(names: Iterable[str]) -> dict[str, Source]:
    """Sources of the UNet's tensors, by diffusers' name; names that no UNet has stand there as they are.

    Args:
      names: all names of the file.
    """
    own = [name.removeprefix(UNET) for name in names if name.startswith(UNET)]
    halvings = [int(match[1]) for name in own if (match := re.match(r"input_blocks\.(\d+)\.0\.op\.", name))]
    inputs = [int(match[1]) for name in own if (match := re.match(r"input_blocks\.(\d+)\.", name))]
    layers = min(halvings, default=max(inputs, default=0) + 1) - 1  # of a block on the way down
    return {_unet_name(name, max(layers, 1)): Source(UNET + name) for name in own}


def _unet_name(name: str, layers: int) -> str:
    module, _, leaf = name.rpartition(".")
    if module in _UNET_ENDS:
        return f"{_UNET_ENDS[module]}.{leaf}"
    if middle := re.fullmatch(r"middle_block\.([012])\.(.+)", name):
        return f"mid_block.{_inside(_MIDDLE[int(middle[1])], middle[2])}"
    match = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)", name)
    if match is None:
        return name
    down, rest = match[1] == "input", match[4]
    number, layer = divmod(int(match[2]) - down, layers + 1)
    block = f"{'down' if down else 'up'}_blocks.{number}"
    if rest.startswith("op." if down else "conv."):
        return f"{block}.{'down' if down else 'up'}samplers.0.conv.{rest.partition('.')[2]}"
    return f"{block}.{_inside(f'attentions.{layer}' if int(match[3]) else f'resnets.{layer}', rest)}"


def _inside(place: str, rest: str) -> str:
    module, _, leaf = rest.rpartition(".")
    return f"{place}.{_RESNET.get(module, module) if place.startswith('resnets') else module}.{leaf}"


def vae_sources(names: Iterable[str], prefix: str = VAE) -> dict[str, Source]:
    """Sources of an autoencoder's tensors, by diffusers' name; names that are diffusers' stay.

    Args:
      names: all names of the file.
      prefix: of those of the autoencoder; empty for a file of it alone.
    """
    own = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    ups = [int(match[1]) for name in own if (match := re.match(r"decoder\.up\.(\d+)\.", name))]
    return {_vae_name(name, max(ups, default=0)): Source(prefix + name) for name in own}


def _vae_name(name: str, last: int) -> str:
    name = re.sub(r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets.", name)
    name = re.sub(r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0.", name)
    name = re.sub(r"\.up\.(\d+)\.block\.", lambda match: f".up_blocks.{last - int(match[1])}.resnets.", name)
    name = re.sub(r"\.up\.(\d+)\.upsample\.", lambda match: f".up_blocks.{last - int(match[1])}.upsamplers.0.", name)
    name = re.sub(r"\.mid\.block_(\d)\.", lambda match: f".mid_block.resnets.{int(match[1]) - 1}.", name)
    name = name.replace(".mid.attn_1.", ".mid_block.attentions.0.").replace(".nin_shortcut.", ".conv_shortcut.")
    name = name.replace(".norm_out.", ".conv_norm_out.")
    head, inside, rest = name.partition(".mid_block.attentions.0.")
    module, _, leaf = rest.rpartition(".")
    return f"{head}{inside}{_VAE_ATTENTION.get(module, module)}.{leaf}" if inside else name


def text_sources(names: Iterable[str], prefix: str) -> dict[str, Source]:
    """Sources of a text encoder's tensors, by transformers' name; names that none has stand there as they are.

    Args:
      names: all names of the file.
      prefix: of those of the text encoder; its last word tells the spelling, OpenCLIP's after "model.".
    """
    own = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    rename: Callable[[str], list[tuple[str, Source]]] = _openclip if prefix.endswith(".model.") else _clip
    return {renamed: source._replace(name=prefix + source.name) for name in own for renamed, source in rename(name)}


def _clip(name: str) -> list[tuple[str, Source]]:
    short = re.match(r"(embeddings|encoder|final_layer_norm)\.", name)  # of merges by the first tools
    return [(f"text_model.{name}" if short else name, Source(name))]


def _openclip(name: str) -> list[tuple[str, Source]]:
    if name == "text_projection":
        return [("text_projection.weight", Source(name, transposed=True))]
    match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", name)
    if match is None:
        return [(_OPENCLIP.get(name, name), Source(name))]
    layer, module, leaf = f"text_model.encoder.layers.{match[1]}", match[2], match[3]
    if module == "attn.in_proj":
        return [(f"{layer}.self_attn.{which}_proj.{leaf}", Source(name, third)) for third, which in enumerate("qkv")]
    return [(f"{layer}.{_OPENCLIP_LAYER.get(module, module)}.{leaf}", Source(name))]
