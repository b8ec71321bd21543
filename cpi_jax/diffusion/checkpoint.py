"""Stable Diffusion checkpoints, folders in the Hugging Face layout and single files: reading and writing, without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
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
from cpi_jax.checkpoints.weights import to_torch, torch_name
from cpi_jax.diffusion.folder import open_folder
from cpi_jax.diffusion.generator import Generator
from cpi_jax.diffusion.hub import INDEX, download, validate_pipeline
from cpi_jax.diffusion.lora import lora_deltas
from cpi_jax.diffusion.make_generator import make_generator
from cpi_jax.diffusion.networks import Networks, build_networks, param_shapes
from cpi_jax.diffusion.opened import naming_config
from cpi_jax.diffusion.part_configs import complete_configs, network_parts, validate_configs
from cpi_jax.diffusion.prediction import PREDICTIONS
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.diffusion.scheduler_config import complete_scheduler
from cpi_jax.diffusion.separate_autoencoder import open_vae
from cpi_jax.diffusion.single_file import open_single_file
from cpi_jax.diffusion.textual_inversion import add_vectors, read_embeddings, teach
from cpi_jax.errors import InputError, require_known
from cpi_jax.files.json_files import write_json
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


_PICKLES = (".ckpt", ".pt", ".pth", ".bin")


class Checkpoint(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      networks: text encoders, UNet and autoencoder.
      params: by part, under the names of their folders.
      scheduler: its configuration, completed (`complete_scheduler`).
      tokenizer: of the captions; SDXL's second differs from it in padding alone.
      write_tokenizers: writes the tokenizers' own folders into one.
    """

    networks: Networks
    params: dict[str, Any]
    scheduler: dict[str, Any]
    tokenizer: Tokenizer
    write_tokenizers: Callable[[Path], None]


