"""What an adapter's settings say of its strength: PEFT's adapter_config.json, or what diffusers writes into the file.

A setting that would change the weights in another way than `W + scale * up @ down` is refused, and so is an unknown one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json

PEFT_FILE, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
METADATA = "lora_adapter_metadata"  # key of the settings in a file's header, as diffusers writes them
_PARTS = ("unet", "text_encoder", "text_encoder_2")

# They say which layers were adapted, which the tensors tell, or how it was trained.
_OF_TRAINING = {
    "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules",
    "fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout",
    "lora_ga_config", "megatron_config", "megatron_core", "peft_version", "qalora_group_size", "r", "rank_pattern",
    "revision", "runtime_config", "target_modules", "task_type",
}  # fmt: skip
_HONOURED = {"alpha_pattern", "lora_alpha", "use_rslora"}
# What else may stand there changes nothing where it is off. These values of theirs do not either: the first ones begin with
# a product of zero; others (PiSSA, OLoRA, LoftQ, ...) take the product away from the base.
_HARMLESS = {
    "bias": ("none",),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
    "peft_type": ("LORA",),
}
_MENDS = {
    "init_lora_weights": "such an adapter belongs to a changed base; save it with PEFT's "
    "path_initial_model_for_weight_conversion",
    "use_dora": "merge it into its base where it was trained",
}


class Strength(NamedTuple):
    """How strong a LoRA is where no tensor says alpha.

    Attributes:
      alpha: of all layers; None: each layer's rank.
      patterns: alphas of layers whose names end so, by regular expression.
      of_root: whether alpha is divided by the root of the rank instead of the rank (Kalajdzievski 2023, arXiv 2312.03732).
    """

    alpha: float | None = None
    patterns: Mapping[str, float] = {}
    of_root: bool = False

    def factor(self, layer: str, rank: int) -> float:
        """alpha / rank of a layer by its name, as PEFT computes it."""
        own = next((a for pattern, a in self.patterns.items() if re.match(rf"(.*\.)?({pattern})$", layer)), self.alpha)
        return (rank if own is None else own) / (rank**0.5 if self.of_root else rank)


def read_strengths(file: Path, metadata: Mapping[str, str]) -> dict[str, Strength]:
    """Strengths by part.

    Args:
      file: of the LoRA; one that PEFT wrote has its settings beside it.
      metadata: of its header.

    Raises:
      InputError: for settings that cannot be read, are lacking where PEFT writes them, or are not supported.
    """
    if file.name == PEFT_FILE:
        beside = file.parent / PEFT_CONFIG
        if not beside.is_file():
            raise InputError(f"{file} has no {PEFT_CONFIG} beside it, which says how strong it is (lora_alpha)")
        settings = read_json(beside)
        if "lora_alpha" not in settings:
            raise InputError(f"{beside} has no lora_alpha, which says how strong the LoRA is")
        return dict.fromkeys(_PARTS, _strength(settings, beside))
    try:
        written = dict(json.loads(metadata.get(METADATA, "{}")))
    except (ValueError, TypeError):
        raise InputError(f"{file} has settings that cannot be read as JSON") from None
    by_part: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
    for name, value in written.items():
        part, _, setting = name.rpartition(".")
        for one in [part] if part in by_part else _PARTS:  # a file of one part alone does not say it
            by_part[one][setting] = value
    return {part: _strength(settings, file) for part, settings in by_part.items()}


def _strength(settings: Mapping[str, Any], file: Path) -> Strength:
    for name, value in settings.items():
        if name not in _OF_TRAINING | _HONOURED and not _is_off(name, value):
            mend = f": {_MENDS[name]}" if name in _MENDS else ""
            raise InputError(f"{file} sets {name} = {json.dumps(value)}, which is not supported{mend}")
    alpha, patterns = settings.get("lora_alpha"), settings.get("alpha_pattern") or {}
    if "lora_alpha" in settings and not _is_number(alpha):
        raise InputError(f"{file} has lora_alpha = {alpha!r}, which must be a number")
    if not isinstance(patterns, dict) or not all(map(_is_number, patterns.values())):
        raise InputError(f"{file} has alpha_pattern = {patterns!r}, which must give numbers by layer")
    try:
        for pattern in patterns:
            re.compile(pattern)
    except re.error as error:
        raise InputError(f"{file} has an alpha_pattern that is no regular expression, {pattern!r}: {error}") from None
    root = settings.get("use_rslora", False)
    if not isinstance(root, bool):
        raise InputError(f"{file} has use_rslora = {root!r}, which must be true or false")
    return Strength(alpha, patterns, root)


def _is_off(name: str, value: Any) -> bool:
    if name in _HARMLESS:
        return any(value is known or (isinstance(value, str) and value == known) for known in _HARMLESS[name])
    return not value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))
