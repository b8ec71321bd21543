"""report.html without a browser: what it says, what it holds, and what it refuses."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from benchmarks.report_page import make_results
from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import csv_text, read_csv
from cpi_jax.report.page import pictures
from cpi_jax.report.page.page import _HERE, write_page
from cpi_jax.report.page.pictures import marked_words
from cpi_jax.report.page.reading import read_results
from cpi_jax.report.page.sentences import answer
from cpi_jax.report.page.trust import find_checks, verdict
from tests.report.made_up import made_responses

HOSTILE = (
    "<script>window.hit=1</script>",
    "</script><img src=x onerror=window.hit=1>",
    "\"'><svg onload=window.hit=1>",
    "line\u2028separated \u202egnitirw",
    "{{ 7 * 7 }}",
    "x" * 2000,
)


class Parsed(HTMLParser):
    """Elements with their attributes, and the text without that of script and style."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self._inside, self._rows = [], [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._inside = tag

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.texts.append(data)

    def handle_endtag(self, tag):
        self._inside = ""

    @property
    def text(self):
        return " ".join("".join(self.texts).split())


def page_of(results, tmp_path):
    if not isinstance(results, dict):
        results = {"": results}
    return Parsed(write_page(results, tmp_path / "report.html").read_text(encoding="utf-8"))


def said(results):
    """The sentences of the answer without markup."""
    return [sentence.striptags() for sentence in answer(read_results(results))]


def test_the_answer_is_made_from_the_numbers(tmp_path):
    folder = make_results(tmp_path, ["red circle", "dog", "sky", "car", "tree", "cat"], pairs=0)
    assert said(folder) == [
        "The classifier relies on red circle: when it is shuffled across captions, AUROC falls from 0.920 by 0.200 "
        "(95% interval [0.150, 0.250]).",
        "It also relies on dog (0.160 [0.110, 0.210]), sky (0.120 [0.070, 0.170]) and car (0.080 [0.030, 0.130]).",
        "With these data, ranks 1 and 2 cannot be told apart, nor can ranks 5 and 6.",
        "Nothing shows that tree or cat matter: these data leave room for a fall of AUROC by at most 0.090 (that of tree).",
    ]
    table = read_csv(folder / "importance.csv").assign(p_holm=0.5)
    (folder / "importance.csv").write_text(csv_text(table))
    assert said(folder)[0] == (
        "No concept is shown to matter to this classifier. The largest fall of AUROC is that of red circle: 0.200 "
        "(95% interval [0.150, 0.250]); that is not clearly above 0."
    )
    (folder / "importance.csv").write_text(csv_text(table.assign(verdict="fail", rank_valid=False)))
    assert said(folder)[0].startswith("Nothing can be said of any concept: the pictures of all of them failed a check")


def test_a_first_place_that_is_sure_and_a_control_are_said(tmp_path):
    folder = make_results(tmp_path, ["a", "b", "c", "phrase"], pairs=0)
    table = read_csv(folder / "importance.csv")
    last = table["concept"] == "phrase"
    table = table.assign(rank_low=[1, 2, 2, 0] * 3, rank_high=[1, 3, 3, 0] * 3)
    table.loc[last, ["rank", "importance", "ci_low", "ci_high"]] = [0, 0.001, -0.002, 0.004]
    (folder / "importance.csv").write_text(csv_text(table))
    sentences = said(folder)
    assert "Its first place is sure." in sentences and sentences[0].startswith("The classifier leans most on a: ")
    assert "With these data, ranks 2 and 3 cannot be told apart." in sentences
    assert sentences[-1] == (
        "As a test of the method, phrase, which says nothing, was shuffled too: AUROC changes by 0.001 [−0.002, 0.004], "
        "as it should be."
    )


def test_which_way_a_concept_moves_the_score_is_said_where_it_is_sure(tmp_path):
    folder = make_results(tmp_path, ["a", "b", "c", "d"], pairs=0)
    scores = {"a": [-1, 3], "b": [2, -2], "c": [0, 1], "e": [-1, 3]}  # intervals from 0.5 below to 1 above
    tables = [made_responses(name, ["", f"1 {name}"], [pair]) for name, pair in scores.items()]
    several = made_responses("a", ["", "1 a"], [[-1, 3], [3, -1]])
    both = "Its score is higher where captions name a, and lower where captions name b."
    for responses, sentences in ((pd.concat(tables), [both]), (several, [])):
        (folder / "responses.csv").write_text(csv_text(responses))
        assert [text for text in said(folder) if "Its score" in text] == sentences


@pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive"])
def test_whether_it_is_to_be_believed_follows_from_the_checks(tmp_path, outcome):
    checks = find_checks(read_results(make_results(tmp_path, ["a", "b"], pairs=0, verdict=outcome)))
    assert [check.outcome for check in checks] == ["pass", "pass", outcome, "pass"]
    assert verdict(checks)[0] == outcome
    if outcome == "fail":
        assert "changing a also changes b (what the detector finds of it: AUROC −0.200" in checks[2].found.striptags()
        assert checks[2].to_do == ("Permute a and others as a group.",)
        assert said(tmp_path)[0].startswith("Of the concepts that can be judged, the classifier relies on b")


def test_without_checks_nobody_knows(tmp_path):
    folder = make_results(tmp_path, ["a"], pairs=0)
    (folder / "checks.csv").write_text(csv_text(pd.DataFrame(columns=["check", "concept", "verdict"])))
    results = read_results(folder)
    assert verdict(find_checks(results))[0] == "not assessed"
    assert "Name a detector" in page_of(folder, tmp_path).text


def test_where_nothing_is_settled_nothing_is_half_believed(tmp_path):
    folder = make_results(tmp_path, ["a"], pairs=0)
    checks = read_csv(folder / "checks.csv")
    target = checks.loc[checks["concept"].str.startswith("target: ")]
    (folder / "checks.csv").write_text(csv_text(target.assign(verdict="inconclusive", needed=34_537)))
    outcome, sentence = verdict(find_checks(read_results(folder)))
    assert (outcome, sentence) == (
        "inconclusive",
        "Nobody knows yet: no check failed, but there are too few examples to settle any. 3 could not be made.",
    )
    text = page_of(folder, tmp_path).text
    assert "about 35,000 would settle this" in text and "measured with few examples: add some, and look again" in text


@pytest.mark.parametrize(("label", "shown"), [("", ""), ("home", "Label: home · "), (["a", "b"], "Label: a, b · ")])
def test_what_the_classifier_decides_is_said_on_top(tmp_path, label, shown):
    folder = make_results(tmp_path, ["a"], pairs=0)
    (folder / "config.json").write_text(json.dumps({"data": {"label": label}}))
    about = page_of(folder, tmp_path).text.partition("Classifier: ")[2].partition("Data: ")[0]
    assert about.partition(" · ")[2] == shown


def test_hostile_names_are_shown_as_text_and_run_nothing(tmp_path):
    folder = make_results(
        tmp_path, HOSTILE, examples=6, ids=HOSTILE, caption=f"{HOSTILE[0]}, {HOSTILE[1]}, ", pairs=6, notes=[HOSTILE[1]]
    )
    page = page_of({HOSTILE[0]: folder, HOSTILE[2]: folder}, tmp_path)
    assert [tag for tag, _ in page.elements].count("script") == 1
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert "style" not in attributes
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), attributes[name]
    for name in HOSTILE[:3]:
        assert name in page.text
    assert "{{ 7 * 7 }}" in page.text and "line separated gnitirw" in page.text
    assert "\u202e" not in page.text and "x" * 500 not in page.text


