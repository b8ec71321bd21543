"""Checkpoints in a single safetensors file, as most lie on the web: weights under the names of the original code, no more.

What the weights belong to is told by their shapes, and what shapes do not tell is as in the published checkpoints.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import logging
from flax.traverse_util import flatten_dict

from cpi_jax.captions.clip_vocabulary import VOCAB_SIZE, clip_tokenizer, write_clip_tokenizers
from cpi_jax.checkpoints.ldm_names import TEXT_PREFIXES, UNET, VAE, Source, text_sources, unet_sources, vae_sources
from cpi_jax.checkpoints.safetensors_file import TensorFile
from cpi_jax.checkpoints.weights import fill_params, from_torch, torch_name
from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.diffusion.families import SUPPORTED, family_of_tensors
from cpi_jax.diffusion.opened import Opened
from cpi_jax.diffusion.part_configs import REFINER
from cpi_jax.diffusion.schedule import alphas_sigmas
from cpi_jax.diffusion.scheduler_config import complete_scheduler
from cpi_jax.diffusion.structure import text_config, unet_config, vae_config
from cpi_jax.errors import InputError
from cpi_jax.files.location import find_path

_PREFIXES = ("model_ema.", UNET, VAE, *{prefix for of_kind in TEXT_PREFIXES.values() for prefix in of_kind.values()})
# What files hold beside the networks' weights, and no picture needs: averages, noise schedules, a loss.
_UNUSED = re.compile(
    r"model_ema\.|first_stage_model\.(loss|model_ema)\.|(betas|logvar|lvlb_weights|scale_factor|v_pred|ztsnr)$|alphas_"
    r"|sqrt_|log_one_minus_|posterior_|denoiser\.|.*(position_ids|logit_scale|attn_mask)$"
    r"|cond_stage_model\.(model|transformer)\.text_projection|conditioner\.embedders\.0\.transformer\.text_projection"
)
# Of inputs with more channels than latents have.
_OTHER_INPUTS = {
    9: "an inpainting checkpoint", 8: "a checkpoint of InstructPix2Pix", 7: "an upscaler", 5: "a depth checkpoint",
}  # fmt: skip
# As in the published folders; `complete_scheduler` says what else their classes have.
_SCHEDULERS = {"sd15": "PNDMScheduler", "sd21": "DDIMScheduler", "sdxl": "EulerDiscreteScheduler"}
_SIZES = {"epsilon": 64, "v_prediction": 96}  # of the latents, in Stable Diffusion 2
_FLOATS = {"F16": np.float16, "BF16": jnp.bfloat16, "F32": np.float32, "F64": np.float64}


def open_single_file(path: Path, *, prediction_type: str = "", own_vae: bool = True) -> Opened:
    """Looks at a single file: Stable Diffusion 1.x, 2.x or XL under the names of the original code.

    Args:
      path: of the file.
      prediction_type: what the UNet predicts; empty: as the file says.
      own_vae: whether the file's autoencoder is wanted.

    Raises:
      InputError: for a file of another kind, which is named; one that is cut or not complete; or Stable Diffusion 2 where
        neither the file nor `prediction_type` says what it predicts.
    """
    file = TensorFile(path)
    kind = _find_kind(file)
    names = [name for name in file.shapes if not _UNUSED.match(name)]
    sources = {"unet": unet_sources(names), "vae": vae_sources(names)}
    sources |= {part: text_sources(names, prefix) for part, prefix in TEXT_PREFIXES[kind].items()}
    if not sources["vae"] and own_vae:
        raise InputError(f"{path} holds no autoencoder: name one, as generator.vae=FILE")
    configs = _find_configs(file, kind, sources, own_vae)
    scheduler = _find_scheduler(file, kind, prediction_type)
    if kind == "sd21":
        configs["unet"]["sample_size"] = _SIZES.get(scheduler["prediction_type"], 64)
    if (vocab_size := configs["text_encoder"]["vocab_size"]) < VOCAB_SIZE:
        raise InputError(
            f"the text encoder of {path} knows {vocab_size} tokens, and CLIP's vocabulary has {VOCAB_SIZE}"
        )
    if others := [name for name in names if not name.startswith(_PREFIXES)]:
        logging.warning("%s: %d tensors are of no part and left out, %r first", path, len(others), others[0])
    make = functools.partial(clip_tokenizer, kind)
    write = functools.partial(write_clip_tokenizers, architecture=kind)
    return Opened(configs, scheduler, make, write, functools.partial(_read, file, sources))


def open_single_vae(path: Path, base: Mapping[str, Any]) -> tuple[dict[str, Any], Callable[..., dict[str, Any]]]:
    """Looks at a single file of an autoencoder, under the names of the original code or of diffusers.

    Args:
      path: of the file.
      base: the configuration of the checkpoint's own, whose scale is taken.

    Returns:
      Its configuration, and what reads it (`Opened.read`).

    Raises:
      InputError: for a file that holds none, or not the whole of one.
    """
    file = TensorFile(path)
    prefix = VAE if any(name.startswith(VAE) for name in file.shapes) else ""
    names = [name for name in file.shapes if not re.match(rf"({re.escape(VAE)})?(loss|model_ema)\.", name)]
    sources = vae_sources(names, prefix)
    if not any(name.startswith("decoder.up_blocks.") for name in sources):
        raise InputError(
            f"{path} holds no autoencoder of Stable Diffusion ({min(file.shapes, default='nothing')!r} first)"
        )
    with _naming(path, "autoencoder"):
        config = vae_config(_shapes_of(file, sources), base)
    return config, functools.partial(_read, file, {"vae": sources})


def stored_dtype(path: Path, vae: str = "") -> np.dtype:
    """The narrowest type that holds the weights of single files as they are, at least of 16 bits.

    Args:
      path: of a checkpoint.
      vae: of an autoencoder; a folder's may be of any type.

    Raises:
      InputError: for what is no single file.
    """
    if not path.is_file():
        raise InputError(f"{path} is no single file")
    kinds = {kind for name, kind in TensorFile(path).dtypes.items() if not _UNUSED.match(name)}
    if vae:
        kinds |= set(TensorFile(vae).dtypes.values()) if find_path(vae).is_file() else {"F32"}
    floats = [np.dtype(_FLOATS[kind]) for kind in kinds & _FLOATS.keys()]
    return functools.reduce(jnp.promote_types, floats or [np.dtype(np.float16)])


def _find_kind(file: TensorFile) -> str:
    """ "sd15", "sd21" or "sdxl", by the text encoders; anything else is refused by its name."""
    names, path = file.shapes, file.path
    if lora := next((name for name in names if re.search(r"(^|[._])(lora|lokr|hada)_", name)), None):
        raise InputError(f"{path} is a LoRA ({lora!r}): name it as generator.lora, and its base as generator.path")
    if family := family_of_tensors(names):
        raise InputError(f"{path} is of the family {family[0]} ({family[1]!r}); only {SUPPORTED} are supported")
    if any(name.startswith("conditioner.embedders.0.model.") for name in names):
        raise InputError(f"{path}: {REFINER}")
    has_unet = any(name.startswith(UNET) for name in names)
    for kind, prefixes in TEXT_PREFIXES.items():
        if has_unet and all(any(name.startswith(prefix) for name in names) for prefix in prefixes.values()):
            return kind
    if has_unet:
        raise InputError(f"{path} holds a UNet without a text encoder, and a checkpoint has both")
    first = min(names, default="nothing")
    kinds = {
        r"emb_params$|string_to_param|clip_[lg]$|<.+>$": "a textual inversion: name it as generator.embeddings",
        r"(first_stage_model\.)?(encoder|decoder)\.(up|down|mid)": "an autoencoder alone: name it as generator.vae",
        r"(conv_in|down_blocks\.0|text_model)\.": "one part of a folder: name the folder that holds all of them",
    }
    known = (what for pattern, what in kinds.items() if any(re.match(pattern, name) for name in names))
    raise InputError(f"{path} is {next(known, f'no checkpoint that is known ({first!r} first); use {SUPPORTED}')}")


def _find_configs(
    file: TensorFile, kind: str, sources: dict[str, dict[str, Source]], own_vae: bool
) -> dict[str, dict[str, Any]]:
    """Configurations of the parts; sources that no network has are taken out."""
    base, _ = ARCHITECTURES[kind]
    configs = {part: dict(config) for part, config in base.items()}
    shapes = {part: _shapes_of(file, of_part) for part, of_part in sources.items()}
    with _naming(file.path, "UNet"):
        configs["unet"] = unet_config(shapes["unet"], base["unet"])
    channels = configs["unet"]["in_channels"]
    if channels in _OTHER_INPUTS:
        raise InputError(
            f"{file.path} is {_OTHER_INPUTS[channels]} (its UNet takes {channels} channels); only {SUPPORTED} are supported"
        )
    for part in TEXT_PREFIXES[kind]:
        with _naming(file.path, "text encoder"):
            configs[part] = text_config(shapes[part], base[part], read_to_its_end=kind != "sd21")
        behind = f"text_model.encoder.layers.{configs[part]['num_hidden_layers']}."
        sources[part] = {name: source for name, source in sources[part].items() if not name.startswith(behind)}
    if kind == "sdxl":
        told, pooled = shapes["unet"].get("add_embedding.linear_1.weight", (0, 0))[1], configs["text_encoder_2"]
        waves = (told - pooled["projection_dim"]) // 6  # sizes and crop are six numbers
        configs["unet"] |= {"projection_class_embeddings_input_dim": told, "addition_time_embed_dim": waves}
    if own_vae:
        with _naming(file.path, "autoencoder"):
            configs["vae"] = vae_config(shapes["vae"], base["vae"])
    return configs


def _find_scheduler(file: TensorFile, kind: str, prediction_type: str) -> dict[str, Any]:
    """The noise schedule: the published one, with what the file says of it."""
    _, base = ARCHITECTURES[kind]
    scheduler = {**base, "_class_name": _SCHEDULERS[kind], "set_alpha_to_one": False}
    prediction = prediction_type or _prediction_of(file) or ("" if kind == "sd21" else "epsilon")
    if not prediction:
        raise InputError(
            f"{file.path} has the shapes of Stable Diffusion 2 and does not say what its UNet predicts: say "
            "generator.prediction_type=v_prediction (2.0 and 2.1 of 768 pixels) or epsilon (the base ones of 512, SD-Turbo)"
        )
    scheduler["prediction_type"] = prediction
    zero_snr = "ztsnr" in file.shapes
    if "alphas_cumprod" in file.shapes:
        told = file.read("alphas_cumprod").astype(np.float64)
        plain, zero = (
            alphas_sigmas(
                scheduler | {"prediction_type": "v_prediction", "_class_name": None, "rescale_betas_zero_snr": z}
            )[0]
            ** 2
            for z in (False, True)
        )
        zero_snr |= told.shape == zero.shape and bool(np.allclose(told, zero, 0.01, 1e-4))
        if not (zero_snr or (told.shape == plain.shape and np.allclose(told, plain, 0.01, 1e-4))):
            raise InputError(f"{file.path} has a noise schedule of its own (alphas_cumprod), which is not supported")
    if zero_snr:
        scheduler |= {"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True}
    try:
        return complete_scheduler(scheduler)
    except InputError as error:
        raise InputError(f"{file.path}: {error}") from None


def _prediction_of(file: TensorFile) -> str:
    """What the file says that the UNet predicts; empty where it says nothing."""
    if "v_pred" in file.shapes:  # a mark of some files of SDXL
        return "v_prediction"
    told = file.metadata.get("modelspec.prediction_type", "")
    names = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon", "eps": "epsilon"}
    if told and told.lower() not in names:
        raise InputError(
            f"{file.path} says modelspec.prediction_type = {told!r}, which is not known: say generator.prediction_type"
        )
    architecture = file.metadata.get("modelspec.architecture", "")
    ends = {"v2-768-v": "v_prediction", "v2-512": "epsilon"}
    return names.get(told.lower(), "") or next((kind for end, kind in ends.items() if architecture.endswith(end)), "")


def _shapes_of(file: TensorFile, sources: Mapping[str, Source]) -> dict[str, tuple[int, ...]]:
    return {name: source.shape(file.shapes[source.name]) for name, source in sources.items()}


def _read(
    file: TensorFile,
    sources: Mapping[str, Mapping[str, Source]],
    shapes: Mapping[str, Any],
    *,
    dtype: Any,
    add: Mapping[str, Mapping[tuple[str, ...], Callable[[], np.ndarray]]] = {},
) -> dict[str, Any]:
    """Parameters by part; all names and shapes are compared before the first is read."""
    for part, tree in shapes.items():
        _validate_tensors(file, sources[part], tree, part)

    def take(sources: Mapping[str, Source], key: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
        source = sources[torch_name(key)]
        return from_torch(key, source.cut(file.read(source.name)), shape)

    return {
        part: fill_params(
            file.path,
            functools.partial(take, sources[part]),
            tree,
            dtype=dtype,
            add=add.get(part, {}),
            name=lambda key, part=part: sources[part][torch_name(key)].name,
        )
        for part, tree in shapes.items()
    }


def _validate_tensors(file: TensorFile, sources: Mapping[str, Source], tree: Any, part: str) -> None:
    leaves: dict[tuple[str, ...], Any] = flatten_dict(tree)
    wanted = {torch_name(key): leaf.shape for key, leaf in leaves.items()}
    of = part.replace("_", " ").removesuffix(" 2")
    if missing := [name for name in wanted if name not in sources]:
        raise InputError(
            f"{file.path} is not complete: it lacks {len(missing)} tensors of the {of}, as diffusers names them "
            f"{missing[0]!r} first"
        )
    if left := [source.name for name, source in sources.items() if name not in wanted]:
        raise InputError(f"{file.path} holds {len(left)} tensors that the {of} does not have, {min(left)!r} first")
    for name, shape in wanted.items():
        found = sources[name].shape(file.shapes[sources[name].name])
        if sorted(n for n in found if n > 1) != sorted(n for n in shape if n > 1):  # whatever the layout
            raise InputError(
                f"{file.path}: {sources[name].name!r} has shape {found}, and the {of} asks for {shape} (Flax's layout)"
            )


@contextmanager
def _naming(path: Path, part: str) -> Iterator[None]:
    """Names file and part where a tensor is missing from which a configuration is told."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path} is not complete: its {part} lacks {error}") from None
