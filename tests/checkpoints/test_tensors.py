import json

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax.serialization import msgpack_serialize
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save_file

from cpi_jax.checkpoints.params_file import FILE, read_facts, write_params
from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.checkpoints.torch_file import read_state_dict
from cpi_jax.checkpoints.weights import read_params, to_torch, torch_name
from cpi_jax.classifiers.efficientnet import load_efficientnet
from cpi_jax.classifiers.flax_module import load_flax
from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.classifiers.preprocessing import Preprocessing
from cpi_jax.classifiers.scorer import load_resnet
from cpi_jax.diffusion.checkpoint import save_checkpoint
from cpi_jax.diffusion.lora import lora_deltas
from cpi_jax.errors import InputError
from tests.classifiers.test_efficientnet import write_old_file
from tests.mini import SCHEDULER, mini_networks, mini_params

KEY = ("conv_in", "bias")
DOWN = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
NAN = r"holds NaN or infinite numbers \(1 of \d+\)"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, jnp.bfloat16])
def test_numbers_keep_their_value_or_are_refused(dtype):
    most = float(jnp.finfo(dtype).max)
    np.testing.assert_array_equal(as_weights(np.array([-most, 0.5]), dtype, "a", "b"), np.array([-most, 0.5], dtype))
    with pytest.raises(InputError, match=f"a: 'b' holds .*, which is beyond the range of {jnp.dtype(dtype).name}"):
        as_weights(np.array([1.0, -2 * most]), dtype, "a", "b")
    for bad in (np.nan, np.inf):
        with pytest.raises(InputError, match=r"a: 'b' holds NaN or infinite numbers \(1 of 2\)"):
            as_weights(np.array([1.0, bad], dtype), dtype, "a", "b")
    for other in (np.ones(2, np.int8), np.ones(2, bool), np.ones(2, np.complex64), np.array("text")):
        with pytest.raises(InputError, match="weights are floating-point numbers"):
            as_weights(other, dtype, "a", "b")


def unet_with(change):
    flat = dict(flatten_dict(mini_params()["unet"]))
    flat[KEY] = change(np.array(flat[KEY]))
    return flat


def one_nan(value):
    value = np.array(value)
    value.flat[0] = np.nan
    return value


def test_every_door_of_a_checkpoint(tmp_path):
    shapes = mini_params()["unet"]

    def read(flat):
        tensors = {torch_name(key): to_torch(key, np.asarray(value)) for key, value in flat.items()}
        save_file(tensors, tmp_path / "diffusion_pytorch_model.safetensors")
        return read_params(tmp_path, shapes)

    assert read(unet_with(lambda x: x))["conv_in"]["bias"].shape == (32,)
    with pytest.raises(InputError, match=f"model.safetensors: 'conv_in.bias' {NAN}"):
        read(unet_with(one_nan))
    with pytest.raises(InputError, match=r"'conv_in.bias' holds 1e.300, which is beyond the range of float32"):
        read(unet_with(lambda x: x.astype(np.float64) + 1e300))
    with pytest.raises(InputError, match=r"'conv_in.bias' holds int8, and weights are floating-point"):
        read(unet_with(lambda x: x.astype(np.int8)))
    with pytest.raises(InputError, match="holds nothing but zeros: its weights were never written"):
        read({key: np.zeros_like(value) for key, value in unet_with(one_nan).items()})
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    halves = {key: np.asarray(value) for key, value in unet_with(one_nan).items()}
    (tmp_path / "diffusion_flax_model.msgpack").write_bytes(msgpack_serialize(unflatten_dict(halves)))
    with pytest.raises(InputError, match=f"model.msgpack: 'conv_in.bias' {NAN}"):
        read_params(tmp_path, shapes)
    for content in (b"", b"\x93\x01\x02\x03", b"\x81\xa1a\x01", b"\x81\x01\x02"):
        (tmp_path / "diffusion_flax_model.msgpack").write_bytes(content)
        with pytest.raises(InputError, match=r"diffusion_flax_model.msgpack (lacks|is not a readable)"):
            read_params(tmp_path, shapes)