def test_the_page_forbids_the_network_and_its_own_script_and_style_are_small(tmp_path):
    write_page({"": make_results(tmp_path, ["a"], pairs=0)}, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy
    assert sum((_HERE / name).stat().st_size for name in ("style.css", "script.js")) < 60_000


def test_the_ranking_equals_importance_csv(tmp_path):
    folder = make_results(tmp_path, ["a", "b", "c"], pairs=0)
    write_page({"": folder}, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr data-concept="(\w)">(.*?)</tr>', page)
    table = read_csv(folder / "importance.csv")
    assert len(rows) == len(table) == 9
    for (concept, cells), row in zip(rows, table.itertuples()):
        keys = [float(key) for key in re.findall(r'data-key="([^"]*)"', cells)]
        assert (concept, keys) == (row.concept, [row.rank, row.importance, row.ci_low, row.p_holm])
        assert f">{row.importance:.3f}<" in cells.replace("−", "-")


def test_what_is_downloaded_is_what_lies_there(tmp_path):
    folder = make_results(tmp_path, ["a", "b"], pairs=0)
    links = {a["download"]: a["href"] for tag, a in page_of(folder, tmp_path).elements if "download" in a}
    for name in ("importance.csv", "checks.csv", "importance.json"):
        assert base64.b64decode(links[name].partition("base64,")[2]) == (folder / name).read_bytes()


def test_pictures_that_do_not_fit_are_left_out_and_counted(tmp_path, monkeypatch):
    folder = make_results(tmp_path, ["a", "b"], pairs=6)
    monkeypatch.setattr(pictures, "BUDGET", 40_000)
    page = page_of(folder, tmp_path)
    shown = len([1 for _, attributes in page.elements if attributes.get("class", "").startswith("picture")])
    assert 0 < shown < 6 and f"{6 - shown} more did not fit into this page" in page.text


@pytest.mark.parametrize("wanted", ["none", "generated", "all"])
def test_which_pictures_the_page_holds_is_chosen_and_said_on_top(tmp_path, wanted):
    folder = make_results(tmp_path, ["a"], pairs=2)
    (folder / "config.json").write_text(json.dumps({"output": {"report_images": wanted}}))
    page = page_of(folder, tmp_path)
    images = sum(tag == "img" for tag, _ in page.elements)
    assert images == {"none": 0, "generated": 4, "all": 6}[wanted]
    sentence = {
        "none": "holds no pictures",
        "generated": "generated pictures alone",
        "all": "holds real pictures beside",
    }
    assert sentence[wanted] in page.text


def test_few_and_many_concepts_and_an_unfinished_study_have_a_page(tmp_path):
    one = make_results(tmp_path / "one", ["a"], examples=2, pairs=0, unfinished="1 of 3 draws", stopped="after 2 draws")
    text = page_of(one, tmp_path).text
    assert "Unfinished. Everything here is of 1 of 3 draws so far" in text and "Let the study finish" in text
    many = make_results(tmp_path / "many", [f"concept {k}" for k in range(200)], examples=2, pairs=0)
    text = page_of(many, tmp_path).text
    assert "concept 199" in text and "170 more in importance.csv" in text
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_subgroups_without_a_ranking_on_the_page_are_said(tmp_path):
    folder = make_results(tmp_path, ["a", "b"], pairs=0)
    table = read_csv(folder / "importance.csv")
    for count, sentence in ((8, False), (11, True)):
        groups = [table.assign(subgroup=f"site {n}") for n in range(count)]
        (folder / "subgroups.csv").write_text(csv_text(pd.concat(groups)))
        assert ("The rankings of 3 more subgroups are in subgroups.csv." in page_of(folder, tmp_path).text) == sentence


def test_several_classifiers_stand_side_by_side(tmp_path):
    results = {name: make_results(tmp_path / name, ["a", "b"], pairs=0) for name in ("old", "new")}
    differences = pd.DataFrame({"metric": ["auroc"], "concept": ["a"], "classifier": ["new"], "against": ["old"]})
    differences = differences.assign(difference=-0.05, ci_low=-0.08, ci_high=-0.02, p=0.001, p_holm=0.002, differs=True)
    (tmp_path / "target_differences.csv").write_text(csv_text(differences))
    page = page_of(results, tmp_path)
    assert "All classifiers" in page.text and "new minus old−0.050[−0.080, −0.020]" in page.text
    assert {a["data-choose"] for _, a in page.elements if "data-choose" in a} == {"c0", "c1"}


def test_what_no_page_can_be_made_of_is_said_in_a_sentence(tmp_path):
    folder = make_results(tmp_path / "study", ["a"], pairs=0)

    def refused(results, out):
        with pytest.raises(InputError) as caught:
            write_page({"": results}, out)
        return str(caught.value)

    assert "no results in" in refused(tmp_path, tmp_path / "report.html")
    assert "is no folder that can be written to" in refused(folder, tmp_path / "nowhere" / "report.html")
    assert "is a folder: name the file to write" in refused(folder, tmp_path)
    content = json.loads((folder / "importance.json").read_text())
    del content["notes"]
    (folder / "importance.json").write_text(json.dumps(content))
    assert "damaged or of an earlier release (KeyError: 'notes')" in refused(folder, tmp_path / "report.html")


def test_the_words_of_captions_that_change_are_marked():
    assert marked_words("1 dog, 2 cats", "1 dog, 3 cats") == (
        "<bdi>1 dog, <del>2</del> cats</bdi>",
        "<bdi>1 dog, <ins>3</ins> cats</bdi>",
    )
    assert marked_words("1 dog, 2 cats", "2 cats") == ("<bdi><del>1 dog</del>, 2 cats</bdi>", "<bdi>2 cats</bdi>")
    assert marked_words("a <b> dog", "a <b> cat")[1] == "<bdi>a &lt;b&gt; <ins>cat</ins></bdi>"
    assert len(marked_words("z" * 5000, "z " * 5000)[1]) < 1500


def test_damaged_pictures_are_left_out(tmp_path):
    folder = make_results(tmp_path, ["a"], pairs=2)
    (folder / "images" / "after_0.png").write_bytes(b"no picture")
    (folder / "images" / "real_1.png").unlink()
    page = page_of(folder, tmp_path)
    assert sum(tag == "img" for tag, _ in page.elements) == 2


def test_plots_stand_where_their_numbers_are():
    from cpi_jax.report.page.forest import MARGIN, WIDTH, scale_of

    scale = scale_of([-0.013, 0.264, np.nan])
    assert np.allclose((scale.low, scale.high), (-0.1, 0.3)) and 0.0 in scale.ticks
    assert scale.at(-0.1) == MARGIN and scale.at(0.3) == WIDTH - MARGIN and scale.at(0.1) == WIDTH / 2
    assert scale_of([0.0, np.nan]).low < 0 < scale_of([0.0]).high
