"""Stable Diffusion checkpoints in the Hugging Face folder layout: reading and writing, without torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Int
from safetensors.numpy import save_file

from cpi_jax.captions.encoding import Tokenizer, encode
from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.checkpoints.weights import read_params, to_torch, torch_name
from cpi_jax.diffusion.hub import INDEX, download, validate_pipeline
from cpi_jax.diffusion.lora import lora_deltas
from cpi_jax.diffusion.networks import Networks, build_networks, param_shapes
from cpi_jax.diffusion.part_configs import REFINER, check_configs, has_two_encoders, network_parts, text_parts
from cpi_jax.diffusion.sampler import Generator, make_generator
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.diffusion.scheduler_config import complete_scheduler
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json, write_json
from cpi_jax.files.location import HUB, HUB_NAME, find_path

_CLASSES = {
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
}
_CLASSES_XL = _CLASSES | {
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
}


class Checkpoint(NamedTuple):
    """What a checkpoint folder holds.

    Attributes:
      folder: where it lies.
      networks: text encoders, UNet and autoencoder.
      params: by part, under the names of their folders.
      scheduler: its configuration, completed (`complete_scheduler`).
      tokenizer: of the captions; SDXL's second differs from it in padding alone.
    """

    folder: Path
    networks: Networks
    params: dict[str, Any]
    scheduler: dict[str, Any]
    tokenizer: Tokenizer


def load_generator(folder: str | Path, *, lora: str = "", **sampler: Any) -> tuple[Generator, Tokenizer]:
    """Reads a checkpoint of Stable Diffusion 1.x, 2.x or XL as a generator.

    Args:
      folder: see `load_checkpoint`.
      lora: "path" or "path:scale" of LoRA weights to merge.
      **sampler: fields of `SamplerSettings`.

    Returns:
      The generator, its parameters of the sampler's dtype, and the tokenizer of its captions.

    Raises:
      InputError: for a checkpoint that `load_checkpoint` refuses, or settings that cannot be.

    Example:
      >>> import cpi_jax
      >>> generator, tokenizer = cpi_jax.load_generator(cpi_jax.SHAPES_GENERATOR, steps=8, guidance_scale=3.0)
      >>> generator.caption_length, tokenizer.tokenize("1 red circle")
      (32, ['1</w>', 'red</w>', 'circle</w>'])
    """
    settings = SamplerSettings(**sampler)
    checkpoint = _read_all_but_weights(_find(folder), jnp.dtype(settings.dtype))
    networks, tokenizer = checkpoint.networks, checkpoint.tokenizer
    unconditional = unconditional_ids(tokenizer, networks.max_length, settings.negative)
    generator = make_generator(
        networks, {}, checkpoint.scheduler, unconditional, settings
    )  # what cannot be, is said here
    weights = _read_weights(checkpoint, lora, jnp.dtype(settings.dtype))
    params = dataclasses.replace(generator.params, networks=weights)
    return dataclasses.replace(generator, params=params), tokenizer


def load_checkpoint(folder: str | Path, *, lora: str = "", dtype: Any = jnp.float32) -> Checkpoint:
    """Reads a checkpoint of Stable Diffusion 1.x, 2.x or XL.

    Args:
      folder: holds tokenizer/, text_encoder/, unet/, vae/ and scheduler/, and of XL tokenizer_2/ and text_encoder_2/; or
        "hub:owner/name" or "hub:owner/name@revision", such a repository on the Hugging Face Hub, which is downloaded once.
      lora: "path" or "path:scale" of LoRA weights to merge.
      dtype: of parameters and activations.

    Raises:
      InputError: for a part that is missing or damaged, or a checkpoint of another kind; names the file.
      InputError: for weights that are no numbers or do not fit the configuration, or a scheduler that is not supported.
    """
    checkpoint = _read_all_but_weights(_find(folder), dtype)
    return checkpoint._replace(params=_read_weights(checkpoint, lora, dtype))


def _read_all_but_weights(folder: Path, dtype: Any) -> Checkpoint:
    """A checkpoint without parameters."""
    configs = _read_configs(folder)
    scheduler_file = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_json(scheduler_file)
    with _blaming(scheduler_file):
        scheduler = complete_scheduler(scheduler)
    with _blaming(folder):
        check_configs(configs)
    tokenizer = _read_tokenizers(folder, configs)
    with _blaming(folder):
        networks = build_networks(configs, dtype)
    return Checkpoint(folder, networks, {}, scheduler, tokenizer)


def _read_weights(checkpoint: Checkpoint, lora: str, dtype: Any) -> dict[str, Any]:
    """The parameters by part."""
    folder = checkpoint.folder
    with _blaming(folder):
        shapes = param_shapes(checkpoint.networks)
    deltas = lora_deltas(lora, shapes) if lora else {}
    return {part: read_params(folder / part, shapes[part], dtype=dtype, add=deltas.get(part, {})) for part in shapes}


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


def _read_tokenizers(folder: Path, configs: dict[str, dict[str, Any]]) -> Tokenizer:
    """The tokenizer; the ids of SDXL's second one are written into its encoder's configuration, whose own are not true."""
    first, *others = (
        read_tokenizer(folder / part.replace("text_encoder", "tokenizer"), configs[part]["vocab_size"])
        for part in text_parts(configs)
    )
    for second in others:
        _validate_same_tokens(folder, first, second)
        configs["text_encoder_2"] |= {"eos_token_id": first.eos_token_id, "pad_token_id": second.pad_token_id}
    return first


def _validate_same_tokens(folder: Path, first: Any, second: Any) -> None:
    """Refuses tokenizers that read a caption as different tokens: its ids for one are padded anew for the other."""
    words, merges = "vocab.json", "merges.txt"
    fields = ("bos_token_id", "eos_token_id", "model_max_length", "do_lower_case")
    differ = [field for field in fields if getattr(first, field, None) != getattr(second, field, None)]
    if first.get_vocab() != second.get_vocab():
        differ.append(words)
    if (folder / "tokenizer" / merges).read_text().split() != (folder / "tokenizer_2" / merges).read_text().split():
        differ.append(merges)
    if differ:
        raise InputError(
            f"{folder}: tokenizer and tokenizer_2 must be the same but for their padding, and they differ in {differ[0]}"
        )


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Names the path in errors; what the networks' libraries trip over, whatever it is, stands in these files."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
        raise InputError(f"{path}: its config.json files describe nothing that can be built: {reason}") from error


def _find(folder: str | Path) -> Path:
    """The checkpoint's folder; of "hub:owner/name", where the Hub's cache has it.

    Raises:
      InputError: for a single file, no folder, another kind of pipeline, or a repository that cannot be had.
    """
    name = str(folder)
    if name.startswith(HUB):
        return download(name.removeprefix(HUB))
    path = find_path(folder)
    if path.is_file():
        raise InputError(
            f"{path} is a single file and a folder is needed. Convert it where torch is installed: "
            "diffusers.StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)"
        )
    if not path.is_dir():
        hint = f"; a repository of the Hugging Face Hub is said as {HUB}{name}" if HUB_NAME.fullmatch(name) else ""
        raise InputError(f"there is no folder {path}{hint}")
    if (path / INDEX).exists():
        validate_pipeline(path / INDEX, str(path))
    return path


def _true_size(unet: dict[str, Any]) -> dict[str, int]:
    """Early checkpoints name half the size of the latents that they were made for; diffusers' pipeline corrects it, too."""
    made_with = re.match(r"(\d+)\.(\d+)", str(unet.get("_diffusers_version", "")))
    early = made_with is not None and (int(made_with[1]), int(made_with[2])) < (0, 9)
    size = unet.get("sample_size", 64)
    return {"sample_size": 64} if early and isinstance(size, int) and 0 < size < 64 else {}


