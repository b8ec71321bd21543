"""Folders of classifiers with random weights, as PyTorch's transformers writes them (names from its modeling_*.py)."""

import json
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save_file

from cpi_jax.captions.clip_vocabulary import write_clip_vocabulary
from cpi_jax.classifiers.networks.clip import CLIPScorer
from cpi_jax.classifiers.networks.resnet import ResNetClassifier
from cpi_jax.classifiers.networks.vit import ViTClassifier
from cpi_jax.networks.text_encoder import CLIPTextEncoder

SIDE = 16
LAYER = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**LAYER, "patch_size": 8}
LABELS = {0: "cat", 1: "dog", 2: "tiger"}
RESNET = {"embedding_size": 4, "hidden_sizes": [8, 16], "depths": [1, 2]}


class Folder(NamedTuple):
    """A folder and what is in it.

    Attributes:
      path: of the folder.
      config: of transformers' kind.
      processor: of transformers' kind.
      params: under the names of transformers' Flax network.
    """

    path: Any
    config: Any
    processor: Any
    params: Any


def write_vit(path, **settings):
    from transformers import ViTConfig, ViTImageProcessor

    eps = {"layer_norm_eps": 0.1}  # is seen in the logits
    config = ViTConfig(**VISION, **eps, image_size=SIDE, id2label=LABELS, **settings)
    processor = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    shapes = _shapes(ViTClassifier(3, **VISION, **eps), _images())
    extra = ["vit.pooler.dense.weight"]  # of a checkpoint that was saved with it; the classifier does not read it
    return _write(path, "ViTForImageClassification", config, processor, shapes, vit_names(), extra)


def write_resnet(path, kind):
    from transformers import ConvNextImageProcessor, ResNetConfig

    fields = {**RESNET, "layer_type": kind, "downsample_in_first_stage": kind == "basic"}
    processor = ConvNextImageProcessor(size={"shortest_edge": 14}, crop_pct=0.875)
    ours = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    shapes = _shapes(ResNetClassifier(3, **ours), _images())
    extra = ["resnet.embedder.embedder.normalization.num_batches_tracked"]
    config = ResNetConfig(**fields, id2label=LABELS)
    return _write(path, "ResNetForImageClassification", config, processor, shapes, resnet_names(kind), extra)


def write_clip(path):
    from transformers import CLIPConfig, CLIPImageProcessor

    eps = {"layer_norm_eps": 0.1}
    text = {**LAYER, **eps, "max_position_embeddings": 12, "eos_token_id": 49407}
    config = CLIPConfig(text_config=text, vision_config={**VISION, **eps, "image_size": SIDE}, projection_dim=6)
    processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    encoder = CLIPTextEncoder(**text, vocab_size=49408, projection_size=6)
    of_text = _shapes(encoder, jax.ShapeDtypeStruct((1, 12), jnp.int32))
    of_images = _shapes(CLIPScorer(6, **VISION, **eps), _images(), jax.ShapeDtypeStruct((1, 6), jnp.float32))
    path.mkdir(exist_ok=True)
    write_clip_vocabulary(path, "<|endoftext|>")
    return _write(path, "CLIPModel", config, processor, of_text | of_images, clip_names())


def _images():
    return jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)


def _shapes(network, *inputs):
    return jax.eval_shape(network.init, jax.random.key(0), *inputs)["params"]


def _write(path, architecture, config, processor, shapes, names, extra=()):
    path.mkdir(exist_ok=True)
    config.architectures = [architecture]
    (path / "config.json").write_text(json.dumps(config.to_diff_dict()))
    processor.save_pretrained(path)
    params = _random(shapes)
    tensors = dict(_as_pytorch(key, value) for key, value in params.items())
    assert sorted(tensors) == sorted(names)
    tensors |= {name: np.zeros(1, np.float32) for name in extra}
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    return Folder(path, config, processor, _with_flax_names(params, getattr(config, "layer_type", "")))


def _random(shapes):
    """Random in every leaf; variances are positive."""
    rng = np.random.default_rng(3)
    params = {}
    for key, leaf in sorted(flatten_dict(shapes).items()):
        x = 0.5 * rng.standard_normal(leaf.shape, np.float32)
        params[key] = np.asarray(1 + np.abs(x) if key[-1] in ("var", "scale") else x, np.float32)
    return params


def _as_pytorch(key, value):
    """Name and value of a parameter there."""
    words = {"kernel": "weight", "scale": "weight", "embedding": "weight", "mean": "running_mean", "var": "running_var"}
    if key[-1] == "kernel":
        value = value.T if value.ndim == 2 else np.moveaxis(value, (3, 2), (0, 1))
    return ".".join([*key[:-1], words.get(key[-1], key[-1])]), np.array(value, order="C")


def _with_flax_names(params, layer_type):
    named = {}
    for key, value in params.items():
        name = ".".join(key)
        if layer_type == "basic":
            name = re.sub(r"\.layer\.(\d)", r".layer.layer_\1", name)
        collection = ("batch_stats" if key[-1] in ("mean", "var") else "params",) if layer_type else ()
        named[(*collection, *name.split("."))] = value
    return unflatten_dict(named)


def both(layer, prefix):
    return [f"{prefix}{layer}.{leaf}" for leaf in ("weight", "bias")]


def vit_names():
    names = ["vit.embeddings.cls_token", "vit.embeddings.position_embeddings"]
    names += both("patch_embeddings.projection", "vit.embeddings.")
    for layer in range(2):
        for part in (
            "attention.attention.query", "attention.attention.key", "attention.attention.value", "attention.output.dense",
            "intermediate.dense", "output.dense", "layernorm_before", "layernorm_after",
        ):  # fmt: skip
            names += both(part, f"vit.encoder.layer.{layer}.")
    return [*names, *both("layernorm", "vit."), *both("classifier", "")]


def resnet_names(kind):
    leaves = ("normalization.weight", "normalization.bias", "normalization.running_mean", "normalization.running_var")
    layers = {"basic": 2, "bottleneck": 3}[kind]
    parts = ["embedder.embedder"]
    for stage, depth in enumerate((1, 2)):
        parts.append(f"encoder.stages.{stage}.layers.0.shortcut")
        parts += [f"encoder.stages.{stage}.layers.{i}.layer.{j}" for i in range(depth) for j in range(layers)]
    names = [f"resnet.{part}.{leaf}" for part in parts for leaf in ("convolution.weight", *leaves)]
    return [*names, "classifier.1.weight", "classifier.1.bias"]


def clip_names():
    names = ["logit_scale", "visual_projection.weight", "text_projection.weight"]
    names += [
        f"vision_model.embeddings.{x}"
        for x in ("class_embedding", "patch_embedding.weight", "position_embedding.weight")
    ]
    names += [f"text_model.embeddings.{x}.weight" for x in ("token_embedding", "position_embedding")]
    for model in ("text_model", "vision_model"):
        for layer in range(2):
            for part in (
                "self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj", "layer_norm1",
                "mlp.fc1", "mlp.fc2", "layer_norm2",
            ):  # fmt: skip
                names += both(part, f"{model}.encoder.layers.{layer}.")
    for norm in ("text_model.final_layer_norm", "vision_model.pre_layrnorm", "vision_model.post_layernorm"):
        names += both(norm, "")
    return names
