"""Image classifiers of transformers from a local folder, without torch: ResNet, ViT, and CLIP with a prompt a class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from transformers import CLIPConfig, ResNetConfig, ViTConfig
from transformers.models.clip.modeling_flax_clip import FlaxCLIPModule
from transformers.models.resnet.modeling_flax_resnet import FlaxResNetForImageClassificationModule
from transformers.models.vit.modeling_flax_vit import FlaxViTForImageClassificationModule

from cpi_jax.captions.encoding import encode
from cpi_jax.captions.slots import validate_lengths
from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.checkpoints.weights import read_params, torch_name
from cpi_jax.classifiers.network import Network
from cpi_jax.classifiers.processor_config import read_preprocessing
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.classifiers.scores import MULTICLASS, MULTILABEL
from cpi_jax.errors import InputError, require_known
from cpi_jax.files.json_files import read_json

_PROCESSORS = {"resnet": "ConvNext", "vit": "ViT", "clip": "CLIP"}  # where preprocessor_config.json names none
_TASKS = {"single_label_classification": MULTICLASS, "multi_label_classification": MULTILABEL}  # by problem_type
_COMPUTED = ("hidden_act", "num_attention_heads", "layer_norm_eps", "layer_type", "downsample_in_first_stage")
_UNUSED = r"position_ids$|num_batches_tracked$|^vit\.pooler\."


def load_transformers(path: str | Path, prompts: Sequence[str] = (), task: str = "") -> Network:
    """Reads config.json, preprocessor_config.json and the weights (safetensors or Flax msgpack) of a folder.

    Args:
      path: of a ResNetForImageClassification, ViTForImageClassification or CLIPModel.
      prompts: CLIP's, one a class; its scores are the scaled cosines of image and prompt.
      task: how the outputs are to be read where config.json has no problem_type.

    Raises:
      InputError: for another kind of model, or files that are missing or do not fit each other.
    """
    folder = Path(path)
    config = read_json(folder / "config.json")
    try:
        return _load(folder, config, prompts, task)
    except InputError:
        raise
    except Exception as error:  # whatever transformers trips over, it stands in this file
        reason = str(error).strip().split("\n")[0]
        what = f"{type(error).__name__}: {reason}"
        raise InputError(f"{folder / 'config.json'} describes no network that can be built: {what}") from error


def _load(folder: Path, config: dict[str, Any], prompts: Sequence[str], task: str) -> Network:
    for part in (config, config.get("text_config") or {}, config.get("vision_config") or {}):
        if not 0 < part.get("layer_norm_eps", 1e-5) < 1:  # in no weight's shape, and nothing is built of it
            raise InputError(
                f"{folder / 'config.json'} has layer_norm_eps = {part['layer_norm_eps']!r}, which cannot be"
            )
    kind = config.get("model_type", "")
    require_known(kind, f"model_type that is supported in {folder / 'config.json'}", tuple(_PROCESSORS))
    if (kind == "clip") != bool(prompts):
        needs = "needs at least two prompts, one a class" if kind == "clip" else "takes no prompts"
        raise InputError(f"the {kind} model in {folder} {needs}")
    preprocessing = read_preprocessing(folder / "preprocessor_config.json", _PROCESSORS[kind])
    if kind == "clip":
        scorer = _load_clip(folder, CLIPConfig.from_dict(config), prompts)
        return Network(scorer, preprocessing, tuple(prompts), len(prompts))
    heads = config.get("architectures") or ()
    if not any(head.endswith("ForImageClassification") for head in heads):
        raise InputError(f"{folder} holds {', '.join(heads) or 'no architecture'}, not a ...ForImageClassification")
    task = _find_task(config, task, folder / "config.json")
    build = _resnet if kind == "resnet" else _vit
    settings, module, side = build(config, folder)
    if settings.num_channels != 3:
        raise InputError(f"{folder} has num_channels = {settings.num_channels}; images have three colours")
    images = jax.ShapeDtypeStruct((1, side or 64, side or 64, 3), jnp.float32)
    shapes = jax.eval_shape(partial(module.init, return_dict=False), jax.random.key(0), images)
    # Flax's own files hold the parameters alone where there is nothing else.
    read = read_params(folder, shapes if len(shapes) > 1 else shapes["params"], name=_torch_name, unused=_UNUSED)
    variables = read if len(shapes) > 1 else {"params": read}
    scorer = Scorer(variables, partial(_logits, module, side), _described(kind, config), task=task)
    labels = settings.id2label or {}  # transformers fills it in
    names = tuple(labels[i] for i in range(settings.num_labels))
    return Network(scorer, preprocessing, names, settings.num_labels)


def _find_task(config: dict[str, Any], task: str, file: Path) -> str:
    """As problem_type says; without one, as told, or one class an image, as transformers' own pipeline reads it."""
    problem = config.get("problem_type")
    if problem is None:
        return task or MULTICLASS
    if problem not in _TASKS:
        raise InputError(f"{file} has problem_type = {problem!r}: its outputs are no logits, of {' or '.join(_TASKS)}")
    return _TASKS[problem]


