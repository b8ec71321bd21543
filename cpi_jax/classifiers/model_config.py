"""The config.json of a classifier of transformers: what may stand there, and what holds where nothing does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn

from cpi_jax.errors import InputError, require_known
from cpi_jax.networks.encoder_layer import ACTIVATIONS

_CHOICES = {"hidden_act": tuple(ACTIVATIONS), "layer_type": ("basic", "bottleneck")}
_SIDES = ("image_size", "patch_size")  # a number, or (height, width)
_DEFAULT_LABELS = 2  # of transformers
# Far beyond any published network: what exceeds them is damaged, and would be built for hours.
_MOST_LAYERS, _MOST = 256, 2**24


def defaults_of(network: type[nn.Module], **others: Any) -> dict[str, Any]:
    """The fields of a network that have a default, which is transformers' too, and other fields of its config.json."""
    fields = {field.name: field.default for field in dataclasses.fields(network)}
    kinds = (bool, int, float, str, tuple)
    return {name: value for name, value in fields.items() if name != "name" and isinstance(value, kinds)} | others


def read_fields(config: Mapping[str, Any], defaults: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The fields that have a default, from a config.json or a part of it.

    Args:
      config: may hold others, too.
      defaults: each of the type that the field must have.
      file: named in messages.

    Raises:
      InputError: for a value that no network can have.
    """
    fields = {}
    for name, default in defaults.items():
        value: Any = config.get(name, default)
        if name in _SIDES and isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
            value = value[0]
        if name in _CHOICES:
            require_known(str(value), f"{name} that is supported in {file}", _CHOICES[name])
        if wanted := _fault(name, value, default):
            raise InputError(f"{file} has {name} = {value!r}, which must be {wanted}")
        fields[name] = tuple(value) if isinstance(default, tuple) else value
    width, heads = fields.get("hidden_size", 0), fields.get("num_attention_heads", 1)
    if width % heads:
        raise InputError(f"{file} has hidden_size = {width}, which does not part into num_attention_heads = {heads}")
    if fields.get("num_channels", 3) != 3:
        raise InputError(f"{file} has num_channels = {fields['num_channels']}; images have three colours")
    if fields.get("patch_size", 1) > fields.get("image_size", _MOST):
        raise InputError(
            f"{file} has patch_size = {fields['patch_size']}, which is more than image_size = {fields['image_size']}"
        )
    return fields


def _fault(name: str, value: Any, default: Any) -> str:
    """What a value must be and is not; nothing where it is."""
    least, most = 0 if name.endswith("_id") else 1, _MOST_LAYERS if name in ("num_hidden_layers", "depths") else _MOST
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, int):
        return "" if _is_whole(value, least, most) else f"a whole number from {least} to {most:,}"
    if isinstance(default, float):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return "" if is_number and 0 < value < 1 else "a number between 0 and 1"
    if isinstance(default, tuple):
        is_list = isinstance(value, (list, tuple)) and len(value) > 0
        fits = is_list and all(_is_whole(x, least, most) for x in value)
        return "" if fits else f"a list of whole numbers from {least} to {most:,}"
    return "" if isinstance(value, str) else "a text"


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def read_labels(config: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    """The names of the outputs: of id2label, or LABEL_0 and so on, as transformers fills them in.

    Raises:
      InputError: where there are none, or their numbers are not 0, 1, ...
    """
    labels = config.get("id2label")
    if labels is None:
        fields = read_fields(config, {"num_labels": _DEFAULT_LABELS}, file)
        return tuple(f"LABEL_{i}" for i in range(fields["num_labels"]))
    if not isinstance(labels, dict) or not labels or set(labels) != {str(i) for i in range(len(labels))}:
        raise InputError(f"{file} has an id2label that does not name outputs 0, 1, ... one by one")
    return tuple(str(labels[str(i)]) for i in range(len(labels)))


def read_part(config: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    """A part of CLIP's config.json: text_config or vision_config; the older text_config_dict comes before it.

    Raises:
      InputError: where it is no record.
    """
    older = config.get(f"{name}_dict")
    part = config.get(name) if older is None else older
    if not isinstance(part or {}, dict):
        raise InputError(f"{file} has {name} = {part!r}, which must hold the fields of a network")
    return part or {}
