"""Classifiers of transformers from their folders, against its last Flax networks, called directly where there are any."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers
from flax.serialization import msgpack_serialize

from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.errors import InputError
from tests.classifiers.transformers_folders import RESNET, write_clip, write_resnet, write_vit

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
PROMPTS = ("a photo of a cat", "a photo of a dog", "nothing")
KINDS = ("vit", "basic", "bottleneck", "clip")
# Of the first image, by transformers 4.57.6's Flax networks.
LOGITS = {
    "vit": (1.1925, -0.25892, 2.2765),
    "basic": (-89.788, -995.61, -164.52),
    "bottleneck": (48.826, -57.581, 119.78),
    "clip": (-0.66035, -0.33754, -0.60737),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    path = tmp_path_factory.mktemp("folders")
    resnets = {kind: write_resnet(path / kind, kind) for kind in ("basic", "bottleneck")}
    return {"vit": write_vit(path / "vit"), "clip": write_clip(path / "clip"), **resnets}


@pytest.fixture
def vit(folders):
    """A folder, to be changed, and its configuration."""
    path, config = folders["vit"].path, folders["vit"].path / "config.json"
    before = config.read_text()
    yield path, json.loads(before)
    config.write_text(before)


def load(folder, **settings):
    prompts = PROMPTS if folder.config.model_type == "clip" else ()
    return load_scorer(folder.path, prompts=prompts, **settings)


def scores(scorer):
    return np.asarray(jax.jit(scorer.apply)(scorer.params, IMAGES.astype(np.float32) / 255))


def logits_of_transformers(folder):
    """Skips where its networks are PyTorch's alone."""
    name = f"Flax{folder.config.architectures[0]}"
    if not hasattr(transformers, name):
        pytest.skip("transformers has no Flax networks since 5.0")
    inputs = {"pixel_values": folder.processor(list(IMAGES), return_tensors="np")["pixel_values"]}
    if clip := folder.config.model_type == "clip":
        tokenizer = transformers.CLIPTokenizer.from_pretrained(str(folder.path))
        tokens = tokenizer(list(PROMPTS), padding=True, return_tensors="np")
        inputs |= {name: jnp.asarray(tokens[name]) for name in ("input_ids", "attention_mask")}
    model = getattr(transformers, name)(folder.config, _do_init=False)
    out = jax.jit(lambda params, inputs: model(**inputs, params=params))(folder.params, inputs)
    return np.asarray(out.logits_per_image if clip else out.logits)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(folders, kind):
    found = scores(load(folders[kind]))
    np.testing.assert_allclose(found[0], LOGITS[kind], rtol=1e-3)
    expected = logits_of_transformers(folders[kind])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ("vit", "basic", "bottleneck"))
def test_msgpack_files_of_flax_networks_hold_the_same(folders, kind):
    scorer, weights = load(folders[kind]), folders[kind].path / "model.safetensors"
    away = weights.rename(weights.with_suffix(".away"))
    msgpack = weights.with_name("flax_model.msgpack")
    msgpack.write_bytes(msgpack_serialize(folders[kind].params))
    jax.tree.map(np.testing.assert_array_equal, load(folders[kind]).params, scorer.params)
    msgpack.unlink()
    away.rename(weights)


def test_outputs_are_read_as_the_files_say(vit):
    folder, config = vit
    logits = scores(load_scorer(folder))
    odds = np.logaddexp(logits[:, 0], logits[:, 2]) - logits[:, 1]
    np.testing.assert_allclose(scores(load_scorer(folder, classes=("cat", "tiger")))[:, 0], odds, atol=1e-4)
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


def test_sizes_of_two_equal_sides_and_labels_that_are_left_out(vit):
    folder, config = vit
    weights = scores(load_scorer(folder))
    (folder / "config.json").write_text(json.dumps(config | {"image_size": [16, 16], "patch_size": [8, 8]}))
    np.testing.assert_array_equal(scores(load_scorer(folder)), weights)
    (folder / "config.json").write_text(json.dumps(config | {"id2label": None, "num_labels": 3}))
    np.testing.assert_array_equal(scores(load_scorer(folder, classes=("LABEL_2",), task="multilabel")), weights[:, 2:])


