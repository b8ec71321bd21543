import json

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from cpi_jax.checkpoints.weights import to_torch, torch_name
from cpi_jax.diffusion.lora import lora_deltas
from cpi_jax.errors import InputError
from tests.mini import mini_params

QUERY = ("unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q")
OUT = ("unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0")
CONV = ("unet", "down_blocks.0.resnets.0.conv1")
TEXT = ("text_encoder", "text_model.encoder.layers.0.self_attn.q_proj")
SHAPES = {QUERY: (32, 32), OUT: (32, 32), CONV: (32, 32, 3, 3), TEXT: (16, 16)}  # of the miniature's weights
RNG = np.random.default_rng(0)
RANK = 2


def matrices(layer):
    shape = SHAPES[layer]
    down = RNG.normal(size=(RANK, *shape[1:])).astype(np.float32)
    up = RNG.normal(size=(shape[0], RANK, *(1 for _ in shape[2:]))).astype(np.float32)
    return down, up


FACTORS = {layer: matrices(layer) for layer in SHAPES}


def expected(layer, scale):
    down, up = FACTORS[layer]
    product = np.einsum("or,r...->o...", up.reshape(len(up), RANK), down)
    return scale * product


def kohya(layer, alpha=1.0):
    part, name = layer
    prefix = f"lora_{'unet' if part == 'unet' else 'te'}_{name.replace('.', '_')}"
    down, up = FACTORS[layer]
    return {
        f"{prefix}.lora_down.weight": down,
        f"{prefix}.lora_up.weight": up,
        f"{prefix}.alpha": np.array(alpha, np.float32),
    }


def peft(layer, form="{part}.{name}"):
    prefix = form.format(part=layer[0], name=layer[1])
    return {f"{prefix}.lora_A.weight": FACTORS[layer][0], f"{prefix}.lora_B.weight": FACTORS[layer][1]}


def added(deltas, layer):
    """What is added to a layer, in PyTorch's layout."""
    part, name = layer
    (key,) = (key for key in flatten_dict(mini_params()[part]) if torch_name(key) == f"{name}.weight")
    return to_torch(key, deltas[part][key]())


def shapes():
    return jax.eval_shape(mini_params)


def test_kohyas_names_with_alpha_and_convolutions(tmp_path):
    layers = (QUERY, OUT, CONV, TEXT)
    save_file({k: v for layer in layers for k, v in kohya(layer).items()}, tmp_path / "a.safetensors")
    deltas = lora_deltas(f"{tmp_path / 'a.safetensors'}:0.5", shapes())
    for layer in layers:
        np.testing.assert_allclose(added(deltas, layer), expected(layer, 0.5 * 1.0 / RANK), rtol=1e-5, atol=1e-6)
    assert {part: len(found) for part, found in deltas.items()} == {"unet": 3, "text_encoder": 1, "vae": 0}


@pytest.mark.parametrize("form", ["{part}.{name}", "base_model.model.{part}.{name}", "base_model.model.{name}"])
def test_pefts_names(tmp_path, form):
    save_file(peft(QUERY, form) | peft(TEXT, form), tmp_path / "a.safetensors")
    deltas = lora_deltas(str(tmp_path / "a.safetensors"), shapes())
    for layer in (QUERY, TEXT):
        np.testing.assert_allclose(added(deltas, layer), expected(layer, 1.0), rtol=1e-5, atol=1e-6)


def test_pefts_folder_and_diffusers_metadata_say_alpha(tmp_path):
    save_file(peft(QUERY), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 6, "r": RANK}))
    np.testing.assert_allclose(
        added(lora_deltas(f"{tmp_path}:2", shapes()), QUERY), expected(QUERY, 2 * 6 / RANK), rtol=1e-5, atol=1e-5
    )
    metadata = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 6, "unet.r": RANK})}
    save_file(peft(QUERY), tmp_path / "b.safetensors", metadata=metadata)
    found = lora_deltas(str(tmp_path / "b.safetensors"), shapes())
    np.testing.assert_allclose(added(found, QUERY), expected(QUERY, 6 / RANK), rtol=1e-5, atol=1e-5)