def load_generator(
    path: str | Path,
    *,
    lora: str | Sequence[str] = "",
    vae: str = "",
    embeddings: str = "",
    prediction_type: str = "",
    **sampler: Any,
) -> tuple[Generator, Tokenizer]:
    """Reads a checkpoint of Stable Diffusion 1.x, 2.x or XL as a generator.

    Args:
      path: of a folder or a single file; this and the next as of `load_checkpoint`.
      lora: of weights to merge; several in a list, or parted by commas.
      vae: an autoencoder in place of the checkpoint's.
      embeddings: words of textual inversion.
      prediction_type: of the UNet.
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
    also = {"lora": lora, "vae": vae, "embeddings": embeddings, "prediction_type": prediction_type}
    checkpoint, read = _all_but_weights(path, **also, dtype=jnp.dtype(settings.dtype))
    networks, tokenizer = checkpoint.networks, checkpoint.tokenizer
    unconditional = unconditional_ids(tokenizer, networks.max_length, settings.negative)
    generator = make_generator(
        networks, {}, checkpoint.scheduler, unconditional, settings
    )  # what cannot be, is said here
    params = dataclasses.replace(generator.params, networks=read())
    return dataclasses.replace(generator, params=params), tokenizer


def load_checkpoint(
    path: str | Path,
    *,
    lora: str | Sequence[str] = "",
    vae: str = "",
    embeddings: str = "",
    prediction_type: str = "",
    dtype: Any = jnp.float32,
) -> Checkpoint:
    """Reads a checkpoint of Stable Diffusion 1.x, 2.x or XL.

    Args:
      path: of a folder with tokenizer/, text_encoder/, unet/, vae/ and scheduler/, and of XL tokenizer_2/ and
        text_encoder_2/; of a single safetensors file under the names of the original code (`single_file.py`); or
        "hub:owner/name" or "hub:owner/name@revision", such a folder on the Hugging Face Hub, which is downloaded once.
      lora: "path" or "path:scale" of LoRA weights to merge; several in a list, or parted by commas.
      vae: a folder or a single file of an autoencoder, in place of the checkpoint's own.
      embeddings: "word:file" of textual inversion, several with commas between them.
      prediction_type: what the UNet predicts, "epsilon", "v_prediction" or "sample"; empty: as the checkpoint says.
      dtype: of parameters and activations.

    Raises:
      InputError: for a part that is missing or damaged, or a checkpoint of another kind; names the file.
      InputError: for weights that are no numbers or do not fit the configuration, or a scheduler that is not supported.
    """
    also = {"lora": lora, "vae": vae, "embeddings": embeddings, "prediction_type": prediction_type}
    checkpoint, read = _all_but_weights(path, **also, dtype=dtype)
    return checkpoint._replace(params=read())


def _all_but_weights(
    path: str | Path, *, lora: str | Sequence[str], vae: str, embeddings: str, prediction_type: str, dtype: Any
) -> tuple[Checkpoint, Callable[[], dict[str, Any]]]:
    """A checkpoint without parameters, and what reads these."""
    if prediction_type:
        require_known(prediction_type, "prediction type", tuple(PREDICTIONS))
    path = _find(path)
    opened = (
        open_single_file(path, prediction_type=prediction_type, own_vae=not vae)
        if path.is_file()
        else open_folder(path, prediction_type)
    )
    configs, readers = opened.configs, dict.fromkeys(opened.configs, opened.read)
    with naming_config(path):
        configs = complete_configs(configs)
        validate_configs(configs)
    if vae:
        configs["vae"], readers["vae"] = open_vae(vae, configs)
        with naming_config(find_path(vae)):
            validate_configs(configs)
    tokenizer = opened.read_tokenizer()
    words = read_embeddings(embeddings, tokenizer, configs)
    with naming_config(path):
        networks = stored = build_networks(configs, dtype)
    if words:
        networks = build_networks(teach(words, tokenizer, configs), dtype)

    def read() -> dict[str, Any]:
        with naming_config(path):
            shapes = param_shapes(stored)
        deltas = lora_deltas(lora, shapes) if lora else {}
        params = {}
        for reader in dict.fromkeys(readers.values()):
            of_reader = {part: shapes[part] for part in shapes if readers[part] is reader}
            params |= reader(of_reader, dtype=dtype, add=deltas)
        return add_vectors(words, params)

    return Checkpoint(networks, {}, opened.scheduler, tokenizer, opened.write_tokenizers), read


def _find(folder: str | Path) -> Path:
    """The checkpoint's folder or single file; of "hub:owner/name", where the Hub's cache has it.

    Raises:
      InputError: where there is none, for another kind of pipeline, or a repository that cannot be had.
    """
    name = str(folder)
    if name.startswith(HUB):
        return download(name.removeprefix(HUB))
    path = find_path(folder)
    if path.is_file():
        if path.suffix in _PICKLES:
            raise InputError(
                f"{path} is a pickle: it could run any code and is not read. Where torch is installed, write it anew: "
                "safetensors.torch.save_file(torch.load(FILE, weights_only=True)['state_dict'], 'NEW.safetensors')"
            )
        return path
    if not path.is_dir():
        hint = f"; a repository of the Hugging Face Hub is said as {HUB}{name}" if HUB_NAME.fullmatch(name) else ""
        raise InputError(f"there is no checkpoint at {path}{hint}")
    if not (path / "unet").exists() and (single := sorted(path.glob("*.safetensors"))):
        raise InputError(f"{path} has no folder unet, and single files: name one of them, such as {single[0]}")
    if (path / INDEX).exists():
        validate_pipeline(path / INDEX, str(path))
    return path


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
    folder: str | Path,
    networks: Networks,
    params: dict[str, Any],
    scheduler_config: dict[str, Any],
    dtype: Any = np.float16,
) -> None:
    """Writes networks, scheduler and model_index.json as a checkpoint folder; the tokenizer is apart.

    Args:
      folder: to write.
      networks: their configurations are written.
      params: of the networks.
      scheduler_config: of the noise schedule.
      dtype: of the weights.

    Raises:
      InputError: for a weight that is no number, or beyond `dtype`; nothing is written then.
    """
    folder = Path(folder)
    scheduler_config = complete_scheduler(scheduler_config)
    tensors = {
        part: {
            torch_name(k): to_torch(k, as_weights(v, dtype, folder / part / _weight_file(part), torch_name(k)))
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
