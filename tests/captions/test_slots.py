import csv
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.captions.clip_vocabulary import write_clip_vocabulary
from cpi_jax.captions.permutation import permute
from cpi_jax.captions.slots import assemble, make_slots
from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.data.shapes import CONCEPTS, EMPTY, concept_slots
from cpi_jax.training.vocabulary import write_tokenizer

DEPICT = Path(__file__).parents[2] / "shared" / "data" / "depict_coco_captions.csv"


def by_tokenizer(tokenizer, rows, length, separator=", ", empty=EMPTY):
    texts = [separator.join(text for text in row if text) or empty for row in rows]
    return np.array([tokenizer.padded(text, length) for text in texts])


def assert_same_as_tokenizer(tokenizer, rows, slots, empty, keys=3):
    """Original captions, captions permuted slot by slot, and emptied ones, against the tokenizer on the joined text."""
    length = slots.length
    np.testing.assert_array_equal(assemble(slots), by_tokenizer(tokenizer, rows, length, empty=empty))
    codes = {row[k]: np.asarray(slots.tokens[n, k]) for n, row in enumerate(rows) for k in range(len(row))}
    texts = {v.tobytes(): t for t, v in codes.items()}
    num_slots = len(rows[0])
    seen_empty = 0
    for k in range(num_slots):
        for key in jax.random.split(jax.random.key(k), keys):
            tokens = permute(key, slots.tokens, jnp.arange(num_slots) == k)
            shuffled = [tuple(texts[np.asarray(t).tobytes()] for t in row) for row in np.asarray(tokens)]
            seen_empty += sum(not any(row) for row in shuffled)
            got = assemble(slots.replace(tokens=tokens))
            np.testing.assert_array_equal(got, by_tokenizer(tokenizer, shuffled, length, empty=empty))
    silent = slots.replace(tokens=jnp.full_like(slots.tokens, -1))
    blank = [("",) * num_slots] * len(rows)
    np.testing.assert_array_equal(assemble(silent), by_tokenizer(tokenizer, blank, length, empty=empty))
    return seen_empty


def test_assembled_shapes_captions_are_what_the_tokenizer_says(tokenizer, strict):
    every_subset = np.stack([(np.arange(64) >> j) & 1 for j in range(6)], axis=1)
    rows = concept_slots(every_subset)
    slots = make_slots(tokenizer, rows, length=32, empty=EMPTY)
    assert slots.tokens.shape == (64, 6, 3)
    assert assert_same_as_tokenizer(tokenizer, rows, slots, EMPTY) > 0
    assert int(slots.empty[0]) == tokenizer.encode("an", add_special_tokens=False)[0]


def depict_rows():
    with DEPICT.open() as file:
        table = list(csv.DictReader(file))
    names = list(table[0])[5:]
    return [tuple(f"1 {name}" if row[name] == "1" else "" for name in names) for row in table]


@pytest.mark.skipif(not DEPICT.exists(), reason="DEPICT's captions are not here")
def test_depicts_own_captions_pass_through(tmp_path, strict):
    rows = depict_rows()
    assert (len(rows), len(rows[0])) == (623, 15)
    words = sorted({w for row in rows for t in row for w in t.split()} | {",", "an", "empty", "scene"})
    write_tokenizer(words, tmp_path, 77)
    tokenizer = read_tokenizer(tmp_path)
    slots = make_slots(tokenizer, rows, length=77, empty=EMPTY)
    empty = assert_same_as_tokenizer(tokenizer, rows, slots, EMPTY, keys=2)
    assert 0.15 < empty / (623 * 15 * 2) < 0.22  # the share of permuted captions that say nothing


@pytest.mark.skipif(not DEPICT.exists(), reason="DEPICT's captions are not here")
def test_depicts_captions_in_clips_own_vocabulary(clip_tokenizer, strict):
    rows = depict_rows()[:100]
    slots = make_slots(clip_tokenizer, rows, length=77, empty=EMPTY)
    assert_same_as_tokenizer(clip_tokenizer, rows, slots, EMPTY, keys=1)


def test_clips_own_vocabulary_gives_the_known_ids(clip_tokenizer):
    slots = make_slots(clip_tokenizer, [("a photo of a cat",)], length=9, empty="a photo")
    expected = [49406, 320, 1125, 539, 320, 2368, 49407, 49407, 49407]
    np.testing.assert_array_equal(assemble(slots), [expected])


@pytest.fixture(scope="module")
def clip_tokenizer(tmp_path_factory):
    """CLIP's own byte-pair vocabulary, from the package that carries it."""
    folder = tmp_path_factory.mktemp("clip")
    try:
        write_clip_vocabulary(folder, "<|endoftext|>")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return read_tokenizer(folder)


def test_free_text_keeps_its_fixed_slots(tokenizer, strict):
    rows = [("a ", "red", " circle"), ("a ", "green", " circle"), ("a ", "", " circle")]
    slots = make_slots(tokenizer, rows, length=12, separator="", empty=EMPTY)
    texts = [re.sub(" +", " ", "".join(row)) for row in rows]
    np.testing.assert_array_equal(assemble(slots), [tokenizer.padded(text, 12) for text in texts])


def test_a_boundary_inside_a_word_is_refused(tmp_path):
    write_tokenizer(["red", "reddish", "ish", "scene"], tmp_path, 16)
    tokenizer = read_tokenizer(tmp_path)
    with pytest.raises(ValueError, match=r"'red' followed by 'ish'"):
        make_slots(tokenizer, [("red", "ish")], length=16, separator="", empty="scene")


def test_unknown_words_and_long_captions_are_refused(tokenizer):
    with pytest.raises(
        ValueError, match="vocabulary does not have 'purple' in '1 purple circle': the words it has are"
    ):
        make_slots(tokenizer, [("1 purple circle",)], length=32, empty=EMPTY)
    rows = [tuple(f"1 {name}" for name in CONCEPTS)]
    assert make_slots(tokenizer, rows, length=25, empty=EMPTY).length == 25  # 18 words, 5 commas, BOS and EOS
    with pytest.raises(ValueError, match="the caption of example 0 has 25 tokens, and the text encoder reads 24"):
        make_slots(tokenizer, rows, length=24, empty=EMPTY)
    # Two captions that fit and whose permutation does not.
    apart = [("1 red circle", "1 red circle", ""), ("", "1 red circle", "1 red circle")]
    assert make_slots(tokenizer, apart, length=13, empty=EMPTY).length == 13
    with pytest.raises(ValueError, match=r"of example 0, with its longest permuted slot, has 13 tokens \(and 1 more"):
        make_slots(tokenizer, apart, length=12, empty=EMPTY)
    with pytest.raises(ValueError, match="must say something"):
        make_slots(tokenizer, rows, length=32, empty=" ")


def test_runs_inside_a_callers_vmap_and_a_new_caption_compiles_nothing(tokenizer, strict):
    slots = make_slots(tokenizer, concept_slots(np.eye(6, dtype=int)), length=32, empty=EMPTY)
    keys = jax.random.split(jax.random.key(0), 5)
    mask = jnp.arange(6) < 2
    many = jax.vmap(lambda k: assemble(slots.replace(tokens=permute(k, slots.tokens, mask))))(keys)
    each = [assemble(slots.replace(tokens=permute(k, slots.tokens, mask))) for k in keys]
    np.testing.assert_array_equal(many, each)
    before = assemble._cache_size()
    assemble(slots.replace(tokens=slots.tokens[::-1]))
    assert assemble._cache_size() == before
