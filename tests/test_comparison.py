"""Several classifiers on the same pictures: each is explained as it is alone, and their differences come with intervals."""

import json
from unittest import mock

import numpy as np
import pandas as pd
import pytest

import cpi_jax
from cpi_jax.analysis.early_stopping import EarlyStopping
from cpi_jax.analysis.validity import check_detector
from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import read_csv
from cpi_jax.opening import open_study
from cpi_jax.report.comparison_text import describe_comparison
from cpi_jax.store.status import status
from cpi_jax.store.store import Store
from cpi_jax.store.verify import verify
from tests.painter import FAST, WEIGHTS, flat_settings, painter, photographs, reader, scenes, without_pictures

pytestmark = pytest.mark.slow

OTHER = np.array([[1.0, 3.0, -2.0, 0, 0, 0]]).T
SETTINGS = FAST | {"draws": 1, "unit_size": 64, "num_bootstrap": 2, "metrics": ("auroc", "accuracy")}


@pytest.fixture(scope="module")
def run(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("compared")
    given = {"generator": painter(), "tokenizer": tokenizer, "detector": reader(np.eye(6)), "workdir": folder}
    examples = photographs(scenes(60))

    def explain(settings=SETTINGS, examples=examples, drawing=None, **classifiers):
        with drawing or without_pictures():
            return cpi_jax.explain(examples, settings=flat_settings(**settings), **given | classifiers)

    with mock.patch("cpi_jax.analysis.target_results.check_detector", wraps=check_detector) as checks:
        drawing = mock.patch("cpi_jax.report.plots.write_figures")
        found = explain(drawing=drawing, targets={"sure": reader(WEIGHTS), "other": reader(OTHER)})
    assert checks.call_count == 1  # whatever the number of classifiers
    page = (folder / "report.html").read_text()
    assert "What these classifiers rely on" in page and ">sure<" in page and ">other<" in page
    return explain, found, folder


def chunks(folder, *tables):
    return {
        path: path.read_bytes()
        for table in tables
        for path in (folder / "scores.zarr" / table).rglob("*")
        if path.is_file()
    }


def test_each_is_explained_as_it_is_alone(run, tmp_path):
    explain, found, folder = run
    alone = explain(target=reader(OTHER), workdir=tmp_path)
    own = found.explanations["other"]
    assert list(found.explanations) == ["sure", "other"] and own.workdir == folder / "results" / "other"
    for name in ("table", "checks", "local", "flips", "responses", "sign_tests"):
        pd.testing.assert_frame_equal(getattr(own, name), getattr(alone, name))
    named = [line.replace("classifier other", "target") for line in own.warnings]
    assert (
        named == [line.replace("than the classifier", "than the target") for line in alone.warnings] and len(named) == 2
    )
    files = {path.relative_to(own.workdir).as_posix() for path in own.workdir.rglob("*") if path.is_file()}
    # Self-contained: the kept pictures, too.
    pictures = {path.name: path.read_bytes() for path in (folder / "images").glob("*.png")}
    assert pictures and pictures.items() <= {p.name: p.read_bytes() for p in (own.workdir / "images").iterdir()}.items()
    assert {"importance.json", "checks.csv", "local.parquet", "provenance.json", "images/samples.csv"} <= files
    assert not (folder / "importance.json").exists()
    assert json.loads((own.workdir / "provenance.json").read_text())["target"] == "other"


def test_the_differences_are_paired(run):
    _, found, folder = run
    table = found.differences.set_index(["metric", "concept"])
    assert set(zip(table.classifier, table.against)) == {("other", "sure")} and len(table) == 12
    value = {name: own.table.set_index(["metric", "concept"]) for name, own in found.explanations.items()}
    expected = (value["other"].importance - value["sure"].importance)[table.index]
    np.testing.assert_allclose(table.difference, expected, atol=2e-6)
    both = (value["other"].error ** 2 + value["sure"].error ** 2) ** 0.5
    red, blue = ("auroc", "red circle"), ("auroc", "blue circle")
    assert table.differs[red] and table.difference[red] < 0 and table.p_holm[red] < 0.05
    assert table.error[blue] < 0.8 * both[blue]  # both read it in the same pictures
    nobody = table.loc[("auroc", "blue rectangle")]
    assert (nobody.difference, nobody.error, nobody.p) == (0, 0, 1) and not nobody.differs
    pd.testing.assert_frame_equal(read_csv(folder / "results" / "target_differences.csv"), found.differences)


def test_the_text_has_rankings_side_by_side_and_the_differences(run):
    _, found, folder = run
    text = found.summary()
    assert text.startswith(describe_comparison(folder / "results")) and f"{folder}/ (report.html" in text
    head = next(line for line in text.split("\n") if line.startswith("concept"))
    assert head.split() == ["concept", "sure", "other"]
    assert "other minus sure" in text and "Effective generation, classifier other: " in text
    assert text.count("Independent permutation") == 1 and "classifiers, on the same pictures: sure, other" in text
    assert repr(found).startswith("2 classifiers: sure, other\nconcepts whose importance differs: ")
    assert len(max(text.split("\n"), key=len)) <= 124


def test_one_that_is_added_makes_its_own_table_and_one_that_is_left_out_keeps_it(run):
    explain, _, folder = run
    old = chunks(folder, "sure", "other", "detector")
    images = {path: path.read_bytes() for path in (folder / "images").iterdir()}
    third = {"third": reader(-OTHER[::-1])}
    settings = SETTINGS | {"allow_worse_than_chance": True}
    found = explain(settings, targets={"sure": reader(WEIGHTS), "other": reader(OTHER)} | third)
    assert chunks(folder, "sure", "other", "detector") == old
    assert {path: path.read_bytes() for path in (folder / "images").iterdir()} == images
    assert list(found.explanations) == ["sure", "other", "third"] and len(found.differences) == 3 * 12
    scores = Store.open_existing(folder).read_scores(1)
    alone = explain(settings, targets=third)
    assert alone.differences.empty and "1 classifier: third" in repr(alone)
    assert alone.explanations["third"].importance.to_json() == found.explanations["third"].importance.to_json()
    assert "scores of detector, third; other, sure left out, whose scores are kept" in status(folder)
    assert chunks(folder, "sure", "other", "detector") == old and verify(folder).sound
    longer = explain(settings | {"draws": 2}, targets=third)
    assert longer.explanations["third"].importance.per_draw.shape[1] == 2 and "all images are there" in status(folder)
    np.testing.assert_array_equal(Store.open_existing(folder).read_scores(1)["sure"], scores["sure"])
    assert list(cpi_jax.read_study(folder).explanations) == ["third"]
    # A run that is cut short before it compares its results leaves no comparison of those before.
    cut = mock.patch("cpi_jax.analysis.results.write_comparison", side_effect=InputError("cut short"))
    with cut, pytest.raises(InputError, match="cut short"):
        explain(settings | {"level": 0.9}, targets=third)
    with pytest.raises(InputError, match="holds no results yet"):
        cpi_jax.read_study(folder)


def test_draws_end_when_every_classifier_has_enough(tokenizer, tmp_path):
    study = open_study(
        scenes(12),
        generator=painter(),
        tokenizer=tokenizer,
        scorers={"sure": reader(WEIGHTS), "other": reader(OTHER)},
        settings=flat_settings(draws=4, unit_size=64, batch_size=16, sampled_examples=0, stop_width=0.1),
        workdir=tmp_path,
    )
    stopping, looked = EarlyStopping(study), "cpi_jax.analysis.early_stopping"
    answers = ["narrow", None, "narrow", "narrow"]  # of both classifiers after one draw, and after two
    with (
        mock.patch(f"{looked}.infer_study"),
        mock.patch(f"{looked}.ranking_metric"),
        mock.patch(f"{looked}.reason_to_stop", side_effect=answers),
    ):
        assert study.generate(stopping=stopping) == ""
    assert stopping.describe() == "after 2 of at most 4 draws: sure: narrow; other: narrow"
    assert study.scores.count_done(4).tolist() == 2 * [study.plan.num_variants] + [0, 0]


def test_the_first_reading_names_every_classifier(run, capsys):
    explain, _, _ = run
    with pytest.raises(InputError, match="the classifier swapped is worse than chance on the real images"):
        explain(targets={"sure": reader(WEIGHTS), "swapped": reader(-WEIGHTS)})
    said = capsys.readouterr().err
    assert said.count("on 60 real images the detector has") == 1 and "the classifier sure on the real images" in said