def test_clip_keeps_what_scores_images(folders):
    scorer = load(folders["clip"])
    assert not [name for name in scorer.params["network"] if name.startswith("text")]
    assert load(folders["clip"], classes=("nothing",)).name.endswith(" (2,)")


@pytest.mark.slow
def test_older_files_of_clip_hold_the_text_encoder_twice(folders):
    """What text_config_dict says holds, as in transformers."""
    path = folders["clip"].path / "config.json"
    before, expected = path.read_text(), scores(load(folders["clip"]))
    config = json.loads(before)
    twice = config | {
        "text_config_dict": config["text_config"],
        "text_config": config["text_config"] | {"hidden_size": 4},
    }
    path.write_text(json.dumps(twice))
    np.testing.assert_array_equal(scores(load(folders["clip"])), expected)
    path.write_text(before)


def test_prompts_that_cannot_be_used(folders):
    for prompts, message in {
        (): "the clip model in .* needs at least two prompts, one a class",
        ("a cat",): "there must be at least two",
        ("a cat", "a " * 20): "the prompt .a a a .* has 22 tokens, and the text encoder reads 12",
        ("a cat", ""): "is empty",
    }.items():
        with pytest.raises(InputError, match=message):
            load_scorer(folders["clip"].path, prompts=prompts)


def test_folders_that_cannot_be_used(vit):
    folder, config = vit
    with pytest.raises(InputError, match=r"the vit model in .* takes no prompts"):
        load_scorer(folder, prompts=PROMPTS)
    for change, message in (
        (("model_type", "beit"), "no model_type that is supported in .*config.json 'beit' among resnet, vit, clip"),
        (("architectures", ("ViTModel",)), r"holds ViTModel, not a ...ForImageClassification"),
        (("architectures", 3), "holds no architecture, not a ...ForImageClassification"),
        (("hidden_size", 16), r"has shape .* in Flax layout, config.json asks for"),
        (("hidden_size", "8"), "hidden_size = '8', which must be a whole number from 1 to"),
        (("num_attention_heads", 3), "hidden_size = 8, which does not part into num_attention_heads = 3"),
        (("layer_norm_eps", 0), "layer_norm_eps = 0, which must be a number between 0 and 1"),
        (("hidden_act", "relu6"), "no hidden_act that is supported in .*config.json 'relu6' among quick_gelu"),
        (("qkv_bias", None), "qkv_bias = None, which must be true or false"),
        (("image_size", [16, 24]), r"image_size = \[16, 24\], which must be a whole number"),
        (("patch_size", 32), "patch_size = 32, which is more than image_size = 16"),
        (("id2label", {"1": "cat"}), "an id2label that does not name outputs 0, 1, ... one by one"),
        (("num_channels", 1), "num_channels = 1; images have three colours"),
        (("num_hidden_layers", 1), "tensors that its config.json does not know, 'vit.encoder.layer.1"),
        (("num_hidden_layers", 3), "lacks the tensor 'vit.encoder.layer.2"),
    ):
        (folder / "config.json").write_text(json.dumps(config | dict([change])))
        with pytest.raises(InputError, match=message):
            load_scorer(folder)
    (folder / "config.json").write_text(json.dumps(config))
    weights = folder / "model.safetensors"
    pickle = weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"only pytorch_model.bin, which is a pickle"):
        load_scorer(folder)
    pickle.rename(weights)
    resnet = {"model_type": "resnet", "architectures": ["ResNetForImageClassification"], **RESNET}
    for change, message in (
        (("downsample_in_bottleneck", True), "downsample_in_bottleneck or without ReLU is not supported"),
        (("depths", [1]), "has 1 depths and 2 hidden_sizes"),
        (("layer_type", "wide"), "no layer_type that is supported in .* 'wide' among basic, bottleneck"),
    ):
        (folder / "config.json").write_text(json.dumps(resnet | dict([change])))
        with pytest.raises(InputError, match=message):
            load_scorer(folder)
