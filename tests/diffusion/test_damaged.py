"""Every file of a checkpoint folder, damaged: one sentence that names the file, before anything is built."""

import json

import pytest

from cpi_jax.diffusion.checkpoint import load_checkpoint, load_tokenizer, save_checkpoint
from cpi_jax.errors import InputError
from cpi_jax.training.vocabulary import write_tokenizer
from tests.mini import SCHEDULER, mini_networks, mini_params
from tests.words import WORDS

JSON = (
    "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json", "tokenizer/vocab.json",
    "tokenizer/tokenizer_config.json", "tokenizer/special_tokens_map.json", "unet/config.json", "vae/config.json",
)  # fmt: skip
NOT_AN_OBJECT = (
    b"",
    b'{"a": 1',
    bytes(range(256)),
    b"\xe9{}",
    b"\xff\xfe{\x00}\x00",
    b"[]",
    b"3",
    b"null",
    b'"text"',
    b"[" * 9999,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    write_tokenizer(WORDS, folder / "tokenizer", 32)
    save_checkpoint(folder, mini_networks(), mini_params(), SCHEDULER)
    (folder / "tokenizer" / "special_tokens_map.json").write_text('{"bos_token": "<|startoftext|>"}')
    return folder


@pytest.fixture
def damage(folder):
    """Writes a file anew, for the time of the test."""
    kept = {}

    def write(file, content):
        path = folder / file
        kept.setdefault(path, path.read_bytes())
        if isinstance(content, dict):
            content = {k: v for k, v in (json.loads(kept[path]) | content).items() if v != "missing"}
            path.write_text(json.dumps(content))
        else:
            path.write_bytes(content)
        return folder

    yield write
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.mark.parametrize("file", JSON)
def test_what_is_no_json_object(damage, file):
    for content in NOT_AN_OBJECT:
        with pytest.raises(
            InputError, match=rf"{file} (is not valid JSON|must hold a JSON object, \{{...\}}, and holds)"
        ):
            load_checkpoint(damage(file, content))


FIELDS = {
    "text_encoder/config.json": {
        "hidden_size": ("missing", None, "64", 0, -1, 2.5, [16], True, 10**12),
        "max_position_embeddings": ("missing", None, 2),
        "num_hidden_layers": (None, "1", 0, 10**12),
        "num_attention_heads": (3, 0, [2]),
        "vocab_size": ("missing", "14", -1),
        "hidden_act": (None, 3, "relu"),
        "layer_norm_eps": ("small", 0, float("nan")),
    },
    "unet/config.json": {
        "block_out_channels": ("missing", None, "64", 64, [], [32, "32"], [32, -32], [32], [40, 32], {}, [[32, 32]]),
        "down_block_types": ("missing", None, "DownBlock2D", [], [1, 2], ["DownBlock2D"]),
        "sample_size": ("4", 0, 10**6, [4], [4, 0]),
        "attention_head_dim": (None, "2", 0, [2], [2, 5], -2),
        "cross_attention_dim": ("missing", None, [16], 24),
        "layers_per_block": ("1", 0, 10**9),
        "in_channels": (None, "4"),
        "out_channels": (8, None),
        "act_fn": (7, "gelu"),
    },
    "vae/config.json": {
        "block_out_channels": ("missing", [8, "8"], [6, 8]),
        "norm_num_groups": (0, None, "4"),
        "latent_channels": (None, "4"),
        "scaling_factor": (0, "0.5", None, float("inf")),
        "up_block_types": ("missing", [[]]),
        "in_channels": (4, None),
    },
    "scheduler/scheduler_config.json": {
        "num_train_timesteps": ("1000", 0),
        "beta_start": ("missing", None),
        "prediction_type": ([], "flow"),
    },
    "model_index.json": {"_class_name": (None, 3, ["StableDiffusionPipeline"], "FluxPipeline")},
}


@pytest.mark.parametrize("file", FIELDS)
def test_values_that_describe_no_network(damage, folder, file):
    for field, values in FIELDS[file].items():
        for value in values:
            with pytest.raises(InputError) as caught:
                load_checkpoint(damage(file, {field: value}))
            message = str(caught.value)
            assert str(folder) in message and (field in message or field == "_class_name"), message


BOS, EOS = "<|startoftext|>", "<|endoftext|>"
TOKENIZERS = {
    "vocab.json has no '<.startoftext.>', which is the bos_token of .*tokenizer_config.json": (
        "vocab.json",
        {BOS: "missing"},
    ),
    "vocab.json has no '<.endoftext.>', which is the eos_token of": ("vocab.json", {EOS: "missing"}),
    "vocab.json gives 'red</w>' the id '1'": ("vocab.json", {"red</w>": "1"}),
    "vocab.json gives 'red</w>' the id -1": ("vocab.json", {"red</w>": -1}),
    "vocab.json gives 'red</w>' the id 1.5": ("vocab.json", {"red</w>": 1.5}),
    "vocab.json gives two tokens the same id": ("vocab.json", {"red</w>": 2}),
    "has the id 14 .'<.endoftext.>'. and the text encoder knows 14 tokens": ("vocab.json", {EOS: 14}),
    "merges.txt makes 9 of the 10 words of vocab.json, not 'odd</w>' for one": ("vocab.json", {"odd</w>": 14}),
    "merges.txt makes 0 of the 9 words": ("merges.txt", b""),
    "merges.txt makes 0 of the 9 words of": ("merges.txt", b"#version: 0.2\n"),
    "line 3 of .*merges.txt is not a pair": ("merges.txt", b"#version: 0.2\nr e\nre d x\n"),
    "merges.txt is not a text file": ("merges.txt", bytes(range(256))),
    "the pad_token of .* must be a text, and is None": ("tokenizer_config.json", {"pad_token": None}),
    "has no 'nothing', which is the unk_token of": ("tokenizer_config.json", {"unk_token": "nothing"}),
    "tokenizer_config.json has model_max_length = '77'": ("tokenizer_config.json", {"model_max_length": "77"}),
    "the eos_token of .*tokenizer_config.json .* must be a text, and is 3": ("tokenizer_config.json", {"eos_token": 3}),
}


@pytest.mark.parametrize("message", TOKENIZERS)
def test_tokenizer_files_that_do_not_fit_each_other(damage, message):
    file, content = TOKENIZERS[message]
    with pytest.raises(InputError, match=message):
        load_tokenizer(damage(f"tokenizer/{file}", content), 14)


def test_a_folder_in_the_place_of_a_file(damage, folder):
    for file in ("tokenizer/merges.txt", "unet/config.json"):
        damage(file, b"")
        (folder / file).unlink()
        (folder / file).mkdir()
        with pytest.raises(InputError, match=f"the checkpoint has no {file}"):
            load_checkpoint(folder)
        (folder / file).rmdir()
