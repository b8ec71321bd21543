"""Names of a LoRA's tensors, as kohya's scripts, PEFT and diffusers write them: of which layer, and which factor of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from flax.traverse_util import flatten_dict

from cpi_jax.checkpoints.weights import TEXT_PREFIX, torch_name
from cpi_jax.errors import InputError

PARTS = ("unet", "text_encoder", "text_encoder_2")  # that a LoRA can change
_SHORT = {"te": "text_encoder", "te1": "text_encoder", "te2": "text_encoder_2"}
_OF_PART = r"((?P<part>unet|text_encoder(?:_2)?)\.)?"  # a file of one part alone often leaves it out
_PATTERNS = [
    r"lora_(?P<part>unet|te[12]?)_(?P<layer>[^.]+)\.(?P<which>lora_down|lora_up|alpha)(\.weight)?",
    rf"(base_model\.model\.)?{_OF_PART}(?P<layer>.+)\.(?P<which>lora_A|lora_B)(\.[^.]+)?\.weight",
    rf"{_OF_PART}(?P<layer>.+?)\.(processor\.)?(?P<old>to_(q|k|v|out))_lora\.(?P<which>down|up)\.weight",
    rf"{_OF_PART}(?P<layer>.+)\.(lora|lora_linear_layer)\.(?P<which>down|up)\.weight",
    rf"{_OF_PART}(?P<layer>.+)\.(?P<which>alpha)",
]
_WHICH = {"lora_down": "down", "lora_A": "down", "lora_up": "up", "lora_B": "up"}
_OTHER = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lora_mid": "CP-LoRA",
}
# Attention's layers, as diffusers once named them for all parts.
_OLD = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}

# Layers of the UNet in the code of the first Stable Diffusion ("LDM"), whose names kohya's scripts keep for some bases.
_LDM_RESNET = {
    "conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
_LDM_ENDS = {
    "conv_in": "input_blocks.0.0", "conv_out": "out.2", "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
_LDM_MIDDLE = {"resnets.0": 0, "attentions.0": 1, "resnets.1": 2}

Path = tuple[str, ...]


class Place(NamedTuple):
    """Where a tensor belongs.

    Attributes:
      part: of the checkpoint.
      path: of the kernel that it changes.
      which: "down", "up" or "alpha".
    """

    part: str
    path: Path
    which: str


class Layers:
    """The layers of a checkpoint under every name that a LoRA's file may call them by.

    Args:
      shapes: parameters of the checkpoint, by part.
    """

    def __init__(self, shapes: Mapping[str, Any]):
        self.shapes: dict[tuple[str, Path], tuple[int, ...]] = {}
        self._paths: dict[tuple[str, str], Path] = {}
        for part in [part for part in PARTS if part in shapes]:
            flat: dict[Path, Any] = flatten_dict(shapes[part])
            names = {path: layer_name(path) for path in flat if path[-1] == "kernel"}
            resnets = re.compile(r"down_blocks\.0\.resnets\.\d+\.conv1")
            per_block = sum(bool(resnets.fullmatch(name)) for name in names.values())
            for path, name in names.items():
                self.shapes[part, path] = flat[path].shape
                others = ldm_names(name, per_block) if part == "unet" else [name.removeprefix(TEXT_PREFIX)]
                for spelling in (name, *others):
                    self._paths |= {(part, spelling): path, (part, spelling.replace(".", "_")): path}

    def place(self, name: str, file: Any) -> Place:
        """Where a tensor belongs.

        Args:
          name: of the tensor.
          file: that holds it, for messages.

        Raises:
          InputError: for a tensor of no LoRA, of one of another kind, or for a layer that the checkpoint does not have.
        """
        if kind := next((kind for word, kind in _OTHER.items() if word in name), None):
            raise InputError(f"{file} is of the kind {kind} ({name!r}), which is not supported; LoRA is")
        match = next(filter(None, (re.fullmatch(pattern, name) for pattern in _PATTERNS)), None)
        if match is None:
            raise InputError(f"{file} holds {name!r}, which is no name of a LoRA for Stable Diffusion")
        layer, which, old = match["layer"], match["which"], match.groupdict().get("old")
        parts = [_SHORT.get(match["part"], match["part"])] if match["part"] else list(PARTS)
        if parts == ["text_encoder_2"] and not any(part == "text_encoder_2" for part, _ in self.shapes):
            raise InputError(f"{file} is an SDXL LoRA ({name!r}), and this checkpoint has one text encoder")
        found = []
        for part in parts:
            last = "" if old is None else f".{old.replace('to_out', 'to_out.0') if part == 'unet' else _OLD[old]}"
            if path := self._paths.get((part, layer + last)):
                found.append(Place(part, path, _WHICH.get(which, which)))
        if len(found) > 1:
            raise InputError(f"{file} does not say whether {name!r} is of {found[0].part} or {found[1].part}")
        if not found:
            of = f"{parts[0]} has" if len(parts) == 1 else "networks have"
            raise InputError(f"{file} is a LoRA for another base: this checkpoint's {of} no layer {layer!r}")
        return found[0]


def layer_name(path: Path) -> str:
    """PyTorch's name of a layer, of its kernel's path."""
    return torch_name(path).removesuffix(".weight")


def ldm_names(name: str, per_block: int) -> list[str]:
    """The name of a UNet's layer in the original code, whose blocks are numbered throughout; after attention, or without.

    Args:
      name: diffusers'.
      per_block: residual blocks of one block on the way down; on the way up there is one more.
    """
    if name in _LDM_ENDS:
        return [_LDM_ENDS[name]]
    if middle := re.fullmatch(r"mid_block\.(\w+\.\d)\.(.+)", name):
        return [f"middle_block.{_LDM_MIDDLE[middle[1]]}.{_LDM_RESNET.get(middle[2], middle[2])}"]
    match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", name)
    if match is None:
        return []
    way, kind, rest = match[1], match[3], match[5]
    first, side = int(match[2]) * (per_block + 1), "input_blocks" if way == "down" else "output_blocks"
    if kind == "downsamplers":
        return [f"{side}.{first + per_block + 1}.0.op"]
    if kind == "upsamplers":
        return [f"{side}.{first + per_block}.{after}.conv" for after in (1, 2)]
    number = first + int(match[4]) + (way == "down")
    return [f"{side}.{number}.{int(kind == 'attentions')}.{_LDM_RESNET.get(rest, rest)}"]
