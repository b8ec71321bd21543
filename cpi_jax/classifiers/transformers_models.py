"""Image classifiers of transformers from a local folder: ResNet, ViT, and CLIP with a prompt a class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.captions.encoding import encode
from cpi_jax.captions.slots import validate_lengths
from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.checkpoints.weights import read_params, torch_name
from cpi_jax.classifiers.model_config import defaults_of, read_fields, read_labels, read_part
from cpi_jax.classifiers.network import Network
from cpi_jax.classifiers.networks.clip import CLIPScorer, unit
from cpi_jax.classifiers.networks.resnet import ResNetClassifier
from cpi_jax.classifiers.networks.vit import ViTClassifier
from cpi_jax.classifiers.processor_config import read_preprocessing
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.classifiers.scores import MULTICLASS, MULTILABEL
from cpi_jax.errors import InputError, require_known
from cpi_jax.files.json_files import read_json
from cpi_jax.networks.text_encoder import CLIPTextEncoder

_PROCESSORS = {"resnet": "ConvNext", "vit": "ViT", "clip": "CLIP"}  # where preprocessor_config.json names none
_TASKS = {"single_label_classification": MULTICLASS, "multi_label_classification": MULTILABEL}  # by problem_type
_COMPUTED = ("hidden_act", "num_attention_heads", "layer_norm_eps", "layer_type", "downsample_in_first_stage")
_UNUSED = r"position_ids$|num_batches_tracked$|^vit\.pooler\."
_RESNET = defaults_of(ResNetClassifier, num_channels=3)
_VIT = defaults_of(ViTClassifier, num_channels=3, image_size=224)
_CLIP_IMAGE = defaults_of(CLIPScorer, num_channels=3, image_size=224)
_CLIP_TEXT = defaults_of(CLIPTextEncoder, vocab_size=49408, hidden_size=512, max_position_embeddings=77)
del _CLIP_TEXT["projection_size"]  # stands beside the parts, as projection_dim


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
    file = folder / "config.json"
    config = read_json(file)
    kind = config.get("model_type", "")
    require_known(kind, f"model_type that is supported in {file}", tuple(_PROCESSORS))
    if (kind == "clip") != bool(prompts):
        needs = "needs at least two prompts, one a class" if kind == "clip" else "takes no prompts"
        raise InputError(f"the {kind} model in {folder} {needs}")
    preprocessing = read_preprocessing(folder / "preprocessor_config.json", _PROCESSORS[kind])
    if kind == "clip":
        return Network(_load_clip(folder, config, prompts), preprocessing, tuple(prompts), len(prompts))
    heads = config.get("architectures")
    heads = tuple(map(str, heads)) if isinstance(heads, list) else ()
    if not any(head.endswith("ForImageClassification") for head in heads):
        raise InputError(f"{folder} holds {', '.join(heads) or 'no architecture'}, not a ...ForImageClassification")
    task, labels = _find_task(config, task, file), read_labels(config, file)
    module, side = (_resnet if kind == "resnet" else _vit)(config, file, len(labels))
    images = jax.ShapeDtypeStruct((1, side or 64, side or 64, 3), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
    params = read_params(folder, shapes, name=_torch_name, unused=_UNUSED)
    scorer = Scorer(params, partial(_logits, module, side), _described(kind, config), task=task)
    return Network(scorer, preprocessing, labels, len(labels))


def _find_task(config: dict[str, Any], task: str, file: Path) -> str:
    """As problem_type says; without one, as told, or one class an image, as transformers' own pipeline reads it."""
    problem = config.get("problem_type")
    if problem is None:
        return task or MULTICLASS
    if problem not in tuple(_TASKS):
        raise InputError(f"{file} has problem_type = {problem!r}: its outputs are no logits, of {' or '.join(_TASKS)}")
    return _TASKS[problem]


