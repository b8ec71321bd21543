"""True pairs of a study: the table to fill, what is refused of a filled one, and what corrects the importances."""

import dataclasses
import json
import re

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cpi_jax.analysis.drawn_pairs import draw_pairs, find_needed
from cpi_jax.analysis.true_pairs import read_pairs
from cpi_jax.diffusion.generator import Generator
from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import csv_text
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.settings import Settings
from tests.painter import paint, photographs, scenes, study
from tests.words import WordTokenizer

EXAMPLES = photographs(scenes(40))
CONCEPTS = ("red circle", "blue circle")
TOKENIZER = WordTokenizer()


def drawn(folder, examples=EXAMPLES, num=10, **settings):
    """A plan, and the table of its pairs with a file's name in every row; the files are those pictures."""
    settings = Settings(**{"concepts": CONCEPTS, "true_pairs": str(folder / "pairs.csv"), **settings})
    plan = make_plan(examples, TOKENIZER, 32, settings)
    table = draw_pairs(plan, examples, settings, num, folder / "pairs.csv", seed=1)
    places = {text: i for i, text in enumerate(map(str, examples.ids.tolist()))}
    concepts = examples.concepts[[places[example] for example in table["example"]]].copy()
    for row, (concept, value) in enumerate(zip(table["concept"], table["value"])):
        concepts[row, examples.concept_names.index(concept)] = bool(value)
    count = len(table)
    shown = dataclasses.replace(scenes(count), concepts=concepts)
    for row, picture in enumerate(photographs(shown, seed=2).images):
        Image.fromarray(picture).save(folder / f"{row}.png")
    table = table.assign(image=[f"{row}.png" for row in range(count)])
    (folder / "pairs.csv").write_text(csv_text(table))
    return plan, settings, table


def test_a_filled_table_is_read_as_it_was_drawn(tmp_path):
    plan, settings, table = drawn(tmp_path)
    assert list(table) == ["example", "concept", "value", "caption", "image"] and len(table) == 20
    assert table.groupby("example").concept.apply(tuple).unique().tolist() == [CONCEPTS]
    pairs = read_pairs(plan, EXAMPLES, settings)
    assert pairs.paired.sum() == 10 and len(pairs.rows) == 20
    labels = EXAMPLES.labels[pairs.paired].mean(), EXAMPLES.labels.mean()
    assert abs(labels[0] - labels[1]) < 0.1  # each class has its share
    assert [sentence.split(":")[0] for sentence in pairs.warnings] == ["true pairs"]  # few examples of a class
    variants = plan.variants.take(pairs.rows)
    ids = np.asarray(EXAMPLES.ids)
    assert list(map(str, ids[np.asarray(variants.example)])) == list(table["example"])
    assert [plan.names[f] for f in variants.feature] == list(table["concept"])
    assert pairs.images.size == (8, 12) and pairs.images[3].shape == (8, 12, 3)
    spreadsheet = csv_text(table).replace(", ", " and ").replace(",", ";")  # as some write it, with other captions
    (tmp_path / "pairs.csv").write_text("\ufeff" + spreadsheet)
    again = read_pairs(plan, EXAMPLES, settings)
    np.testing.assert_array_equal(again.rows, pairs.rows)
    assert read_pairs(plan, EXAMPLES, Settings()) is None


