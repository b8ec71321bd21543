import gzip

import numpy as np
import pytest

from benchmarks.shortcut.photographs import (
    BACKGROUNDS,
    FOOTWEAR,
    GARMENTS,
    SLOTS,
    TINTS,
    fashion_contents,
    make_fashion,
    read_idx,
    render_fashion,
)
from benchmarks.shortcut.train_generator import get_config
from cpi_jax.captions.slots import make_slots
from cpi_jax.diffusion.checkpoint import load_tokenizer
from cpi_jax.errors import InputError
from cpi_jax.training.vocabulary import write_tokenizer
from tests.garments import idx, write_garments

WORDS = [list(names) for names in (TINTS, GARMENTS, BACKGROUNDS)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_garments(tmp_path_factory.mktemp("idx"))


def test_an_example_depends_on_seed_and_id_alone(path):
    many, few = make_fashion("study", 12, path=path, seed=3), make_fashion("study", 4, path=path, seed=3, start=5)
    np.testing.assert_array_equal(few.images, many.images[5:9])
    assert list(few.slots) == list(many.slots[5:9])
    assert (make_fashion("study", 12, path=path, seed=4).images != many.images).any()
    assert (make_fashion("train", 12, path=path, seed=3).images != many.images).any()


def test_captions_concepts_and_labels_say_the_same(path):
    data = make_fashion("study", 200, path=path)
    for row, concepts, label in zip(data.slots, data.concepts, data.labels):
        (_, tint), garment, (_, background) = row[0].split(), row[1], row[2].split()
        said = {f"tint: {tint}", f"garment: {garment}", f"background: {background}"}
        assert {name for name, present in zip(data.concept_names, concepts) if present} == said
        assert label == (garment in FOOTWEAR)
    assert [data.slot_names[k] for k in data.concept_slots] == [name.split(":")[0] for name in data.concept_names]
    contents = fashion_contents(data.slots)
    first = [WORDS[k][v] for k, v in enumerate(contents[0])]
    assert data.slots[0] == (f"a {first[0]}", first[1], f"on {first[2]}")


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 1.0])
def test_the_background_tells_the_label_as_often_as_asked(path, correlation):
    data = make_fashion("study", 1500, path=path, correlation=correlation)
    grass = data.concepts[:, data.concept_names.index("background: grass")]
    share = [np.mean(grass[data.labels == y] == y) for y in (0, 1)]
    # Of the rest, a third lies on grass.
    expected = [correlation + (1 - correlation) * 2 / 3, correlation + (1 - correlation) / 3]
    np.testing.assert_allclose(share, expected, atol=0.05)
    assert np.mean(share) == pytest.approx((1 + correlation) / 2, abs=0.03)


def test_a_counterfactual_changes_what_it_says_and_nothing_else(path):
    data = make_fashion("study", 20, path=path, masks=True)
    own = fashion_contents(data.slots)
    same, alpha = render_fashion(data.ids, own, split="study", path=path)
    np.testing.assert_array_equal(same, data.images)
    np.testing.assert_array_equal(alpha > 0.5, data.masks[:, SLOTS.index("garment")])
    np.testing.assert_array_equal(data.masks[:, 2], ~data.masks[:, 1])

    def changed(slot):
        other = own.copy()
        other[:, slot] = (own[:, slot] + 1) % len(WORDS[slot])
        images, new_alpha = render_fashion(data.ids, other, split="study", path=path)
        return (images != same).any(-1), new_alpha

    background, tint, (garment, new_alpha) = changed(2)[0], changed(0)[0], changed(1)
    assert not background[alpha == 1].any() and background[alpha == 0].mean() > 0.9
    assert not tint[alpha == 0].any() and tint[alpha == 1].mean() > 0.9
    assert not garment[(alpha == 0) & (new_alpha == 0)].any() and garment[alpha == 1].any()


def test_the_generators_vocabulary_says_every_caption(path, tmp_path):
    config = get_config()
    write_tokenizer(config.words, tmp_path / "tokenizer", 32)
    rows = [(f"a {t}", g, f"on {b}") for t in TINTS for g in GARMENTS for b in BACKGROUNDS]
    slots = make_slots(load_tokenizer(tmp_path), rows, length=32, separator=config.separator, empty=config.empty)
    assert (np.asarray(slots.tokens) >= 0).sum() == 5 * len(rows)


def test_missing_and_damaged_files_are_named(path, tmp_path):
    with pytest.raises(
        InputError, match=r"t10k-images-idx3-ubyte.gz is missing: .*dataset-fashion-mnist.*config.data.path"
    ):
        make_fashion("study", 4, path=str(tmp_path))
    whole = gzip.compress(idx(np.ones((3, 28, 28), np.uint8)))
    for content in (whole[:-20], b"", gzip.compress(b"\0\0\x08\x03\0\0\0\x09" + bytes(50)), gzip.compress(b"text")):
        (tmp_path / "part.gz").write_bytes(content)
        with pytest.raises(InputError, match=r"part.gz is damaged or no IDX file: install"):
            read_idx(tmp_path, "part")
    (tmp_path / "part.gz").write_bytes(whole)
    assert read_idx(tmp_path, "part").shape == (3, 28, 28)


def test_numbers_out_of_range_are_refused(path):
    for name, value in (("num_examples", 0), ("seed", -1), ("correlation", 1.1), ("split", "test")):
        with pytest.raises(InputError, match=name):
            make_fashion(**{"split": "study", "num_examples": 4, "path": path, name: value})
