from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from cpi_jax.captions.clip_vocabulary import write_clip_vocabulary
from cpi_jax.captions.slots import assemble, make_slots
from cpi_jax.data.columns import make_examples
from cpi_jax.data.free_text import cut_captions
from cpi_jax.data.table import read_table
from cpi_jax.diffusion.checkpoint import load_tokenizer
from cpi_jax.errors import InputError
from cpi_jax.plan.describe import describe_variants
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.settings import Settings

CAPTIONS = pd.Series(
    [
        "A brown dog on grass.",
        "Two cats (and a dog) beside a sofa",
        "a man's hat, grass and a dog",
        "nothing at all",
        "a DOG with another dog on a sofa",
        "the cat sleeps",
    ],
    name="text",
)
CASES = Path(__file__).parent / "cases"
HOT_DOGS = {"hot dog": ("hot dog",), "tv": ("tv", "t.v.")}
WORDS = {"dog": r"(?:brown )?\bdogs?\b", "cat": ("cat", "cats"), "grass": ("grass",)}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    write_clip_vocabulary(folder / "tokenizer", "<|endoftext|>")
    return load_tokenizer(folder)


def rejoin(slots, order, row):
    return "".join(slots[row][k] for k in order[row])


def test_phrases_keep_their_place():
    slots, names, order, _ = cut_captions(CAPTIONS, WORDS)
    assert names == ("dog", "cat", "grass", "text 0", "text 1", "text 2", "text 3")
    assert slots[0] == (" brown dog", "", " grass", " A", " on", " .", "")
    assert slots[1][:3] == (" dog", " cats", "") and slots[2][:3] == (" dog", "", " grass")
    assert rejoin(slots, order, 0) == " A brown dog on grass ."
    assert rejoin(slots, order, 2) == " a man's hat, grass and a dog"  # another order than in the first
    assert rejoin(slots, order, 4) == " a DOG with another on a sofa"  # a repetition would outlive the permutation
    assert all(sorted(row) == list(range(7)) for row in order.tolist())


def test_tokens_are_those_of_the_caption(tokenizer):
    slots, _, order, _ = cut_captions(CAPTIONS, WORDS)
    made = make_slots(tokenizer, slots, length=77, separator="", empty="nothing", order=order)
    ids = np.asarray(assemble(made))
    for row, caption in enumerate(CAPTIONS):
        if row != 4:
            expected = tokenizer.padded(caption, 77)
            assert ids[row].tolist() == expected


def test_permuted_captions(tokenizer):
    frame = pd.DataFrame({"text": CAPTIONS, "label": [0, 1, 1, 0, 1, 0]})
    examples = make_examples(frame, label="label", caption="text", words=WORDS)
    assert examples.permutable == ("dog", "cat", "grass") == examples.concept_names
    settings = Settings(control="a photo")
    plan = make_plan(examples, tokenizer, 77, settings)
    table = describe_variants(plan, examples, settings).to_pandas()
    of = table[table.example_id == 5]
    assert set(of.caption[of.feature == "dog"].str.lower()) == {"the cat sleeps brown dog", "the cat sleeps dog"}
    assert set(of.caption[of.feature == "cat"]) == {"the sleeps", "the cats sleeps"}
    own = of[of.feature == ""].caption.item()
    assert own == "the cat sleeps"
    rows = np.flatnonzero(table.example_id == 5)
    for row, ids in zip(rows, np.asarray(plan.captions(rows))):
        expected = tokenizer.padded(table.caption[row], 77)
        assert ids.tolist() == expected
    assert jnp.asarray(examples.concepts).sum(0).tolist() == [4, 2, 2]


def plan_of(captions, tokenizer):
    frame, words = pd.DataFrame({"text": captions, "label": [0, 1, 1]}), {"dog": ("dog",), "cat": ("cat",)}
    return make_plan(make_examples(frame, label="label", caption="text", words=words), tokenizer, 77, Settings())


def test_the_order_is_part_of_a_caption(tokenizer):
    """A study must not take the image of "dog cat" for that of "cat dog", whose slots are the same."""
    one, other = (plan_of([text, "a dog", "grass"], tokenizer) for text in ("dog cat", "cat dog"))
    same = one.codes[np.asarray(one.baseline)] == other.codes[np.asarray(other.baseline)]
    assert same.tolist() == [False, True, True]