MISTAKES = {
    "unknown example": (lambda t: t.assign(example=["x", *t.example[1:]]), "row 1: this study has no example 'x'"),
    "unknown concept": (lambda t: t.assign(concept="red circel"), "row 1: there is no permuted concept 'red circel' among"),
    "unknown value": (lambda t: t.assign(value="a dot"), "there is no content of red circle 'a dot' among nothing, 1"),
    "no column": (lambda t: t.drop(columns="image"), "there is no column 'image' among example, concept, value, caption"),
    "not filled": (lambda t: t.assign(image=[*t.image[:-1], " "]), "1 row of 20 has no image yet, such as row 20 (example"),
    "named twice": (lambda t: t.assign(image=["0.png", *t.image[:-1]]), "the image '0.png' is named in rows 1 and 2"),
    "no such file": (lambda t: t.assign(image=["7.jpg", *t.image[1:]]), "row 1: there is no image '7.jpg'"),
    "no picture": (lambda t: t.assign(image=["pairs.csv", *t.image[1:]]), "the image of row 1 (pairs.csv) cannot be read"),
    "lacks a value": (lambda t: t[1:], "1 picture is missing, such as that of example "),
    "two of one": (lambda t: pd.concat([t, t[:1].assign(image="pairs.csv")]), "rows 1 and 21 name two pictures"),
    "few": (lambda t: t[:18], "it has 9 examples, and a correction needs at least 10: draw more"),
    "empty": (lambda t: t[:0], "it has no rows"),
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    return folder, *drawn(folder)


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_correct_is_refused_in_a_sentence(filled, name):
    folder, plan, settings, table = filled
    change, sentence = MISTAKES[name]
    (folder / "pairs.csv").write_text(csv_text(change(table)))
    with pytest.raises(InputError, match=re.escape(sentence)) as error:
        read_pairs(plan, EXAMPLES, settings)
    assert str(error.value).startswith(f"true_pairs {folder}/pairs.csv: ")


def test_examples_that_were_not_drawn_are_an_assumption(filled):
    folder, plan, settings, table = filled

    def assumed(examples=EXAMPLES):
        warnings = read_pairs(plan, examples, settings).warnings
        return [sentence.partition("is assumed: ")[2] for sentence in warnings if "random subset" in sentence]

    (folder / "pairs.csv").write_text(csv_text(table))
    record = (folder / "pairs.json").read_text()
    assert assumed() == []
    others = EXAMPLES.ids.copy()
    others[int(np.argmin(np.isin(others.astype(str), table["example"])))] = 99  # one that was not drawn
    assert assumed(dataclasses.replace(EXAMPLES, ids=others)) == [
        "they were drawn among other examples than this study's"
    ]
    (folder / "pairs.json").write_text(record.replace('"seed": 1', '"seed": 2'))
    assert assumed() == ["pairs.json cannot be read, or was changed"]
    (folder / "pairs.json").unlink()
    assert assumed() == ["pairs.json, which launch/draw_pairs.py writes beside it, is not there"]
    (folder / "pairs.csv").unlink()
    draw_pairs(plan, EXAMPLES, settings, 12, folder / "pairs.csv", seed=5)
    (folder / "pairs.csv").write_text(csv_text(table))
    (sentence,) = assumed()
    assert re.fullmatch(r"of the 12 that were drawn \d+ are missing, and \d+ others are there", sentence)


def test_draws_that_cannot_be_are_refused(tmp_path):
    plan, settings, _ = drawn(tmp_path)
    for count in (9, 41):
        with pytest.raises(InputError, match=f"at least 10 and at most all 40 examples, not {count}"):
            draw_pairs(plan, EXAMPLES, settings, count, tmp_path / "others.csv")
    with pytest.raises(InputError, match=r"pairs.csv is there already, and may hold pictures' names"):
        draw_pairs(plan, EXAMPLES, settings, 10, tmp_path / "pairs.csv")
    bare = dataclasses.replace(EXAMPLES, images=None)
    for refused in (
        lambda: draw_pairs(plan, bare, settings, 10, tmp_path / "others.csv"),
        lambda: read_pairs(plan, bare, settings),
    ):
        with pytest.raises(InputError, match=r"real pictures, and this study has none: name them \(data.image\)"):
            refused()
    rare = dataclasses.replace(EXAMPLES, labels=(np.arange(40) < 3).astype(np.int32))
    with pytest.raises(InputError, match="1 of the 10 examples with true pairs is of class 1, and metrics need two"):
        draw_pairs(plan, rare, settings, 10, tmp_path / "others.csv")
    assert not (tmp_path / "others.csv").exists()


def test_a_group_a_control_and_strata_need_what_permuting_can_give(tmp_path):
    """Of a group every other joint content that somebody has; of the control nothing; within strata, what is there."""
    fields = {"groups": (CONCEPTS,), "control": "a photo", "condition_on": ("green circle",)}
    settings = Settings(concepts=CONCEPTS, **fields)
    plan = make_plan(EXAMPLES, TOKENIZER, 32, settings)
    paired = np.arange(40) < 10
    needed = find_needed(plan, EXAMPLES, settings, paired)
    assert {plan.names[f] for f in needed.feature} == {*CONCEPTS, "red circle + blue circle"}
    both, green = EXAMPLES.concepts[:, [0, 2]] @ [1, 2], EXAMPLES.concepts[:, 1]
    expected = sum(len(set(both[green == green[i]]) - {both[i]}) for i in range(10))
    assert (np.array(plan.names)[needed.feature] == "red circle + blue circle").sum() == expected
    table = draw_pairs(plan, EXAMPLES, settings, 10, tmp_path / "pairs.csv")
    assert not table.duplicated(["example", "caption"]).any()  # a caption of a concept and of the group is one picture
    assert json.loads((tmp_path / "pairs.json").read_text())["examples"] == list(dict.fromkeys(table["example"]))


@pytest.mark.slow
def test_a_generator_that_paints_nothing_is_corrected(tmp_path):
    """Its importances are 0; the true pictures', of half of the examples, are not."""
    settings = {"concepts": CONCEPTS, "draws": 1, "metrics": ("accuracy", "auroc")}
    _, _, table = drawn(tmp_path, num=20)
    blind = {"generator": Generator(jnp.zeros((6, 6)), paint), "examples": EXAMPLES}

    def run(**more):
        return study(TOKENIZER, tmp_path / "run", **blind, **settings, **more)

    plain = run()
    assert plain.corrected is None and "Corrected" not in plain.text
    found = run(true_pairs=str(tmp_path / "pairs.csv"))
    row = found.corrected.set_index(["concept", "metric"]).loc["red circle", "accuracy"]
    assert row.pairs == 20 and row.verdict == "fail" and row.generated == 0
    # The classifier decides by the red circle alone (3, against 2 of the blue one): without it, by who has one.
    right = EXAMPLES.labels == EXAMPLES.concepts[:, 0]
    pairs = np.isin(EXAMPLES.ids.astype(str), table["example"])
    share = (EXAMPLES.concepts[:, 0].sum() - EXAMPLES.concepts[:, 0]) / 39
    permuted = np.where(EXAMPLES.labels == 1, share, 1 - share)
    alone = right[pairs].mean() - permuted[pairs].mean()
    np.testing.assert_allclose(row.pairs_alone, alone, atol=1e-6)
    assert row.ci_low > 0.1 and row.pairs_low < alone < row.pairs_high
    text = " ".join(found.text.split())
    assert "Corrected by the true pictures of 20 examples: the importance on true counterfactuals" in text
    assert "on 40 true pictures the detector has AUROC 1.000" in text and "random subset" not in text
    again = run(true_pairs=str(tmp_path / "pairs.csv"))  # read from its file
    pd.testing.assert_frame_equal(again.corrected, found.corrected, check_dtype=False)
    (tmp_path / "pairs.json").unlink()
    swapped = table.assign(image=[table.image[row ^ 1] for row in range(len(table))])
    (tmp_path / "pairs.csv").write_text(csv_text(swapped))  # the same pictures, of other captions
    other = run(true_pairs=str(tmp_path / "pairs.csv"))
    assert any("random subset is assumed: pairs.json" in warning for warning in other.importance.warnings)
    assert not np.allclose(other.corrected.pairs_alone, found.corrected.pairs_alone, atol=0.01)
    assert run().corrected is None and not (tmp_path / "run/corrected.csv").exists()
