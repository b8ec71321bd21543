"""Stable Diffusion checkpoints in the Hugging Face folder layout: reading and writing, without torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from cpi_jax.captions.encoding import Tokenizer
from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.checkpoints.weights import has_weights, read_params, to_torch, torch_name
from cpi_jax.diffusion.lora import lora_deltas
from cpi_jax.diffusion.networks import Networks, build_networks, param_shapes
from cpi_jax.diffusion.sampler import Generator, SamplerSettings, make_generator
from cpi_jax.diffusion.scheduler_config import complete_scheduler
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json, write_json
from cpi_jax.files.location import HUB, HUB_NAME, find_path

_WEIGHT_FILES = {
    "text_encoder": "model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
}
_CLASSES = {
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
}
_PIPELINES = {"StableDiffusionPipeline", "FlaxStableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"}
_INDEX = "model_index.json"
# Of a Hub repository. Of weights the first kind that a part has, and no copies beside it.
_SMALL_FILES = [_INDEX, "scheduler/*.json", "tokenizer/*.json", "tokenizer/*.txt"]
_SMALL_FILES += [f"{part}/*.json" for part in _WEIGHT_FILES]
_COPIES = ["*fp16*", "*non_ema*", "*ema_only*"]
_WEIGHT_KINDS = [
    (["*.safetensors"], _COPIES),
    (["*.msgpack"], _COPIES),
    (["*fp16*.safetensors", "*fp16*.json"], []),
]


class Checkpoint(NamedTuple):
    """What a checkpoint folder holds.

    Attributes:
      folder: where it lies.
      networks: text encoder, UNet and autoencoder.
      params: of each of the three.
      scheduler: its configuration, completed (`complete_scheduler`).
      tokenizer: of the captions.
    """

    folder: Path
    networks: Networks
    params: dict[str, Any]
    scheduler: dict[str, Any]
    tokenizer: Tokenizer


def load_generator(
    folder: str | Path, *, lora: str | Sequence[str] = "", **sampler: Any
) -> tuple[Generator, Tokenizer]:
    """Reads a Stable Diffusion 1.x or 2.x checkpoint as a generator.

    Args:
      folder: see `load_checkpoint`.
      lora: "path" or "path:scale" of LoRA weights to merge; several in a list, or parted by commas.
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
    _, networks, params, scheduler, tokenizer = load_checkpoint(folder, lora=lora, dtype=jnp.dtype(settings.dtype))
    unconditional = unconditional_ids(tokenizer, networks.max_length)
    return make_generator(networks, params, scheduler, unconditional, settings), tokenizer


def load_checkpoint(folder: str | Path, *, lora: str | Sequence[str] = "", dtype: Any = jnp.float32) -> Checkpoint:
    """Reads a Stable Diffusion 1.x or 2.x checkpoint.

    Args:
      folder: holds tokenizer/, text_encoder/, unet/, vae/ and scheduler/; or "hub:owner/name" or
        "hub:owner/name@revision", such a repository on the Hugging Face Hub, which is downloaded once.
      lora: "path" or "path:scale" of LoRA weights to merge; several in a list, or parted by commas.
      dtype: of parameters and activations.

    Raises:
      InputError: for a part that is missing or damaged, or a checkpoint of another kind; names the file.
      InputError: for weights that are no numbers or do not fit the configuration, or a scheduler that is not supported.
    """
    folder = _find(folder)
    configs = {part: read_json(folder / part / "config.json") for part in _WEIGHT_FILES}
    configs["unet"] |= _true_size(configs["unet"])
    scheduler_file = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_json(scheduler_file)
    with _blaming(scheduler_file):
        scheduler = complete_scheduler(scheduler)
    with _blaming(folder):
        networks = build_networks(configs, dtype)
    tokenizer = load_tokenizer(folder, configs["text_encoder"]["vocab_size"])
    with _blaming(folder):
        shapes = param_shapes(networks)
    deltas = lora_deltas(lora, shapes) if lora else {}
    params = {
        part: read_params(folder / part, shapes[part], dtype=dtype, add=deltas.get(part, {})) for part in _WEIGHT_FILES
    }
    return Checkpoint(folder, networks, params, scheduler, tokenizer)


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
        return _download(name.removeprefix(HUB))
    path = find_path(folder)
    if path.is_file():
        raise InputError(
            f"{path} is a single file and a folder is needed. Convert it where torch is installed: "
            "diffusers.StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)"
        )
    if not path.is_dir():
        hint = f"; a repository of the Hugging Face Hub is said as {HUB}{name}" if HUB_NAME.fullmatch(name) else ""
        raise InputError(f"there is no folder {path}{hint}")
    if (path / _INDEX).exists():
        _validate_pipeline(path / _INDEX, str(path))
    return path


def _validate_pipeline(index: Path, name: str) -> None:
    """Refuses other pipelines than text to image by Stable Diffusion 1.x or 2.x."""
    kind = read_json(index).get("_class_name", "StableDiffusionPipeline")
    if not isinstance(kind, str) or kind not in _PIPELINES:
        raise InputError(
            f"{name} holds a {kind} ({_INDEX}); only Stable Diffusion 1.x and 2.x (text to image) are supported"
        )


def _download(name: str) -> Path:
    """Where the Hub's cache has a repository: what pipeline it holds is looked at first, and the weights come afterwards.

    Args:
      name: "owner/name" or "owner/name@revision".
    """
    if not HUB_NAME.fullmatch(name):
        raise InputError(f"{HUB}{name} must be {HUB}owner/name or {HUB}owner/name@revision")
    from huggingface_hub import hf_hub_download, snapshot_download  # only here: nothing else asks the network

    repository, _, revision = name.partition("@")

    def fetch(function: Callable[..., str], *args: str, **kwargs: Any) -> Path:
        try:
            return Path(function(repository, *args, revision=revision or None, **kwargs))
        except Exception as error:  # its kinds differ between releases: no network, no such repository, no permission
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise InputError(f"{HUB}{name} could not be had from the Hugging Face Hub: {reason}") from error

    _validate_pipeline(fetch(hf_hub_download, _INDEX), f"{HUB}{name}")
    folder, lacking, small = Path(), list(_WEIGHT_FILES), _SMALL_FILES
    for kinds, ignored in _WEIGHT_KINDS:
        wanted = [*small, *(f"{part}/{kind}" for part in lacking for kind in kinds)]
        folder, small = fetch(snapshot_download, allow_patterns=wanted, ignore_patterns=ignored), []
        lacking = [part for part in lacking if not has_weights(folder / part)]
        if not lacking:
            break
    return folder  # what is lacking is said when it is read


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


def unconditional_ids(tokenizer: Tokenizer, length: int) -> jax.Array:
    """Ids of the empty prompt, int32 [L]."""
    ids = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    return jnp.array(ids + [tokenizer.pad_token_id] * (length - 2), jnp.int32)


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
            torch_name(k): to_torch(k, as_weights(v, np.float16, folder / part / file, torch_name(k)))
            for k, v in flatten_dict(params[part]).items()
        }
        for part, file in _WEIGHT_FILES.items()
    }
    for part, file in _WEIGHT_FILES.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        _, class_name = _CLASSES[part]
        kind = {"architectures": [class_name]} if part == "text_encoder" else {"_class_name": class_name}
        write_json(folder / part / "config.json", kind | networks.configs[part])
        save_file(tensors[part], folder / part / file, metadata={"format": "pt"})
    (folder / "scheduler").mkdir(exist_ok=True)
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler_config)
    write_json(folder / "model_index.json", {"_class_name": "StableDiffusionPipeline", **_CLASSES})