def test_only_what_is_permuted_lengthens_a_caption(tokenizer):
    long = " ".join(["word"] * 45)
    plan = plan_of([f"a dog {long}", f"{long} with a cat", "grass"], tokenizer)
    assert (np.asarray(plan.captions(np.arange(plan.num_variants)))[:, -1] == tokenizer.pad_token_id).all()


def test_phrases_are_found_as_they_are_seen():
    table = read_table(CASES / "caps.csv", label="home", caption="text", words=HOT_DOGS)
    truth = pd.read_csv(CASES / "caps.csv")[["true_hotdog", "true_tv"]].to_numpy()
    np.testing.assert_array_equal(table.concepts, truth)
    assert truth.sum(0).tolist() == [16, 10] and table.notes[1:] == ("'tv' of 'tv' matches no caption",)
    captions = pd.Series(
        ["a hot\u00a0dog", "hot\tdog on", "h\u200bot dog", "a man\u2019s t\u2011shirt", "cafe\u0301", "hotdogs"]
    )
    words = {"dog": ("hot\n dog",), "shirt": ("man's t-shirt",), "cafe": ("caf\u00e9",)}
    slots, *_ = cut_captions(captions, words)
    assert [[j for j in range(3) if row[j]] for row in slots] == [[0], [0], [0], [1], [2], []]
    assert slots[3][1] == " man\u2019s t\u2011shirt"  # a caption keeps its own characters
    with pytest.raises(InputError, match=r"data.words has 'tv' for 'tv' and for 'screen'"):
        cut_captions(captions, {"tv": ("tv",), "screen": ("screen", "TV")})


def test_near_misses_are_counted_with_an_example():
    captions = pd.Series(
        ["a dog", "two dogs", "no dog here", "a room without a brown dog", "it doesn't show a dog", "the dog-free room",
         "dogs and a dog", "a hot dog", "a hot-dog", "no people, a dog", "no evidence of a cat"],
    )  # fmt: skip
    *_, notes = cut_captions(captions, {"dog": ("dog", "puppy"), "hot dog": ("hot dog",), "cat": r"\bcat\b"})
    assert set(notes) == {
        "'puppy' of 'dog' matches no caption",
        "'dogs' is no phrase of 'dog' (captions: 2, such as 'two dogs')",
        "'hot-dog' is no phrase of 'hot dog' (captions: 1, such as 'a hot-dog')",
        "'dog' does not count within a phrase of 'hot dog' (captions: 1, such as 'a hot dog')",
        "'no dog' counts as 'dog' and may deny it (captions: 1, such as 'no dog here')",
        "'without a brown dog' counts as 'dog' and may deny it (captions: 1, such as 'a room without a brown dog')",
        "\"n't show a dog\" counts as 'dog' and may deny it (captions: 1, such as \"it doesn't show a dog\")",
        "'no evidence of a cat' counts as 'cat' and may deny it (captions: 1, such as 'no evidence of a cat')",
        "1 more such forms of 'dog'",
    }


@pytest.mark.parametrize(
    "captions, words, message",
    [
        (CAPTIONS, {"horse": ("horse",)}, "no caption says anything of 'horse'"),
        (pd.Series(["two dogs"]), {"dog": ("dog",)}, r"'dog' matches nowhere; the captions say 'dogs' \(captions: 1\)"),
        (CAPTIONS, {"dog": "do("}, "regular expression 'do\\(' of 'dog' cannot be read"),
        (CAPTIONS, {"dog": "x*"}, "matches the empty text"),
        (CAPTIONS, {"an": "an"}, "row 2: 'an' lies inside a word"),
        (CAPTIONS, {}, "free text needs data.words"),
        (CAPTIONS, {"dog": None}, "data.words of 'dog' must be"),
        (CAPTIONS, {"dog": (1, 2)}, "data.words of 'dog' must be"),
        (pd.Series(["a dog", " "], name="text"), WORDS, "row 2 has an empty caption in column 'text'"),
        (pd.Series(["a dog", None], name="text"), WORDS, "row 2 has an empty caption"),
    ],
)
def test_what_cannot_be_cut_is_named(captions, words, message):
    with pytest.raises(InputError, match=message):
        cut_captions(captions, words)