def _resnet(config: dict[str, Any], file: Path, num_labels: int) -> tuple[nn.Module, int]:
    """The network, for images of any size (0)."""
    if config.get("downsample_in_bottleneck") or config.get("hidden_act", "relu") != "relu":
        raise InputError(f"{file.parent}: a ResNet with downsample_in_bottleneck or without ReLU is not supported")
    fields = read_fields(config, _RESNET, file)
    if len(fields["depths"]) != len(fields["hidden_sizes"]):
        raise InputError(f"{file} has {len(fields['depths'])} depths and {len(fields['hidden_sizes'])} hidden_sizes")
    del fields["num_channels"]
    return ResNetClassifier(num_labels, **fields), 0


def _vit(config: dict[str, Any], file: Path, num_labels: int) -> tuple[nn.Module, int]:
    """The network, and the size of its images."""
    fields = read_fields(config, _VIT, file)
    del fields["num_channels"]
    side = fields.pop("image_size")
    return ViTClassifier(num_labels, **fields), side


def _load_clip(folder: Path, config: dict[str, Any], prompts: Sequence[str]) -> Scorer:
    if len(prompts) < 2:
        raise InputError("CLIP tells prompts apart, so there must be at least two, such as 'a cat' and 'a photo'")
    file = folder / "config.json"
    size = read_fields(config, {"projection_dim": 512}, file)["projection_dim"]
    text = read_fields(read_part(config, "text_config", file), _CLIP_TEXT, file)
    vision = read_fields(read_part(config, "vision_config", file), _CLIP_IMAGE, file)
    name = _described("clip", vision)
    del vision["num_channels"]
    side = vision.pop("image_size")
    encoder, module = CLIPTextEncoder(**text, projection_size=size), CLIPScorer(size, **vision)
    ids = jnp.asarray(_tokenise(folder, prompts, encoder.max_position_embeddings))
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    embedded = jax.ShapeDtypeStruct((len(prompts), size), jnp.float32)
    of_text = jax.eval_shape(encoder.init, jax.random.key(0), ids)["params"]
    of_images = jax.eval_shape(module.init, jax.random.key(0), images, embedded)["params"]
    params = read_params(folder, of_text | of_images, name=_torch_name, unused=_UNUSED)
    text_params, kept = ({name: params[name] for name in names} for names in (of_text, of_images))
    of_scorer = {"network": kept, "prompts": jax.jit(partial(_embed, encoder))(text_params, ids)}
    return Scorer(of_scorer, partial(_cosines, module, side), name, task=MULTICLASS)


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


def _embed(encoder: CLIPTextEncoder, params: Any, ids: jax.Array) -> jax.Array:
    return unit(cast(Any, encoder.apply({"params": params}, ids)).pooled)


def _logits(module: nn.Module, side: int, params: Any, images: jax.Array) -> jax.Array:
    _validate_size(images, side)
    return cast(jax.Array, module.apply({"params": params}, images))


def _cosines(module: CLIPScorer, side: int, params: Any, images: jax.Array) -> jax.Array:
    _validate_size(images, side)
    return cast(jax.Array, module.apply({"params": params["network"]}, images, params["prompts"]))


def _validate_size(images: jax.Array, side: int) -> None:
    """Position embeddings are of one size."""
    if side and images.shape[1:3] != (side, side):
        raise InputError(f"the classifier takes {side} px squares, and resize and crop give {images.shape[1:3]}")


def _torch_name(key: tuple[str, ...]) -> str:
    """PyTorch's name of a parameter of ours, or of one in a file of transformers' Flax networks.

    Those have a collection first, and words where PyTorch numbers the two layers of a basic block.
    """
    path = key[1:] if key[0] in ("params", "batch_stats") else key
    return torch_name(tuple(re.sub(r"^layer_(\d+)$", r"\1", part) for part in path))


def _described(kind: str, config: Mapping[str, Any]) -> str:
    """The scorer's name: what is computed beside the weights, as far as the file says."""
    return " ".join([kind, *(f"{name}={config[name]}" for name in _COMPUTED if name in config)])
