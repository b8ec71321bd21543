"""SDXL's second text encoder, told sizes and folder, on a miniature; tests/golden.py has PyTorch's numbers."""

import json
import re
import shutil
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cpi_jax.diffusion.checkpoint import load_checkpoint, load_generator, save_checkpoint
from cpi_jax.diffusion.networks import EmbeddedCaptions, size_ids
from cpi_jax.errors import InputError
from cpi_jax.training.vocabulary import write_tokenizer
from tests.diffusion.test_checkpoint import Hub
from tests.mini import SCHEDULER, mini_networks, mini_params, write_mini_xl
from tests.training.test_finetune import WORDS, same, weights
from tests.training.test_finetune import train as finetune

pytestmark = pytest.mark.slow

PARTS = ("text_encoder", "text_encoder_2", "unet", "vae")
UNET, SECOND, INDEX = "unet/config.json", "text_encoder_2/config.json", "model_index.json"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xl")
    write_mini_xl(folder, WORDS)
    return folder


@pytest.fixture
def folder(base, tmp_path):
    return shutil.copytree(base, tmp_path / "xl")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A checkpoint of Stable Diffusion 1.x."""
    folder = tmp_path_factory.mktemp("sd")
    save_checkpoint(folder, mini_networks(), mini_params(), SCHEDULER)
    write_tokenizer(WORDS, folder / "tokenizer", 32)
    return folder


def test_the_second_encoder_reads_its_own_padding_and_the_empty_prompt_is_zero(base):
    checkpoint = load_checkpoint(base)
    networks, params = checkpoint.networks, checkpoint.params
    assert networks.configs["text_encoder_2"]["pad_token_id"] == 0 and checkpoint.tokenizer.pad_token_id == 13
    ids = np.full((2, 32), 13)
    ids[:, 0], ids[0, 1:4] = 12, (0, 2, 0)  # BOS, "a red a", EOS; BOS, EOS
    other = ids.copy()
    other[0, 5:], other[1, 2:] = 0, 0  # behind the EOS
    both: list[Any] = [
        module.apply({"params": params[part]}, jnp.asarray(rows), 1)  # without the last layer
        for (part, module), rows in zip(networks.text_encoders.items(), (ids, other))
    ]
    context = np.concatenate([encoded.hidden for encoded in both], axis=-1)
    assert json.loads((base / INDEX).read_text())["force_zeros_for_empty_prompt"]
    for zeros in (True, False):
        networks.configs["pipeline"]["force_zeros_for_empty_prompt"] = zeros
        found = networks.encode_text(params, jnp.asarray(ids))
        assert found.pooled is not None
        said = np.array([[1.0], [not zeros]])
        np.testing.assert_allclose(found.context, context * said[..., None], atol=1e-5)
        np.testing.assert_allclose(found.pooled, both[1].pooled * said, atol=1e-5)


def test_sizes_are_told_as_by_diffusers(base):
    generator, _ = load_generator(base, steps=2, guidance_scale=1.0)
    assert generator.params.time_ids.tolist() == [8, 8, 0, 0, 8, 8]  # the size that is made, and no crop
    told: dict[str, Any] = {"original_size": (20, 10), "crop": (1, 2), "target_size": (6, 4)}
    other, _ = load_generator(base, steps=2, guidance_scale=1.0, height=12, width=16, **told)
    assert other.params.time_ids.tolist() == [20, 10, 1, 2, 6, 4] and other.apply.latent_shape == (6, 8, 4)
    assert size_ids(12, 16).tolist() == [12, 16, 0, 0, 12, 16]
    captions = EmbeddedCaptions(jnp.zeros((3, 32, 24)), jnp.zeros((3, 6)))
    added = other.apply.networks.added_conditions(captions)
    assert added.time_ids.tolist() == [[8, 8, 0, 0, 8, 8]] * 3  # in training
    assert other.name != generator.name


def test_finetuning_moves_unet_and_both_encoders(base, tmp_path):
    export = finetune(base, tmp_path, trained="unet+text_encoder", num_steps=2)
    for part in PARTS:
        assert same(weights(export, part), weights(base, part)) == (part == "vae"), part
    read = load_checkpoint(export)
    assert read.networks.is_told_sizes and read.networks.configs["text_encoder_2"]["pad_token_id"] == 0


def edited(file, **changes):
    def edit(folder):
        content = json.loads((folder / file).read_text()) | changes
        (folder / file).write_text(json.dumps(content))

    return edit


def without_a_tensor(folder):
    path = folder / "text_encoder_2" / "model.safetensors"
    save_file({name: x for name, x in load_file(path).items() if name != "text_projection.weight"}, path)


def of_other_words(folder):
    path = folder / "tokenizer_2" / "vocab.json"
    words = json.loads(path.read_text())
    words["red</w>"], words["blue</w>"] = words["blue</w>"], words["red</w>"]
    path.write_text(json.dumps(words))


REFINER = "this is SDXL's refiner, which goes on from another checkpoint's pictures"
REFUSED = {
    "lacks the tensor 'text_projection.weight'": without_a_tensor,
    "must be the same but for their padding, and they differ in their vocabularies": of_other_words,
    "they differ in model_max_length": edited("tokenizer_2/tokenizer_config.json", model_max_length=77),
    "has projection_class_embeddings_input_dim = 20, which must be": edited(
        UNET, projection_class_embeddings_input_dim=20
    ),
    "has addition_time_embed_dim = None, which must be a whole number from 1 to 65,536 in SDXL": edited(
        UNET, addition_time_embed_dim=None
    ),
    "the two text encoders together give 24 numbers a token .hidden_size. and the UNet takes 16": edited(
        UNET, cross_attention_dim=16
    ),
    "read 32 and 16 tokens": edited(SECOND, max_position_embeddings=16),
    "force_zeros_for_empty_prompt = 'yes', which must be true or false": edited(
        INDEX, force_zeros_for_empty_prompt="yes"
    ),
    f"xl: {REFINER}": lambda folder: shutil.rmtree(folder / "text_encoder"),
    f"xl: {REFINER}.*: name the base checkpoint": edited(INDEX, requires_aesthetics_score=True),
    f"xl: .*{REFINER}": edited(UNET, projection_class_embeddings_input_dim=16),
    "the checkpoint has no tokenizer_2/vocab.json": lambda folder: (folder / "tokenizer_2" / "vocab.json").unlink(),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_sdxl_is_refused(folder, message):
    REFUSED[message](folder)
    with pytest.raises(InputError, match=message):
        load_generator(folder)


SETTINGS = {
    "sampler.height must be a multiple of 2 for this checkpoint, not 7; its own size is 8 x 8": {"height": 7},
    "sampler.clip_skip must be at most 1 for this checkpoint, the layers that can be left out": {"clip_skip": 2},
    "sampler.negative has 34 tokens, and the text encoder reads 32: shorten it": {"negative": "a " * 32},
    "sampler.negative: the generator's vocabulary does not have 'ugly'": {"negative": "ugly"},
    "sampler.negative holds only blanks": {"negative": " "},
    "sampler.negative changes nothing without guidance: set sampler.guidance_scale": {
        "negative": "red", "guidance_scale": 1.0,
    },
    "sampler.guidance_rescale changes nothing without guidance": {"guidance_rescale": 0.7, "guidance_scale": 1.0},
    "sampler.guidance_rescale must lie between 0 and 1, not 7": {"guidance_rescale": 7},
    r"sampler.crop must be two numbers of pixels, \(top, left\), not \(3,\)": {"crop": (3,)},
    r"sampler.original_size must be two numbers of pixels, \(height, width\), not \(3,\)": {"original_size": (3,)},
    "not 'float16'; an autoencoder can exceed what float16 can say": {"dtype": "float16"},
}  # fmt: skip


def test_settings_that_cannot_be_are_refused_before_weights_are_read(folder, plain):
    for part in PARTS:
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
    for message, settings in SETTINGS.items():
        with pytest.raises(InputError, match=message):
            load_generator(folder, **settings)
    with pytest.raises(InputError, match="crop is what SDXL's UNet is told, and this checkpoint's is told no sizes"):
        load_generator(plain, crop=(0, 1))
    with pytest.raises(InputError, match="clip_skip must be at most 1 for this checkpoint"):
        load_generator(plain, clip_skip=2)
    with pytest.raises(InputError, match=re.escape("multiple of 4 for this checkpoint, not 10")):
        load_generator(plain, width=10)


def test_a_repository_has_both_encoders_and_a_refiner_is_refused_before_its_weights(folder, tmp_path, monkeypatch):
    own = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub = Hub(monkeypatch, tmp_path / "cache", own)
    load_generator("hub:someone/xl")
    assert (
        {*hub.asked[1][2]} == {*own} and "text_encoder_2/model.safetensors" in own and "tokenizer_2/merges.txt" in own
    )
    refiner = {"_class_name": "StableDiffusionXLImg2ImgPipeline", "text_encoder": [None, None]}
    hub = Hub(monkeypatch, tmp_path / "refiner", own | {INDEX: json.dumps(refiner).encode()})
    with pytest.raises(InputError, match=f"^hub:someone/refiner: {REFINER}"):
        load_generator("hub:someone/refiner")
    assert len(hub.asked) == 1


def test_a_negative_prompt_takes_the_place_of_the_empty_one(plain):
    generator, tokenizer = load_generator(plain, negative="blue hat", steps=2)
    words = tokenizer.encode("blue hat", add_special_tokens=False)
    assert generator.params.unconditional.tolist()[:5] == [12, *words, 13, 13]


def test_loras_of_the_other_kind_are_refused(base, plain, tmp_path):
    attention = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    down, up = np.ones((2, 16), np.float32), np.ones((32, 2), np.float32)
    of_sd = {f"lora_unet_{attention}.lora_down.weight": down, f"lora_unet_{attention}.lora_up.weight": up}
    middle = "mid_block_attentions_0_transformer_blocks_1_attn2_to_k"
    of_xl = {f"lora_unet_{middle}.lora_down.weight": np.ones((2, 24), np.float32)}
    of_xl[f"lora_unet_{middle}.lora_up.weight"] = up
    for checkpoint, tensors in ((base, of_sd), (plain, of_xl)):
        save_file(tensors, tmp_path / "lora.safetensors")
        with pytest.raises(InputError, match=r"lora.safetensors is a LoRA for another base: .*unet.* has no layer"):
            load_generator(checkpoint, lora=str(tmp_path / "lora.safetensors"))
