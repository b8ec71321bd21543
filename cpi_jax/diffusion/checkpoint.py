"""Stable Diffusion checkpoints in the Hugging Face folder layout: reading and writing, without torch.

Weights are safetensors under PyTorch diffusers' names; `torch_name` maps a Flax parameter to its name there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cpi_jax.captions import Tokenizer
from cpi_jax.diffusion.networks import CLIPTokenizer, Networks, build_networks, init_params
from cpi_jax.diffusion.sampler import Generator, make_generator
from cpi_jax.diffusion.schedule import dpm_solver_steps
from cpi_jax.errors import InputError

WEIGHT_FILES = {
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
_LISTS = {
    "down_blocks", "up_blocks", "resnets", "attentions", "transformer_blocks", "net", "downsamplers", "upsamplers",
    "to_out",
}  # fmt: skip
_VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def load_generator(folder: str | Path, *, steps: int = 8, guidance_scale: float = 3.0) -> tuple[Generator, Tokenizer]:
    """Reads a checkpoint folder.

    Args:
      folder: holds tokenizer/, text_encoder/, unet/, vae/ and scheduler/.
      steps: solver steps, DPM-Solver++ 2M.
      guidance_scale: classifier-free guidance; exactly 1 leaves out the second pass.

    Returns:
      The generator with float32 parameters, and the tokenizer of its captions.

    Raises:
      InputError: for a missing part.
      InputError: for weights that do not fit the configuration, or a scheduler that is not supported.
    """
    folder = Path(folder)
    configs = {part: read_json(folder / part / "config.json") for part in WEIGHT_FILES}
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    try:
        networks = build_networks(configs)
        shapes = jax.eval_shape(lambda: init_params(networks, jax.random.key(0)))
    except KeyError as error:
        raise InputError(f"a config.json of the checkpoint in {folder} lacks {error}") from None
    params = {part: read_weights(folder / part / file, shapes[part]) for part, file in WEIGHT_FILES.items()}
    tokenizer = load_tokenizer(folder)
    solver = dpm_solver_steps(scheduler, steps)
    unconditional = unconditional_ids(tokenizer, networks.max_length)
    return make_generator(networks, params, scheduler, solver, unconditional, guidance_scale), tokenizer


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The CLIP tokenizer of a checkpoint folder.

    Raises:
      InputError: where its files are missing.
    """
    path = Path(folder) / "tokenizer"
    for file in ("vocab.json", "merges.txt"):
        if not (path / file).is_file():
            raise InputError(f"the checkpoint has no tokenizer/{file} (looked in {folder})")
    return CLIPTokenizer.from_pretrained(str(path))


def unconditional_ids(tokenizer: Tokenizer, length: int) -> jax.Array:
    """Ids of the empty prompt, int32 [L]."""
    ids = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    return jnp.array(ids + [tokenizer.pad_token_id] * (length - 2), jnp.int32)


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file of a checkpoint.

    Raises:
      InputError: where it is missing.
    """
    if not path.is_file():
        raise InputError(f"the checkpoint has no {path.parent.name}/{path.name} (looked in {path.parent.parent})")
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from None


def read_weights(path: Path, shapes: Any) -> Any:
    """Reads safetensors into Flax parameters, float32.

    Args:
      path: the file.
      shapes: the parameters that the configuration asks for (`jax.eval_shape`).

    Raises:
      InputError: where there is no file.
      InputError: for a file that is damaged, lacks a tensor, or holds one of another shape; names the first.
    """
    if not path.is_file():
        raise InputError(f"the checkpoint has no {path.parent.name}/{path.name} (looked in {path.parent.parent})")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from None
    flat = {}
    for key, leaf in flatten_dict(shapes).items():
        name = torch_name(key)
        if name not in tensors:  # checkpoints from before 2023 name the autoencoder's attention as Flax does
            name = next((name.replace(new, old) for old, new in _VAE_ATTENTION.items() if f".{new}." in name), name)
        if name not in tensors:
            raise InputError(f"{path} lacks the tensor {name!r} that its config.json asks for")
        value = from_torch(key, tensors.pop(name), leaf.shape)
        if value.shape != leaf.shape:
            raise InputError(
                f"{path}: {name!r} has shape {value.shape} in Flax layout, config.json asks for {leaf.shape}"
            )
        flat[key] = jnp.asarray(value, jnp.float32)
    left = sorted(name for name in tensors if not name.endswith("position_ids"))
    if left:
        raise InputError(f"{path} holds {len(left)} tensors that its config.json does not know, {left[0]!r} first")
    return unflatten_dict(flat)


def save_checkpoint(
    folder: str | Path, networks: Networks, params: dict[str, Any], scheduler_config: dict[str, Any]
) -> None:
    """Writes networks, scheduler and model_index.json as a checkpoint folder, weights in fp16; the tokenizer is apart."""
    folder = Path(folder)
    for part, file in WEIGHT_FILES.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        _, class_name = _CLASSES[part]
        kind = {"architectures": [class_name]} if part == "text_encoder" else {"_class_name": class_name}
        write_json(folder / part / "config.json", kind | networks.configs[part])
        tensors = {torch_name(k): to_torch(k, np.asarray(v, np.float16)) for k, v in flatten_dict(params[part]).items()}
        save_file(tensors, folder / part / file, metadata={"format": "pt"})
    (folder / "scheduler").mkdir(exist_ok=True)
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler_config)
    write_json(folder / "model_index.json", {"_class_name": "StableDiffusionPipeline", **_CLASSES})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a configuration file."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def torch_name(key: tuple[str, ...]) -> str:
    """PyTorch diffusers' (or transformers') name of a Flax parameter."""
    *path, leaf = key
    parts = []
    for part in path:
        head, _, number = part.rpartition("_")
        parts.append(f"{head}.{number}" if head in _LISTS else part)
    if "attentions" in "".join(parts) and parts[-1] in _VAE_ATTENTION:
        parts[-1] = _VAE_ATTENTION[parts[-1]]
    return ".".join([*parts, "bias" if leaf == "bias" else "weight"])


def to_torch(key: tuple[str, ...], value: np.ndarray) -> np.ndarray:
    """Flax layout -> PyTorch layout: HWIO -> OIHW, [in, out] -> [out, in]."""
    if key[-1] == "kernel":
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
    return np.ascontiguousarray(value)


def from_torch(key: tuple[str, ...], value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """PyTorch layout -> Flax layout; a 1x1 convolution serves where Flax has a dense layer, and the other way round."""
    if key[-1] != "kernel":
        return value
    if value.ndim == 4 and len(shape) == 2:
        value = value[:, :, 0, 0]
    if value.ndim == 2 and len(shape) == 4:
        value = value[:, :, None, None]
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