def test_diffusers_older_names(tmp_path):
    attention = QUERY[1].removesuffix(".to_q")
    save_file(
        {
            f"unet.{attention}.processor.to_q_lora.down.weight": FACTORS[QUERY][0],
            f"unet.{attention}.processor.to_q_lora.up.weight": FACTORS[QUERY][1],
            f"unet.{attention}.processor.to_out_lora.down.weight": FACTORS[OUT][0],
            f"unet.{attention}.processor.to_out_lora.up.weight": FACTORS[OUT][1],
            f"text_encoder.{TEXT[1]}.lora_linear_layer.down.weight": FACTORS[TEXT][0],
            f"text_encoder.{TEXT[1]}.lora_linear_layer.up.weight": FACTORS[TEXT][1],
        },
        tmp_path / "a.safetensors",
    )
    save_file(  # older still: UNet-only files without a prefix, the text encoder's layers under the UNet's names
        {
            f"{attention}.processor.to_q_lora.down.weight": FACTORS[QUERY][0],
            f"{attention}.processor.to_q_lora.up.weight": FACTORS[QUERY][1],
            f"{attention}.to_out.0.lora.down.weight": FACTORS[OUT][0],
            f"{attention}.to_out.0.lora.up.weight": FACTORS[OUT][1],
            f"text_encoder.{TEXT[1].replace('q_proj', 'to_q_lora')}.down.weight": FACTORS[TEXT][0],
            f"text_encoder.{TEXT[1].replace('q_proj', 'to_q_lora')}.up.weight": FACTORS[TEXT][1],
        },
        tmp_path / "b.safetensors",
    )
    for name in ("a.safetensors", "b.safetensors"):
        deltas = lora_deltas(str(tmp_path / name), shapes())
        for layer in (QUERY, OUT, TEXT):
            np.testing.assert_allclose(added(deltas, layer), expected(layer, 1.0), rtol=1e-5, atol=1e-6)


def wider(tensors):
    return {name: np.repeat(value, 2, -1) if "lora_down" in name else value for name, value in tensors.items()}


BAD = {
    "no layer 'down_blocks_9": {k.replace("blocks_1", "blocks_9"): v for k, v in kohya(QUERY).items()},
    "for another base: 'down_blocks": wider(kohya(QUERY)),
    "an SDXL LoRA": {k.replace("lora_te_", "lora_te2_"): v for k, v in kohya(TEXT).items()},
    "of the kind LoHa": {"lora_unet_conv_in.hada_w1_a": np.zeros((2, 2), np.float32)},
    "of the kind DoRA": kohya(QUERY) | {"lora_unet_conv_in.dora_scale": np.zeros(2, np.float32)},
    "'conv_in.weight', which is no name": {"conv_in.weight": np.zeros(2, np.float32)},
    "lacks one of the two matrices": {k: v for k, v in kohya(QUERY).items() if "lora_up" not in k},
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_not_for_this_checkpoint_is_refused(tmp_path, message):
    save_file(BAD[message], tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=message):
        lora_deltas(str(tmp_path / "a.safetensors"), shapes())


def test_only_safetensors_are_read(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"pickle")
    with pytest.raises(InputError, match=r"a.pt is not a safetensors file"):
        lora_deltas(f"{tmp_path / 'a.pt'}:0.8", shapes())
    save_file(peft(QUERY), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(InputError, match=r"adapter_config.json is not valid JSON"):
        lora_deltas(str(tmp_path), shapes())
    with pytest.raises(InputError, match="a finite number, not nan"):
        lora_deltas(f"{tmp_path}:nan", shapes())
    with pytest.raises(InputError, match="there is no LoRA at"):
        lora_deltas(f"{tmp_path / 'b.safetensors'}:0.8", shapes())