def _resnet(config: dict[str, Any], folder: Path) -> tuple[ResNetConfig, nn.Module, int]:
    if config.get("downsample_in_bottleneck") or config.get("hidden_act", "relu") != "relu":
        raise InputError(f"{folder}: a ResNet with downsample_in_bottleneck or without ReLU is not supported")
    settings = ResNetConfig.from_dict(config)
    return settings, FlaxResNetForImageClassificationModule(settings), 0


def _vit(config: dict[str, Any], folder: Path) -> tuple[ViTConfig, nn.Module, int]:
    settings = ViTConfig.from_dict(config)
    return settings, FlaxViTForImageClassificationModule(settings), settings.image_size


def _load_clip(folder: Path, config: CLIPConfig, prompts: Sequence[str]) -> Scorer:
    if len(prompts) < 2:
        raise InputError("CLIP tells prompts apart, so there must be at least two, such as 'a cat' and 'a photo'")
    module, side = FlaxCLIPModule(config), config.vision_config.image_size
    ids = jnp.asarray(_tokenise(folder, prompts, config.text_config.max_position_embeddings))
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    init = partial(module.init, return_dict=False)
    shapes = jax.eval_shape(init, jax.random.key(0), ids, images, jnp.ones_like(ids), ids * 0)["params"]
    params = read_params(folder, shapes, name=_torch_name, unused=_UNUSED)
    embed = jax.jit(partial(module.apply, method=_embed_text))
    vision = config.vision_config.to_diff_dict()
    kept = {name: params[name] for name in ("vision_model", "visual_projection", "logit_scale")}
    of_scorer = {"network": kept, "prompts": embed({"params": params}, ids)}
    return Scorer(of_scorer, partial(_cosines, module, side), _described("clip", vision), task=MULTICLASS)


def _tokenise(folder: Path, prompts: Sequence[str], length: int) -> np.ndarray:
    """Token ids [C, L], padded by the end token, which reads nothing behind the first one."""
    tokenizer = read_tokenizer(folder)
    codes = [encode(tokenizer, prompt) for prompt in prompts]
    if not all(codes):
        raise InputError("a prompt of CLIP is empty; each must say what its class looks like")
    validate_lengths(np.array([len(code) + 2 for code in codes]), length, lambda n: f"the prompt {prompts[n]!r}")
    ids = np.full((len(prompts), length), tokenizer.eos_token_id, np.int32)
    for row, code in zip(ids, codes):
        row[: len(code) + 1] = [tokenizer.bos_token_id, *code]
    return ids


def _logits(module: nn.Module, side: int, variables: Any, images: jax.Array) -> jax.Array:
    _validate_size(images, side)
    return module.apply(variables, images, return_dict=False)[0]


def _cosines(module: FlaxCLIPModule, side: int, params: Any, images: jax.Array) -> jax.Array:
    _validate_size(images, side)
    seen = module.apply({"params": params["network"]}, images, method=_embed_images)
    return jnp.exp(params["network"]["logit_scale"]) * seen @ params["prompts"].T


def _embed_images(module: FlaxCLIPModule, images: jax.Array) -> jax.Array:
    return _unit(module.visual_projection(module.vision_model(images, return_dict=False)[1]))


def _embed_text(module: FlaxCLIPModule, ids: jax.Array) -> jax.Array:
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    return _unit(module.text_projection(module.text_model(ids, jnp.ones_like(ids), positions, return_dict=False)[1]))


def _unit(x: jax.Array) -> jax.Array:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def _validate_size(images: jax.Array, side: int) -> None:
    """Position embeddings are of one size."""
    if side and images.shape[1:3] != (side, side):
        raise InputError(f"the classifier takes {side} px squares, and resize and crop give {images.shape[1:3]}")


def _torch_name(key: tuple[str, ...]) -> str:
    """A name in PyTorch's file: without the collection; two layers of a basic block are numbers there."""
    path = key[1:] if key[0] in ("params", "batch_stats") else key
    return torch_name(tuple(re.sub(r"^layer_(\d+)$", r"\1", part) for part in path))


def _described(kind: str, config: dict[str, Any]) -> str:
    """The scorer's name: what is computed beside the weights, as far as the file says."""
    return " ".join([kind, *(f"{name}={config[name]}" for name in _COMPUTED if name in config)])
