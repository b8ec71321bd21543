"""Which pictures the page shows: chosen once the scores are there, made again, and described by what was scored."""

import json
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from cpi_jax.analysis.shown_pictures import FEWEST
from cpi_jax.errors import InputError
from cpi_jax.explain import explain
from cpi_jax.files.csv_files import read_csv
from tests.painter import FAST, WEIGHTS, flat_settings, painter, photographs, reader, scenes
from tests.words import WordTokenizer

NAMES = ("red circle", "green circle", "blue circle", "red rectangle", "green rectangle", "blue rectangle")


def run(folder, leak=None, **settings):
    with mock.patch("cpi_jax.report.plots.write_figures"):
        return explain(
            photographs(scenes(100)),
            generator=painter(leak),
            tokenizer=WordTokenizer(),
            target=reader(WEIGHTS),
            detector=reader(np.eye(6)),
            settings=flat_settings(**(FAST | {"draws": 1} | settings)),
            workdir=folder,
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    return folder, run(folder), json.loads((folder / "images" / "shown.json").read_text())


def test_the_largest_changes_and_random_ones_alternate(whole):
    _, explanation, shown = whole
    assert shown["chosen_among"] == "all" and len(shown["pairs"]) >= 20
    assert [pair["concept"] for pair in shown["pairs"][:6]] == list(NAMES)
    assert {pair["choice"] for pair in shown["pairs"][:6]} == {"largest change"}
    assert {pair["choice"] for pair in shown["pairs"][6:12]} == {"random"}
    local = explanation.local
    for pair in shown["pairs"]:
        rows = local.loc[local["concept"] == pair["concept"]].set_index("example_id")
        row = rows.loc[int(pair["example"])]
        change = pair["logit_after"] - pair["logit_before"]
        np.testing.assert_allclose(change, row.score_change, atol=1e-5)
        assert (pair["direction"], pair["flips"]) == (row.direction, row.flips == 1)
    for pair in shown["pairs"][:6]:
        sizes = local.loc[local["concept"] == pair["concept"], "score_change"].abs()
        np.testing.assert_allclose(abs(pair["logit_after"] - pair["logit_before"]), sizes.max(), atol=1e-5)


def test_few_pictures_are_made_again_and_they_show_their_captions(whole):
    folder, _, shown = whole
    kept = set(read_csv(folder / "images" / "samples.csv")["row"])
    names = {pair[side] for pair in shown["pairs"] for side in ("before", "after")}
    rows = {int(name.removeprefix("variant_").removesuffix(".png")) for name in names}
    assert FEWEST - 2 <= len(rows - kept) <= FEWEST
    for pair in shown["pairs"]:
        pixels = np.asarray(Image.open(folder / "images" / pair["after"])) / 255
        bright = pixels.reshape(2, 4, 3, 4, 3).mean((1, 3, 4)).ravel() > 0.5
        assert [name for name, there in zip(NAMES, bright) if there] == [n for n in NAMES if n in pair["caption_after"]]
        assert pair["shows_caption"] and pair["others_changed"] == []
        assert (folder / "images" / pair["real"]).exists()


def test_the_page_is_written_and_can_be_written_elsewhere(whole, tmp_path):
    folder, explanation, _ = whole
    page = (folder / "report.html").read_text()
    assert "The classifier leans most on <bdi class='name'>red circle</bdi>" in page
    assert explanation.report(tmp_path / "mine.html").read_text() == page
    with pytest.raises(InputError, match="give explain a workdir"):
        import dataclasses

        dataclasses.replace(explanation, workdir=None).report(tmp_path / "mine.html")


def test_what_a_generator_changes_besides_is_marked_and_pictures_can_be_left_out(tmp_path):
    run(tmp_path, leak=(1, 4), num_bootstrap=10)
    pairs = json.loads((tmp_path / "images" / "shown.json").read_text())["pairs"]
    also = {(pair["concept"], *pair["others_changed"]) for pair in pairs if pair["others_changed"]}
    assert also == {("green circle", "green rectangle")}
    assert "also changed: <bdi>green rectangle</bdi>" in (tmp_path / "report.html").read_text()
    run(tmp_path, leak=(1, 4), num_bootstrap=10, report_images="none")
    assert not (tmp_path / "images" / "shown.json").exists() and "<img" not in (tmp_path / "report.html").read_text()
