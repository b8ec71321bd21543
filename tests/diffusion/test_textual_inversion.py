"""Words of textual inversion: their tokens, their rows in the text encoders, and what is refused."""

import jax
import numpy as np
import pytest
import transformers
from safetensors.numpy import save_file

from cpi_jax.captions.clip_vocabulary import clip_tokenizer, write_clip_tokenizers
from cpi_jax.captions.encoding import encode
from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.diffusion.checkpoint import load_checkpoint, save_checkpoint
from cpi_jax.diffusion.textual_inversion import add_vectors, read_embeddings, teach
from cpi_jax.errors import InputError
from cpi_jax.training.vocabulary import write_tokenizer
from tests.mini import SCHEDULER, mini_networks, mini_params
from tests.words import WORDS

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(3, 16)).astype(np.float32)


def config(width):
    return {"vocab_size": 49408, "hidden_size": width}


def table(width):
    return {"text_model.embeddings.token_embedding": {"embedding": np.zeros((49408, width), np.float32)}}


ONE = {"text_encoder": config(16)}
TWO = {"text_encoder": config(16), "text_encoder_2": config(8)}


@pytest.fixture
def file(tmp_path):
    def write(tensors):
        save_file(tensors, tmp_path / "words.safetensors")
        return tmp_path / "words.safetensors"

    return write


def test_words_of_one_and_several_vectors_are_said_as_diffusers_says_them(file, tmp_path):
    tokenizer = clip_tokenizer("sd15")
    save_file({"<cat>": VECTORS[0]}, tmp_path / "of_diffusers.safetensors")  # as learned_embeds of one vector
    spec = f"<cat>:{tmp_path / 'of_diffusers.safetensors'},easyneg:{file({'emb_params': VECTORS.astype(np.float16)})}"
    words = read_embeddings(spec, tokenizer, ONE)
    configs, params = teach(words, tokenizer, ONE), add_vectors(words, {"text_encoder": table(16)})
    rows = params["text_encoder"]["text_model.embeddings.token_embedding"]["embedding"]
    assert configs["text_encoder"]["vocab_size"] == len(rows) == 49412
    np.testing.assert_array_equal(rows[49408:], np.concatenate([VECTORS[:1], VECTORS.astype(np.float16)]))
    cat, a, dot = (encode(tokenizer, text)[0] for text in ("cat", "a", "."))
    said = {
        "a <cat>": [a, 49408],
        "a<cat>.": [a, 49408, dot],
        "easyneg, a cat": [49409, 49410, 49411, encode(tokenizer, ",")[0], a, cat],
        "a easyneg_1": [a, 49410],
        "<cat> easyneg": [49408, 49409, 49410, 49411],
    }
    assert {text: encode(tokenizer, text) for text in said} == said
    assert tokenizer.tokenize("easyneg, easyneg_2") == ["easyneg", ",</w>", "easyneg_2"]
    assert tokenizer.get_vocab()["easyneg_2"] == 49411


def test_two_text_encoders_learn_the_same_tokens(file):
    tokenizer, wide = clip_tokenizer("sdxl"), RNG.normal(size=(3, 8)).astype(np.float32)
    words = read_embeddings(f"<x>:{file({'clip_l': VECTORS, 'clip_g': wide})}", tokenizer, TWO)
    configs = teach(words, tokenizer, TWO)
    params = add_vectors(words, {"text_encoder": table(16), "text_encoder_2": table(8)})
    for part, vectors in (("text_encoder", VECTORS), ("text_encoder_2", wide)):
        rows = params[part]["text_model.embeddings.token_embedding"]["embedding"]
        np.testing.assert_array_equal(rows[49408:], vectors)
        assert configs[part]["vocab_size"] == 49411
    assert encode(tokenizer, "<x>") == [49408, 49409, 49410]


