"""What a study says of itself before it is made."""

import dataclasses

import numpy as np
import pytest

from cpi_jax.cli.dry_run import describe_cost, describe_data
from cpi_jax.cli.preview import preview
from cpi_jax.opening import open_study
from cpi_jax.settings import Compute, Settings
from tests.painter import WEIGHTS, painter, reader, scenes


@pytest.fixture
def study(tokenizer, tmp_path):
    examples = scenes(20)
    slots = [(*row[:5], "") for row in examples.slots]  # the last concept is never there
    concepts = examples.concepts * np.array([1, 1, 1, 1, 1, 0], np.int8)
    images = np.full((20, 8, 12, 3), 9, np.uint8)
    examples = dataclasses.replace(examples, slots=slots, concepts=concepts, images=images, notes=("1 row left out",))
    return open_study(
        examples,
        generator=painter(),
        tokenizer=tokenizer,
        scorers={"target": reader(WEIGHTS), "detector": reader(np.eye(6))},
        settings=Settings(draws=3, compute=Compute(batch_size=4)),
        workdir=tmp_path,
        readonly=True,
    )


def test_what_was_understood(study):
    text = describe_data(study)
    share = study.examples.concepts[:, 0].mean()
    assert f"Classes: 0: {(study.examples.labels == 0).sum()}; 1: {(study.examples.labels == 1).sum()}" in text
    assert f"'1 red circle' {share:.1%}" in text and "blue rectangle: 'nothing' 100.0% (never varies: skipped)" in text
    most = min(study.examples.concepts.sum(1).max() + 1, 5)  # phrases of three tokens, commas between, BOS and EOS
    assert f"at most {3 * most + (most - 1) + 2} of the 32 tokens" in text
    first = dict.fromkeys(", ".join(filter(None, row)) or "an empty scene" for row in study.examples.slots)
    assert [line.split(": ")[1] for line in text.splitlines() if "of example" in line] == [
        repr(c) for c in list(first)[:3]
    ]
    assert "Examples: 20, with images\n  1 row left out\n" in text
    cost = describe_cost(study)
    assert (
        f"Images: {3 * study.plan.num_variants} of which" in cost.replace(",", "") and "images/s of one batch" in cost
    )


def test_pictures_show_what_their_titles_say(study):
    sheet = preview(study, num_examples=3)
    assert [len(line) for line in sheet] == [7, 7, 7]  # real, own caption, five concepts that vary
    for line in sheet:
        (real, title), (own, caption), *changed = line
        assert title == "real" and (real == 9).all()
        present = bright(own)
        for j, (image, text) in enumerate(changed):
            name, value, score = text.split("\n")
            assert name == study.examples.slot_names[j] and value == ("-> absent" if present[j] else f"-> 1 {name}")
            np.testing.assert_array_equal(np.flatnonzero(bright(image) != present), [j])
            assert abs(float(score) - reading(image)) < 0.1
        assert caption.startswith("1 ") == present.any()


def test_several_classifiers_are_named(study):
    scorers = {"first": reader(WEIGHTS), "second": reader(-WEIGHTS), "detector": study.scorers["detector"]}
    several = dataclasses.replace(study, scorers=scorers)
    assert "Classifiers, on the same pictures: first, second\nDetector: asked about" in describe_data(several)
    _, (own, title), *_ = preview(several, num_examples=1)[0]
    first, second = title.split("\n")[-2:]
    assert first == f"first {reading(own):+.2f}" and second == f"second {-reading(own):+.2f}"


def bright(image):
    return image.reshape(2, 4, 3, 4, 3).mean((1, 3, 4)).ravel() > 128


def reading(image):
    return float((image.reshape(2, 4, 3, 4, 3).mean((1, 3, 4)).ravel() / 255 - 0.5) @ WEIGHTS[:, 0])
