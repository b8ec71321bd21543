"""Folders and LoRAs that current releases wrote (tests/assets/current/, by `torch_current --write`), and their numbers."""

import json
import shutil

import jax
import numpy as np
import pytest
from safetensors import safe_open

from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.checkpoints.safetensors_file import open_tensors, read_tensor
from cpi_jax.checkpoints.weights import to_torch
from cpi_jax.diffusion.checkpoint import load_checkpoint, save_checkpoint
from cpi_jax.diffusion.lora import lora_deltas
from cpi_jax.diffusion.lora_names import layer_name
from cpi_jax.diffusion.networks import build_networks, param_shapes
from cpi_jax.diffusion.part_configs import complete_configs
from cpi_jax.errors import InputError
from tests import mini
from tests.current import ASSETS, CAPTION, CONFIGS, digest

EXPECTED = dict(np.load(ASSETS / "expected.npz"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The folder with weights of UNet and autoencoder, which are too large to keep here."""
    folder = tmp_path_factory.mktemp("current")
    save_checkpoint(folder, mini.mini_networks(), mini.mini_params(), mini.SCHEDULER)
    shutil.copytree(ASSETS, folder, dirs_exist_ok=True)
    return folder


def test_a_folder_of_today_gives_pytorchs_text_embedding(checkpoint):
    with safe_open(ASSETS / "text_encoder" / "model.safetensors", "np") as tensors:
        assert not any(name.startswith("text_model.") for name in tensors.keys())  # noqa: SIM118  it is no dict
    assert not (ASSETS / "tokenizer" / "vocab.json").exists()
    read = load_checkpoint(checkpoint)
    networks, tokenizer = read.networks, read.tokenizer
    assert networks.latent_shape == (4, 4, 4) and networks.image_size == (8, 8)
    np.testing.assert_array_equal(tokenizer.padded(CAPTION, 32), EXPECTED["ids"][0])
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 13 and tokenizer.model_max_length == 32
    context = jax.jit(networks.encode_text)(read.params, EXPECTED["ids"]).context
    np.testing.assert_allclose(context, EXPECTED["context"], atol=1e-5)


def test_settings_in_each_of_their_spellings():
    unet, vae = CONFIGS["unet"], CONFIGS["vae"]

    def completed(of_vae=vae, **changes):
        return complete_configs(CONFIGS | {"unet": unet | changes, "vae": of_vae})["unet"]

    assert completed() == unet | mini.CONFIGS["unet"] | {"only_cross_attention": False}
    assert completed(sample_size=[4, 8])["sample_size"] == [4, 8]
    assert completed(vae | {"sample_size": 32})["sample_size"] == 16
    for changes, message in (
        ({"layers_per_block": [1, 2]}, r"layers_per_block = \[1, 2\], which must be a whole number"),
        ({"layers_per_block": [1]}, r"layers_per_block = \[1\], which must be"),
        ({"only_cross_attention": [True, True]}, "only_cross_attention = True, which is not supported"),
        (
            {"sample_size": [4, 4, 4]},
            r"sample_size = \[4, 4, 4\], which must be a whole .*, or two of them \(height, width\)",
        ),
        ({"reverse_transformer_layers_per_block": [[1], 1]}, "reverse_transformer_layers_per_block = .* not supported"),
    ):
        with pytest.raises(InputError, match=f"unet/config.json has {message}"):
            build_networks(CONFIGS | {"unet": unet | changes})
    with pytest.raises(InputError, match="sample_size = None, which must be"):
        build_networks(CONFIGS | {"vae": vae | {"sample_size": 5}})


def test_latents_that_are_no_square_and_a_unet_without_a_middle():
    networks = build_networks(CONFIGS | {"unet": CONFIGS["unet"] | {"sample_size": [4, 8], "mid_block_type": None}})
    assert networks.latent_shape == (4, 8, 4) and networks.image_size == (8, 16)
    shapes = param_shapes(networks)["unet"]
    assert shapes.keys() == mini.mini_params()["unet"].keys() - {"mid_block"}
    arguments = (shapes, np.zeros((1, 4, 8, 4), np.float32), np.zeros(1, np.int32), np.zeros((1, 3, 16), np.float32))
    assert jax.eval_shape(networks.denoise, *arguments).shape == (1, 4, 8, 4)


def test_numbers_of_eight_bits_are_converted():
    with open_tensors(ASSETS / "fp8.safetensors") as tensors:
        for name in ("e4m3", "e5m2"):
            found = read_tensor(tensors, name, ASSETS / "fp8.safetensors")
            np.testing.assert_array_equal(found.astype(np.float32), EXPECTED[name])
            assert found.itemsize == 1


def test_a_tokenizer_json_has_added_tokens_and_is_refused_where_its_rules_are_others(checkpoint, tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, folder)
    file = folder / "tokenizer" / "tokenizer.json"
    content = json.loads(file.read_text())

    def refused(message, **changes):
        file.write_text(json.dumps(content | changes))
        with pytest.raises(InputError, match=f"tokenizer/tokenizer.json {message}"):
            load_checkpoint(folder)

    words = content["model"]["vocab"]
    toy = [  # as textual inversion adds a word of two vectors
        {**content["added_tokens"][0], "id": len(words) + n, "content": token, "special": False}
        for n, token in enumerate(("<toy>", "<toy>_1"))
    ]
    more = [*content["added_tokens"], *toy]
    file.write_text(json.dumps(content | {"added_tokens": more}))
    assert read_tokenizer(file.parent).encode("1 <toy> red", add_special_tokens=False) == [
        0,
        len(words),
        len(words) + 1,
        1,
    ]
    refused("has other rules than CLIP's tokenizer: it reads", normalizer=None)
    refused("holds no tokens and pairs of them", model={"type": "WordLevel", "vocab": words})
    refused("holds no tokens and pairs of them", model=content["model"] | {"merges": [["a"]]})
    refused(
        "makes 0 of the 18 words of its vocabulary, not 'red</w>' for one: it is cut",
        model=content["model"] | {"merges": []},
    )
    refused("gives 'red</w>' the id -1", model=content["model"] | {"vocab": words | {"red</w>": -1}})
    refused("is not a tokenizer that can be read", pre_tokenizer={"type": "None"})
    refused(
        "has no '<.endoftext.>', which is the eos_token",
        added_tokens=[],
        model=content["model"]
        | {"vocab": {word: n for word, n in words.items() if "endoftext" not in word}, "unk_token": None},
    )


def products(lora):
    """What LoRAs add: digests by "part layer", without the text encoder's prefix."""
    networks = build_networks(CONFIGS)
    deltas = lora_deltas(lora, param_shapes(networks))
    return {
        f"{part} {layer_name(path).removeprefix('text_model.')}": digest(to_torch(path, added()))
        for part, layers in deltas.items()
        for path, added in layers.items()
    }


def of_part(part, factor=1.0):
    return {name: factor * value for name, value in EXPECTED.items() if name.startswith(f"{part} ")}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)


def test_loras_of_today_alone_and_together():
    unet, text = str(ASSETS / "lora_unet"), str(ASSETS / "lora_text")
    same(
        products(unet), of_part("unet")
    )  # ranks and alphas by layer, over the root of the rank; names without the part
    same(products(text), of_part("text_encoder"))  # names without "text_model."
    same(products(f"{unet}:0.5, {text}"), of_part("unet", 0.5) | of_part("text_encoder"))
    same(products([unet, f"{text}:-1", f"{unet}:0.25"]), of_part("unet", 1.25) | of_part("text_encoder", -1))
    with pytest.raises(InputError, match=r"there is no LoRA at .*none; write .* and several parted by commas"):
        products(f"{unet},none")
    with pytest.raises(InputError, match="the path is empty"):
        products(f"{unet},")


CHANGED = {
    'init_lora_weights = "pissa_niter_4", which is not supported: such an adapter belongs to a changed base': {
        "init_lora_weights": "pissa_niter_4"
    },
    'init_lora_weights = "lora_ga"': {"init_lora_weights": "lora_ga"},
    "use_dora = true": {"use_dora": True},
    'bias = "all"': {"bias": "all"},
    'modules_to_save = ."conv_in".': {"modules_to_save": ["conv_in"]},
    "trainable_token_indices = .3.": {"trainable_token_indices": [3]},
    "alora_invocation_tokens = .1.": {"alora_invocation_tokens": [1]},
    'peft_type = "LOHA"': {"peft_type": "LOHA"},
    "use_something_new = 1": {"use_something_new": 1},
}


def test_settings_that_change_the_weights_otherwise_are_refused(tmp_path):
    folder = tmp_path / "lora"
    shutil.copytree(ASSETS / "lora_text", folder)
    config = json.loads((folder / "adapter_config.json").read_text())

    def with_settings(**changes):
        (folder / "adapter_config.json").write_text(json.dumps(config | changes))
        return products(str(folder))

    for message, changes in CHANGED.items():
        with pytest.raises(InputError, match=f"adapter_config.json sets {message}"):
            with_settings(**changes)
    for changes, message in (
        ({"lora_alpha": "5"}, "lora_alpha = '5', which must be a number"),
        ({"alpha_pattern": {"fc1": None}}, "alpha_pattern = {'fc1': None}, which must give numbers by layer"),
        ({"alpha_pattern": {"(": 1}}, r"an alpha_pattern that is no regular expression, '\('"),
        ({"use_rslora": "yes"}, "use_rslora = 'yes', which must be true or false"),
    ):
        with pytest.raises(InputError, match=f"adapter_config.json has {message}"):
            with_settings(**changes)
    for init in (False, "gaussian", "eva", "orthogonal"):
        same(with_settings(init_lora_weights=init, use_something_new=None), of_part("text_encoder"))
    name = "text_encoder encoder.layers.0.mlp.fc1"
    same({name: with_settings(alpha_pattern={r"mlp\.fc1": 10})[name]}, {name: 2 * EXPECTED[name]})
    shutil.copy(ASSETS / "lora_unet" / "pytorch_lora_weights.safetensors", folder)
    with pytest.raises(InputError, match=r"lora holds adapter_model.* and pytorch_lora.*: name the LoRA's file"):
        products(str(folder))
