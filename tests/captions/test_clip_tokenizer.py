"""CLIP's tokenizer beside that of transformers, of whichever release."""

import json

import numpy as np
import pytest
import transformers

from cpi_jax.captions.clip_vocabulary import write_clip_vocabulary
from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.diffusion.checkpoint import load_tokenizer
from cpi_jax.embedded import SHAPES_GENERATOR
from cpi_jax.errors import InputError

TEXTS = (
    "a photo of a cat",
    "  A Photo,\tof\n two CATS!!  (3 dogs) ",
    "it's what they'd say: we've 1,024.5 %  of it'll-be's",
    "na\u00efve cafe\u0301 stra\u00dfe \u03a9\u03bc\u03ad\u03b3\u03b1",
    "\U0001f431\U0001f436 \u00bd \u2167 x\u00b2 \u2014 \u201cquoted\u201d",
    "pneumothoraxantidisestablishmentarianism _under_score_ #tag @name <b>",
    "a cat<|endoftext|> <|startoftext|>a dog",
    "an <odd-toy> of <odd-toy>s! wow !",
    "",
)
# The slow tokenizer of transformers 4 has rules beyond CLIP's own: of single characters, control characters, capitals.
FAST_ALONE = ("an <Odd-Toy>", "\u4e00\u53ea\u732b and a cat", "a\x07b c\u200bd")


@pytest.fixture(scope="module", params=["<|endoftext|>", "!"])
def folder(request, tmp_path_factory):
    """CLIP's own vocabulary, padded as SD 1 and as SD 2, there with a learned token."""
    folder = tmp_path_factory.mktemp("clip")
    write_clip_vocabulary(folder, request.param)
    if request.param == "!":
        (folder / "added_tokens.json").write_text('{"<odd-toy>": 49408}')
        (folder / "special_tokens_map.json").write_text('{"pad_token": "!"}')
        config = json.loads((folder / "tokenizer_config.json").read_text()) | {"pad_token": "<|endoftext|>"}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_texts_are_the_tokens_of_transformers(folder):
    ours, theirs = read_tokenizer(folder), transformers.CLIPTokenizer.from_pretrained(str(folder))
    for role in ("bos", "eos", "pad", "unk"):
        assert getattr(ours, f"{role}_token_id") == getattr(theirs, f"{role}_token_id")
    for text in TEXTS + FAST_ALONE * theirs.is_fast:
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(text, add_special_tokens=False), text
        assert ours.padded(text, 77) == theirs(text, padding="max_length", max_length=77).input_ids
        assert ours.tokenize(text) == theirs.tokenize(text)
    assert ours.get_vocab() == theirs.get_vocab() and ours.model_max_length == 77


def test_random_texts_are_the_tokens_of_transformers(folder):
    ours, theirs = read_tokenizer(folder), transformers.CLIPTokenizer.from_pretrained(str(folder))
    rng = np.random.default_rng(0)
    letters = list("abcdeilnorstuABCD 0123456789.,;:!?'\"-_()[]#&%/<|> \u00e4\u00e9\u00f1\u00df\u00c7\u0416\u03b4")
    for _ in range(300):
        text = "".join(rng.choice(letters, 40))
        assert ours.encode(text, add_special_tokens=True) == theirs.encode(text), text


@pytest.mark.slow
def test_tokenizer_json_alone_is_the_same_tokenizer(folder, tmp_path):
    """As transformers writes it since release 5."""
    ours, theirs = read_tokenizer(folder), transformers.CLIPTokenizerFast.from_pretrained(str(folder))
    theirs.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    roles = {role: getattr(theirs, role) for role in ("bos_token", "eos_token", "pad_token", "unk_token")}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77, **roles}))
    alone = read_tokenizer(tmp_path)
    assert all(alone.padded(text, 77) == ours.padded(text, 77) for text in TEXTS + FAST_ALONE)
    assert alone.get_vocab() == ours.get_vocab() and alone.pad_token_id == ours.pad_token_id
    theirs.backend_tokenizer.normalizer = None
    theirs.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match=r"has other rules than CLIP's tokenizer: it reads 'A  Photo' as other tokens"):
        read_tokenizer(tmp_path)


def test_a_piece_that_the_vocabulary_lacks_is_unknown():
    tokenizer = load_tokenizer(SHAPES_GENERATOR)
    assert tokenizer.encode("1 red circle", add_special_tokens=False) == [
        tokenizer.get_vocab()[f"{word}</w>"] for word in ("1", "red", "circle")
    ]
    assert tokenizer.unk_token_id in tokenizer.encode("1 redd circle", add_special_tokens=False)
    assert tokenizer.tokenize("redd") != ["red</w>"] and "redd" not in tokenizer.get_vocab()


DAMAGED = {
    "must have a whole number from 0 as its id, not '1.5'": {"added_tokens_decoder": {"1.5": {"content": "<a>"}}},
    r"must have a whole number from 0 as its id, not \['<a>'\]": {"added_tokens_decoder": ["<a>"]},
    "the added token of .* must be a text, and is 3": {"added_tokens_decoder": {"49408": 3}},
    "gives '<a>' the id 5, and vocab.json does not": {"added_tokens_decoder": {"5": {"content": "<a>"}}},
    r"gives 'cat</w>' the id 49408, and vocab.json does not": {
        "added_tokens_decoder": {"49408": {"content": "cat</w>"}}
    },
    "the pad_token of .* must be a text, and is {'content': '!', 'lstrip': 1}": {
        "pad_token": {"content": "!", "lstrip": 1}
    },
}


@pytest.mark.parametrize("message", DAMAGED)
def test_added_tokens_that_cannot_be_are_refused(tmp_path, message):
    write_clip_vocabulary(tmp_path, "!")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text()) | DAMAGED[message]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message):
        read_tokenizer(tmp_path)