def test_a_checkpoint_that_has_the_words(tmp_path):
    """As diffusers saves one: the words stand in added_tokens.json, their rows in the text encoder."""
    write_clip_tokenizers(tmp_path, "sd15")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(str(tmp_path / "tokenizer"))
    tokenizer.add_tokens(["<x>", "<x>_1", "<y>"])
    tokenizer.save_pretrained(tmp_path)
    read = read_tokenizer(tmp_path, 49411)
    assert encode(read, "<x> and <y>") == [49408, 49409, *encode(read, "and"), 49410]
    with pytest.raises(InputError, match="the vocabulary already has '<y>': give"):
        read_embeddings(f"<y>:{write(tmp_path, {'emb_params': VECTORS})}", read, ONE)
    with pytest.raises(InputError, match="the vocabulary already has '<x>_1'"):
        read_embeddings(f"<x>_1:{write(tmp_path, {'emb_params': VECTORS})}", read, ONE)


def write(folder, tensors):
    save_file(tensors, folder / "refused.safetensors")
    return folder / "refused.safetensors"


def test_what_is_no_embedding_of_the_checkpoint(tmp_path):
    tokenizer = clip_tokenizer("sd15")
    wide = {"emb_params": np.zeros((2, 768), np.float32)}
    of_xl = {"clip_l": VECTORS, "clip_g": VECTORS[:, :8]}
    cases = [
        (
            "<x>:{}",
            wide,
            ONE,
            r"vectors of 768 numbers, that of Stable Diffusion 1.x, and the checkpoint asks for",
        ),
        ("<x>:{}", of_xl, ONE, "is a textual inversion of Stable Diffusion XL"),
        ("<x>:{}", {"emb_params": VECTORS}, TWO, "the checkpoint asks for clip_l and clip_g"),
        ("<x>:{}", of_xl | {"clip_g": VECTORS[:2, :8]}, TWO, "different numbers of vectors for the two text encoders"),
        ("<x>:{}", {"a": VECTORS, "b": VECTORS}, ONE, "is no textual inversion: it holds 2 tensors, 'a' first"),
        ("<x>:{}", {"emb_params": VECTORS * np.nan}, ONE, "holds NaN or infinite numbers"),
        ("<x>:{}", {"emb_params": VECTORS.astype(np.int32)}, ONE, "weights are floating-point numbers"),
        (
            "cat:{}",
            {"emb_params": VECTORS},
            ONE,
            "the vocabulary already has 'cat': give .* another word",
        ),
        ("<x>:{0},<x>:{0}", {"emb_params": VECTORS}, ONE, "the vocabulary already has '<x>'"),
        (
            "{}",
            {"emb_params": VECTORS},
            ONE,
            "generator.embeddings must be WORD:FILE, several with commas between them",
        ),
        ("a b:{}", {"emb_params": VECTORS}, ONE, "generator.embeddings must be WORD:FILE"),
        ("<x>:{}.none", {"emb_params": VECTORS}, ONE, "there is no textual inversion at .*none"),
    ]
    for spec, tensors, configs, message in cases:
        with pytest.raises(InputError, match=message):
            read_embeddings(spec.format(write(tmp_path, tensors)), tokenizer, configs)
    (tmp_path / "old.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"old.pt is a zip file, as torch.save writes, which holds a pickle"):
        read_embeddings(f"<x>:{tmp_path / 'old.pt'}", tokenizer, ONE)


def test_a_checkpoint_with_a_small_vocabulary_of_its_own(tmp_path):
    """There, transformers would number new words otherwise than the text encoder's rows."""
    save_checkpoint(tmp_path, mini_networks(), mini_params(), SCHEDULER)
    write_tokenizer(WORDS, tmp_path / "tokenizer", 32)
    word = f"<x>:{write(tmp_path, {'emb_params': VECTORS})}"
    plain, taught = load_checkpoint(tmp_path), load_checkpoint(tmp_path, embeddings=word)
    assert encode(taught.tokenizer, "1 <x> red") == [0, 14, 15, 16, 1]
    rows = taught.params["text_encoder"]["text_model.embeddings.token_embedding"]["embedding"]
    np.testing.assert_array_equal(rows[14:], VECTORS)
    assert taught.networks.text_encoders["text_encoder"].vocab_size == 17
    jax.tree.map(np.testing.assert_array_equal, plain.params["unet"], taught.params["unet"])