def test_a_lora_of_no_numbers_or_of_too_large_ones(tmp_path):
    name, file = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", tmp_path / "a.safetensors"
    down, up, shapes = np.ones((2, 16), np.float32), np.ones((32, 2), np.float32), {"unet": mini_params()["unet"]}

    def deltas(down, up, **more):
        extra = {f"{name}.alpha": value for value in more.values()}
        save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up, **extra}, file)
        return lora_deltas(str(file), shapes)["unet"]

    for which, matrices in {"A": (one_nan(down), up), "B": (down, one_nan(up))}.items():
        with pytest.raises(InputError, match=f"a.safetensors: '.*to_k.lora_{which}.weight' {NAN}"):
            deltas(*matrices)
    with pytest.raises(InputError, match="holds int8, and weights"):
        deltas(down.astype(np.int8), up)
    with pytest.raises(InputError, match=r"alpha' has shape \(3,\) and must be one number"):
        deltas(down, up, alpha=np.ones(3, np.float32))
    with pytest.raises(InputError, match=r"lora_A.weight' has shape \(0, 16\) and must be a matrix"):
        deltas(down[:0], up)
    with pytest.raises(InputError, match=r"lora_A.weight' has shape \(16,\) and must be a matrix"):
        deltas(down[0], up)
    with pytest.raises(
        InputError, match=r"two matrices of 'down_blocks.* do not fit each other: \(32, 2\) and \(1, 16\)"
    ):
        deltas(down[:1], up)
    with pytest.raises(InputError, match="adds nothing: it has no layer both of whose matrices"):
        deltas(down, 0 * up)
    (add,) = deltas(down, up, alpha=np.array(4)).values()
    np.testing.assert_allclose(add(), np.full((16, 32), 4.0))  # alpha / rank * 2
    large = deltas(down * np.float32(1e30), up * np.float32(1e30))
    flat = {torch_name(k): to_torch(k, np.asarray(v)) for k, v in unet_with(lambda x: x).items()}
    save_file(flat, tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(
        InputError, match=r"and its LoRA: .*attn2.to_k.weight' holds NaN or infinite numbers \(512 of 512\)"
    ):
        read_params(tmp_path, shapes["unet"], add=large)


def test_what_is_written_keeps_its_value_or_is_refused(tmp_path):
    params = {**mini_params(), "unet": unflatten_dict(unet_with(lambda x: x + 7e4))}
    with pytest.raises(InputError, match=r"unet/.*'conv_in.bias' holds 7e.04, which is beyond the range of float16"):
        save_checkpoint(tmp_path / "export", mini_networks(), params, SCHEDULER)
    assert not (tmp_path / "export").exists()
    with pytest.raises(InputError, match=r"'head/bias' holds 1e.05, which is beyond the range of float16"):
        write_params(tmp_path / "classifier", {"head": {"bias": np.full(3, 1e5)}}, np.float16)
    assert not (tmp_path / "classifier").exists()


def save_exponents(file, name):
    """A tensor of four exponents without a number to them, which numpy does not have, in a safetensors file."""
    header = json.dumps({name: {"dtype": "F8_E8M0", "shape": [2, 2], "data_offsets": [0, 4]}}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"0000")


def test_a_lora_of_another_type_is_refused(tmp_path):
    save_exponents(tmp_path / "lora.safetensors", DOWN)
    with pytest.raises(InputError, match=f"lora.safetensors: '{DOWN}' cannot be read"):
        lora_deltas(str(tmp_path / "lora.safetensors"), {"unet": mini_params()["unet"]})


def test_every_door_of_a_classifier(tmp_path):
    write_params(tmp_path, {"stem": {"bias": np.ones(2)}}, np.float32)
    save_file({"stem/bias": np.array([1, np.nan], np.float32)}, tmp_path / FILE)
    for load in (load_resnet, load_efficientnet):
        with pytest.raises(InputError, match=f"{FILE}: 'stem/bias' {NAN}"):
            load(tmp_path)
    save_file({"stem": np.ones(1, np.float32), "stem/bias": np.ones(1, np.float32)}, tmp_path / FILE)
    with pytest.raises(InputError, match=f"{FILE} holds 'stem' beside 'stem/bias', which no network has"):
        load_resnet(tmp_path)
    (tmp_path / FILE).write_bytes(b"damaged")
    for load in (load_resnet, load_efficientnet, load_scorer):
        with pytest.raises(InputError, match=f"{FILE} is not a readable safetensors file"):
            load(tmp_path)
    save_exponents(tmp_path / FILE, "stem/bias")
    with pytest.raises(InputError, match=f"{FILE}: 'stem/bias' cannot be read"):
        load_resnet(tmp_path)
    for facts, message in (
        ({"outputs": "red, blue"}, "outputs = 'red, blue' beside its weights, which must be a JSON list"),
        ({"outputs": "[1]"}, "outputs = '.1.' beside"),
        ({"image_size": "64px"}, "image_size = '64px' beside its weights, which must be a whole number"),
    ):
        write_params(tmp_path, {"stem": np.ones(1)}, np.float32, facts)
        with pytest.raises(InputError, match=message):
            read_facts(tmp_path)
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "orbax", {"params": {"kernel": np.full((3, 2), np.nan), "bias": np.zeros(2)}})
    with pytest.raises(InputError, match=r"orbax: 'params/kernel' holds NaN or infinite numbers \(6 of 6\)"):
        load_flax("flax.linen:Dense", tmp_path / "orbax", {"features": 2}, Preprocessing())
    write_old_file(tmp_path / "a.pth", {"w": (np.array([1, np.nan], np.float32), 0, (2,), (1,))})
    with pytest.raises(InputError, match=f"a.pth: 'w' {NAN}"):
        read_state_dict(tmp_path / "a.pth")
