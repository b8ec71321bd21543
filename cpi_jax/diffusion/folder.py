"""Checkpoint folders in the Hugging Face layout: their configurations, and how the rest of them is read."""

from __future__ import annotations

import functools
import re
import shutil
from pathlib import Path
from typing import Any

from cpi_jax.captions.clip_tokenizer import ClipTokenizer
from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.checkpoints.weights import read_params
from cpi_jax.diffusion.hub import INDEX
from cpi_jax.diffusion.opened import Opened, naming_config
from cpi_jax.diffusion.part_configs import REFINER, has_two_encoders, network_parts, text_parts
from cpi_jax.diffusion.scheduler_config import complete_scheduler
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json


def open_folder(folder: Path, prediction_type: str) -> Opened:
    """A folder's configurations, and how the rest of it is read."""
    configs = _read_configs(folder)
    scheduler_file = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_json(scheduler_file) | ({"prediction_type": prediction_type} if prediction_type else {})
    with naming_config(scheduler_file):
        scheduler = complete_scheduler(scheduler)

    def read(shapes: dict[str, Any], *, dtype: Any, add: dict[str, Any]) -> dict[str, Any]:
        return {
            part: read_params(folder / part, tree, dtype=dtype, add=add.get(part, {})) for part, tree in shapes.items()
        }

    def write_tokenizers(other: Path) -> None:
        for tokenizer in folder.glob("tokenizer*"):
            shutil.copytree(tokenizer, other / tokenizer.name, dirs_exist_ok=True)

    return Opened(configs, scheduler, functools.partial(_read_tokenizers, folder, configs), write_tokenizers, read)


def _read_configs(folder: Path) -> dict[str, dict[str, Any]]:
    """The parts' configurations, as `build_networks` takes them but for the ids of the second tokenizer."""
    configs = {"unet": read_json(folder / "unet" / "config.json")}
    configs["unet"] |= _true_size(configs["unet"])
    if has_two_encoders(configs):
        if not (folder / "text_encoder").is_dir() and (folder / "text_encoder_2").is_dir():
            raise InputError(f"{folder}: {REFINER}")
        index = read_json(folder / INDEX) if (folder / INDEX).exists() else {}
        zeros = index.get("force_zeros_for_empty_prompt", True)  # as diffusers has it where the file says nothing
        if not isinstance(zeros, bool):
            raise InputError(
                f"{folder / INDEX} has force_zeros_for_empty_prompt = {zeros!r}, which must be true or false"
            )
        configs["pipeline"] = {"force_zeros_for_empty_prompt": zeros}
    parts = [part for part in network_parts(configs) if part != "unet"]
    return configs | {part: read_json(folder / part / "config.json") for part in parts}


def _read_tokenizers(folder: Path, configs: dict[str, dict[str, Any]]) -> ClipTokenizer:
    """The tokenizer; the ids of SDXL's second one are written into its encoder's configuration, whose own are not true."""
    first, *others = (
        read_tokenizer(folder / part.replace("text_encoder", "tokenizer"), configs[part]["vocab_size"])
        for part in text_parts(configs)
    )
    for second in others:
        _validate_same_tokens(folder, first, second)
        configs["text_encoder_2"] |= {"eos_token_id": first.eos_token_id, "pad_token_id": second.pad_token_id}
    return first


def _validate_same_tokens(folder: Path, first: ClipTokenizer, second: ClipTokenizer) -> None:
    """Refuses tokenizers that read a caption as different tokens: its ids for one are padded anew for the other."""
    fields = ("bos_token_id", "eos_token_id", "model_max_length")
    differ = [field for field in fields if getattr(first, field) != getattr(second, field)]
    if first.get_vocab() != second.get_vocab():
        differ.append("their vocabularies")
    if first.merges != second.merges:
        differ.append("their merges")
    if differ:
        raise InputError(
            f"{folder}: tokenizer and tokenizer_2 must be the same but for their padding, and they differ in {differ[0]}"
        )


def _true_size(unet: dict[str, Any]) -> dict[str, int]:
    """Early checkpoints name half the size of the latents that they were made for; diffusers' pipeline corrects it, too."""
    made_with = re.match(r"(\d+)\.(\d+)", str(unet.get("_diffusers_version", "")))
    early = made_with is not None and (int(made_with[1]), int(made_with[2])) < (0, 9)
    size = unet.get("sample_size", 64)
    return {"sample_size": 64} if early and isinstance(size, int) and 0 < size < 64 else {}
