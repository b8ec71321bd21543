import json

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

from cpi_jax.diffusion.checkpoint import load_generator, save_checkpoint, torch_name
from cpi_jax.training.vocabulary import write_tokenizer
from tests.mini import SCHEDULER, mini_networks, mini_params
from tests.words import WORDS


@pytest.fixture
def folder(tmp_path):
    networks = mini_networks()
    write_tokenizer(WORDS, tmp_path / "tokenizer", 32)
    save_checkpoint(tmp_path, networks, mini_params(), SCHEDULER)
    return tmp_path


def test_what_was_written_is_read_back(folder):
    generator, tokenizer = load_generator(folder)
    expected = jax.tree.map(lambda x: np.asarray(x, np.float16).astype(np.float32), mini_params())
    jax.tree.map(np.testing.assert_array_equal, dict(generator.params.networks), dict(expected))
    assert tokenizer.encode("1 red circle", add_special_tokens=False) == [0, 1, 4]
    np.testing.assert_array_equal(generator.params.unconditional[:4], [12, 13, 13, 13])


def test_weights_have_pytorch_diffusers_names_and_layout(folder):
    unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert unet["conv_in.weight"].shape == (32, 4, 3, 3)
    assert unet["down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0.weight"].shape == (32, 32)
    assert unet["mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight"].shape == (256, 32)
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    assert {"encoder.mid_block.attentions.0.to_q.weight", "quant_conv.weight"} <= set(vae)
    text = load_file(folder / "text_encoder" / "model.safetensors")
    assert text["text_model.encoder.layers.0.self_attn.q_proj.weight"].dtype == np.float16
    kernel = mini_params()["unet"]["conv_in"]["kernel"]
    np.testing.assert_allclose(unet["conv_in.weight"][1, 2], np.asarray(kernel)[:, :, 2, 1], atol=1e-3)


def test_names_are_one_to_one():
    for part in mini_params().values():
        names = [torch_name(key) for key in flatten_dict(part)]
        assert len(set(names)) == len(names)


def edit_tensors(path, edit):
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    "part", ["vae/config.json", "unet/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"]
)
def test_a_missing_part_is_named(folder, part):
    (folder / part).unlink()
    with pytest.raises(ValueError, match=f"the checkpoint has no {part}"):
        load_generator(folder)


def test_a_missing_or_misshapen_tensor_is_named(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    edit_tensors(path, lambda t: t.update({"conv_in.bias": np.zeros(7, np.float16)}))
    with pytest.raises(ValueError, match=r"'conv_in.bias' has shape \(7,\)"):
        load_generator(folder)
    edit_tensors(path, lambda t: t.pop("conv_in.bias"))
    with pytest.raises(ValueError, match=r"lacks the tensor 'conv_in.bias'"):
        load_generator(folder)
    path.write_bytes(b"not tensors")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_generator(folder)


def test_an_unsupported_scheduler_is_refused(folder):
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(SCHEDULER | {"prediction_type": "sample"}))
    with pytest.raises(ValueError, match="prediction_type 'sample'"):
        load_generator(folder)
