"""Folders as PyTorch's transformers writes them (names from its modeling_*.py), against the Flax models called directly."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.serialization import msgpack_serialize
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTokenizer,
    ConvNextImageProcessor,
    FlaxCLIPModel,
    FlaxResNetForImageClassification,
    FlaxViTForImageClassification,
    ResNetConfig,
    ViTConfig,
    ViTImageProcessor,
)

from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.diffusion.miniature import write_clip_vocabulary
from cpi_jax.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
LAYER = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
LABELS = {0: "cat", 1: "dog", 2: "tiger"}
RESNET = {"embedding_size": 4, "hidden_sizes": [8, 16], "depths": [1, 2], "id2label": LABELS}
PROMPTS = ("a photo of a cat", "a photo of a dog", "nothing")


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


def random_params(model):
    """Random in every leaf; variances are positive."""
    rng = np.random.default_rng(3)
    shapes = jax.eval_shape(lambda: model.init_weights(jax.random.key(0), model.input_shape))

    def draw(path, leaf):
        x = 0.5 * rng.standard_normal(leaf.shape, np.float32)
        return 1 + np.abs(x) if path[-1].key in ("var", "scale") else x

    return jax.tree_util.tree_map_with_path(draw, shapes)


def as_pytorch(params, names):
    """Every parameter under one of the names: the one that ends alike and has the same layout turned round."""
    leaves = {
        "kernel": "weight",
        "scale": "weight",
        "embedding": "weight",
        "mean": "running_mean",
        "var": "running_var",
    }
    out = {}
    for key, value in flatten_dict(params).items():
        path = [part.split("_")[1] if part in ("layer_0", "layer_1") else part for part in key]
        name = ".".join([*(p for p in path[:-1] if p not in ("params", "batch_stats")), leaves.get(path[-1], path[-1])])
        if key[-1] == "kernel":
            value = value.T if value.ndim == 2 else np.moveaxis(value, (3, 2), (0, 1))
        out[name] = np.array(value, order="C")
    assert sorted(out) == sorted(names)
    return out


def write(folder, model, processor, params, names, extra=()):
    folder.mkdir(exist_ok=True)
    model.config.architectures = [type(model).__name__.removeprefix("Flax")]
    (folder / "config.json").write_text(json.dumps(model.config.to_diff_dict()))
    processor.save_pretrained(folder)
    tensors = as_pytorch(params, names) | {name: np.zeros(1, np.float32) for name in extra}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def scores(scorer):
    return np.asarray(jax.jit(scorer.apply)(scorer.params, IMAGES.astype(np.float32) / 255))


def expected(model, processor, params, **more):
    pixels = processor(list(IMAGES), return_tensors="np")["pixel_values"]
    return jax.jit(lambda p, x: model(pixel_values=x, params=p, **more))(params, pixels)


def write_vit(folder, **settings):
    config = ViTConfig(**LAYER, image_size=16, patch_size=8, id2label=LABELS, **settings)
    model = FlaxViTForImageClassification(config, _do_init=False)
    processor, params = ViTImageProcessor(size={"height": 16, "width": 16}), random_params(model)
    extra = ["vit.pooler.dense.weight"]  # of a checkpoint that was saved with it; the classifier does not read it
    return write(folder, model, processor, params, vit_names(), extra), model, processor, params


def test_vit(tmp_path):
    folder, model, processor, params = write_vit(tmp_path)
    logits = expected(model, processor, params).logits
    scorer = load_scorer(folder, classes=("cat", "tiger"))
    odds = jnp.logaddexp(logits[:, 0], logits[:, 2]) - logits[:, 1]
    np.testing.assert_allclose(scores(scorer)[:, 0], odds, atol=1e-4)
    (folder / "model.safetensors").unlink()
    (folder / "flax_model.msgpack").write_bytes(msgpack_serialize(params))
    jax.tree.map(np.testing.assert_array_equal, load_scorer(folder).params, scorer.params)
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(InputError, match="say that its outputs are multiclass, so task='multilabel' cannot be"):
        (folder / "config.json").write_text(json.dumps(config | {"problem_type": "single_label_classification"}))
        load_scorer(folder, task="multilabel")
    (folder / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    scorer = load_scorer(folder, classes=("tiger",))
    np.testing.assert_allclose(scores(scorer), logits[:, 2:], atol=1e-4)
    assert scorer.task == "multilabel" and scorer.outputs == ("tiger",)
    with pytest.raises(InputError, match="problem_type = 'regression': its outputs are no logits"):
        (folder / "config.json").write_text(json.dumps(config | {"problem_type": "regression"}))
        load_scorer(folder)
    (folder / "config.json").write_text(json.dumps(config))
    assert load_scorer(folder).task == "multiclass"  # as transformers' pipeline reads it
    assert load_scorer(folder, task="multilabel").task == "multilabel"  # nothing says otherwise
    with pytest.raises(InputError, match=r"takes 16 px squares, and resize and crop give \(8, 8\)"):
        scores(load_scorer(folder, crop=8))


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_resnet(tmp_path, kind):
    model = FlaxResNetForImageClassification(ResNetConfig(**RESNET, layer_type=kind), _do_init=False)
    processor = ConvNextImageProcessor(size={"shortest_edge": 14}, crop_pct=0.875)
    params = random_params(model)
    folder = write(
        tmp_path,
        model,
        processor,
        params,
        resnet_names(kind),
        ["resnet.embedder.embedder.normalization.num_batches_tracked"],
    )
    wanted = np.asarray(expected(model, processor, params).logits)
    scorer = load_scorer(folder)
    np.testing.assert_allclose(scores(scorer), wanted, rtol=1e-3, atol=1e-4)
    (folder / "model.safetensors").unlink()
    (folder / "flax_model.msgpack").write_bytes(msgpack_serialize(params))
    jax.tree.map(np.testing.assert_array_equal, load_scorer(folder).params, scorer.params)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    vision = {**LAYER, "image_size": 16, "patch_size": 8, "projection_dim": 6}
    text = {**LAYER, "max_position_embeddings": 12, "eos_token_id": 49407, "projection_dim": 6}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=6)
    model = FlaxCLIPModel(config, _do_init=False)
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    params = random_params(model)
    write_clip_vocabulary(folder, "<|endoftext|>")
    return write(folder, model, processor, params, clip_names()), model, processor, params


def test_clip_with_prompts(clip):
    folder, model, processor, params = clip
    tokens = CLIPTokenizer.from_pretrained(str(folder))(list(PROMPTS), padding=True, return_tensors="np")
    text = {name: jnp.asarray(tokens[name]) for name in ("input_ids", "attention_mask")}
    wanted = np.asarray(expected(model, processor, params, **text).logits_per_image)
    scorer = load_scorer(folder, prompts=PROMPTS)
    np.testing.assert_allclose(scores(scorer), wanted, rtol=1e-3, atol=1e-4)
    assert "text_model" not in scorer.params["network"]
    assert load_scorer(folder, prompts=PROMPTS, classes=("nothing",)).name.endswith(" (2,)")


def test_prompts_that_cannot_be_used(clip):
    folder = clip[0]
    for prompts, message in {
        (): "the clip model in .* needs at least two prompts, one a class",
        ("a cat",): "there must be at least two",
        ("a cat", "a " * 20): "the prompt .a a a .* has 22 tokens, and the text encoder reads 12",
        ("a cat", ""): "is empty",
    }.items():
        with pytest.raises(InputError, match=message):
            load_scorer(folder, prompts=prompts)


def test_folders_that_cannot_be_used(tmp_path):
    folder, *_ = write_vit(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(InputError, match=r"the vit model in .* takes no prompts"):
        load_scorer(folder, prompts=PROMPTS)
    for change, message in {
        ("model_type", "beit"): "no model_type that is supported in .*config.json 'beit' among resnet, vit, clip",
        ("architectures", ("ViTModel",)): r"holds ViTModel, not a ...ForImageClassification",
        ("hidden_size", 16): r"has shape .* in Flax layout, config.json asks for",
        ("num_channels", 1): "num_channels = 1; images have three colours",
        ("num_hidden_layers", 1): "tensors that its config.json does not know, 'vit.encoder.layer.1",
        ("num_hidden_layers", 3): "lacks the tensor 'vit.encoder.layer.2",
    }.items():
        (folder / "config.json").write_text(json.dumps(config | dict([change])))
        with pytest.raises(InputError, match=message):
            load_scorer(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"only pytorch_model.bin, which is a pickle"):
        load_scorer(folder)
    resnet = ResNetConfig(**RESNET, downsample_in_bottleneck=True, architectures=["ResNetForImageClassification"])
    (folder / "config.json").write_text(json.dumps(resnet.to_dict()))
    with pytest.raises(InputError, match="downsample_in_bottleneck or without ReLU is not supported"):
        load_scorer(folder)