def load_tokenizer(folder: str | Path, vocab_size: int | None = None) -> Tokenizer:
    """The CLIP tokenizer of a checkpoint folder.

    Args:
      folder: holds tokenizer/.
      vocab_size: tokens that its text encoder knows, where they are to be compared.

    Raises:
      InputError: see `read_tokenizer`.
    """
    return read_tokenizer(Path(folder) / "tokenizer", vocab_size)


def unconditional_ids(tokenizer: Tokenizer, length: int, negative: str = "") -> Int[Array, " l"]:
    """Ids of the empty prompt, or of one that guidance leads away from.

    Raises:
      InputError: for a negative prompt that is too long or that the vocabulary does not have.
    """
    try:
        words = encode(tokenizer, negative) if negative else []
    except InputError as error:
        raise InputError(f"sampler.negative: {error}") from None
    ids = [tokenizer.bos_token_id, *words, tokenizer.eos_token_id]
    if len(ids) > length:
        raise InputError(f"sampler.negative has {len(ids)} tokens, and the text encoder reads {length}: shorten it")
    return jnp.array(ids + [tokenizer.pad_token_id] * (length - len(ids)), jnp.int32)


def save_checkpoint(
    folder: str | Path, networks: Networks, params: dict[str, Any], scheduler_config: dict[str, Any]
) -> None:
    """Writes networks, scheduler and model_index.json as a checkpoint folder, weights in fp16; the tokenizer is apart.

    Raises:
      InputError: for a weight that is no number, or beyond fp16; nothing is written then.
    """
    folder = Path(folder)
    scheduler_config = complete_scheduler(scheduler_config)
    tensors = {
        part: {
            torch_name(k): to_torch(k, as_weights(v, np.float16, folder / part / _weight_file(part), torch_name(k)))
            for k, v in flatten_dict(params[part]).items()
        }
        for part in network_parts(networks.configs)
    }
    told = networks.is_told_sizes
    classes, pipeline = (_CLASSES_XL, "StableDiffusionXLPipeline") if told else (_CLASSES, "StableDiffusionPipeline")
    for part, of_part in tensors.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        library, class_name = classes[part]
        kind = {"architectures": [class_name]} if library == "transformers" else {"_class_name": class_name}
        write_json(folder / part / "config.json", kind | networks.configs[part])
        save_file(of_part, folder / part / _weight_file(part), metadata={"format": "pt"})
    (folder / "scheduler").mkdir(exist_ok=True)
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler_config)
    write_json(folder / INDEX, {"_class_name": pipeline, **classes, **networks.configs.get("pipeline", {})})


def _weight_file(part: str) -> str:
    return "model.safetensors" if part.startswith("text_encoder") else "diffusion_pytorch_model.safetensors"
