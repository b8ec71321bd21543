"""The report and the pictures of a folder of results, without a study."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from configs.shapes import get_config
from cpi_jax.cli.planted import planted_from_config
from cpi_jax.embedded import SHAPES_TARGET
from cpi_jax.files.csv_files import csv_text
from cpi_jax.report.plots import write_figures, write_ranking
from cpi_jax.report.sheets import write_sheet
from cpi_jax.report.text import describe_files, describe_results
from cpi_jax.wording import apart, counted, in_a_line, percent, signed

PHOTO = np.full((8, 8, 3), 99, np.uint8)


def write_results(folder, num_concepts, failing=(), draws=1):
    """What `explain` leaves behind: concept k has importance .2 - .03 k, and all checks but some pairs' pass."""
    names = [f"concept {k}" for k in range(num_concepts)]
    value = 0.2 - 0.03 * np.arange(num_concepts)
    table = pd.DataFrame({"concept": names, "metric": "auroc", "importance": value, "ci_low": value - 0.05})
    table = table.assign(ci_high=value + 0.05, p=0.01, p_holm=0.02, rank=1 + np.arange(num_concepts), rank_low=1)
    table = table.assign(rank_high=num_concepts, rank_valid=True, verdict="pass", share_of_draws=np.nan)
    for d in range(draws):
        table[f"draw_{d}"] = value
    pairs = pd.DataFrame([(a, b) for a in names for b in names], columns=["permuted", "concept"])
    pairs = pairs.assign(
        check="independent permutation", role=np.where(pairs.permuted == pairs.concept, "permuted", "other")
    )
    pairs = pairs.assign(change=-1e-5, change_error=0.001, leak=0.002, leak_error=0.001, auroc_permuted_labels=0.98)
    pairs["verdict"] = ["fail" if pair in failing else "pass" for pair in zip(pairs.permuted, pairs.concept)]
    scorers = ["target: label", *(f"detector: {name}" for name in names)]
    generation = pd.DataFrame({"check": "effective generation", "concept": scorers, "auroc_real": 0.95})
    generation = generation.assign(auroc_generated=0.95, lost=-1e-5, lost_error=0.01, verdict="pass")
    checks = pd.concat([generation, pairs], ignore_index=True).assign(needed=0)
    record = {"metrics": ["auroc"], "level": 0.95, "per_draw": [np.tile(value, (draws, 1)).tolist()], "warnings": []}
    record |= {"interval": "jackknife", "alternative": "greater"}
    about = {"target": "my_code:predict", "data": "captions.csv", "examples": 200, "draws": draws}
    content = {"importance": record, "interactions": None, "stopped": None, "unfinished": None, "skipped": ["tv"]}
    (folder / "importance.csv").write_text(csv_text(table))
    (folder / "checks.csv").write_text(csv_text(checks))
    (folder / "importance.json").write_text(json.dumps(content))
    made = {"images_generated": 1, "images_reference_protocol": 30_000}
    (folder / "provenance.json").write_text(json.dumps(about | made))


def test_the_report_fits_a_screen(tmp_path):
    write_results(tmp_path, 6, failing={("concept 1", "concept 4"), ("concept 2", "concept 2")})
    text = f"{describe_results(tmp_path)}\n{describe_files(tmp_path)}"
    lines = text.replace(str(tmp_path), "runs/mine").split("\n")
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    text = " ".join(lines)
    assert "target: my_code:predict; data: captions.csv; 200 examples, 1 draw " in text
    assert "1 image generated; DEPICT's reference protocol: 30,000 images" in text
    assert "36 pairs of a permuted and a detected concept: 34 pass, 2 FAIL" in text
    assert [line for line in lines if "FAIL:" in line] == [
        "  FAIL: permuting concept 1 moves concept 4: AUROC 0.000 -+ 0.002, leak +0.002 -+ 0.002",
        "  FAIL: concept 2: follows its words with AUROC 0.980",
    ]
    assert "-0.000" not in text and "lost 0.000 -+ 0.020" in text and "Skipped, since every caption says" in text


def test_the_report_says_which_checks_were_left_out(tmp_path):
    write_results(tmp_path, 3)
    (tmp_path / "checks.csv").write_text(csv_text(pd.DataFrame(columns=["check"])))
    text = describe_results(tmp_path)
    assert "Effective generation: skipped, no real images" in text and "Independent permutation: skipped" in text
    write_figures(tmp_path)
    assert not (tmp_path / "independence.png").exists()


@pytest.mark.parametrize("num_concepts", [2, 30])
def test_pictures_hold_with_few_and_with_many_concepts(tmp_path, num_concepts):
    write_results(tmp_path, num_concepts, draws=2)
    write_figures(tmp_path, "svg" if num_concepts == 2 else "")
    for name in ("ranking", "independence"):
        picture = Image.open(tmp_path / f"{name}.png")
        assert min(picture.size) > 200 and max(picture.size) < 10_000
        assert (tmp_path / f"{name}.svg").exists() == (num_concepts == 2)
    assert 0.35 < Image.open(tmp_path / "ranking.png").height / 150 / num_concepts < 1.6  # inches a line
    if num_concepts == 2:
        text = (tmp_path / "ranking.svg").read_text()
        assert "<!-- target: my_code:predict; data: captions.csv; 200 examples, 2 draws -->" in text
    if num_concepts == 30:
        assert "FAIL" not in describe_results(tmp_path) and len(describe_results(tmp_path).split("\n")) < 60


def test_a_ranking_shows_the_most_important_of_very_many(tmp_path, monkeypatch):
    write_results(tmp_path, 5)
    monkeypatch.setattr("cpi_jax.report.ranking_plot._MOST", 3)
    monkeypatch.setattr("cpi_jax.wording._ROWS", 2)
    write_ranking(tmp_path, besides="svg")
    text = (tmp_path / "ranking.svg").read_text()
    assert "5 concepts" in text and "<!-- concept 2 -->" in text and "<!-- concept 3 -->" not in text
    assert "concept 1 " in describe_results(tmp_path) and "... and 3 more in importance.csv" in describe_results(
        tmp_path
    )


def test_titles_above_pictures_are_shown_letter_by_letter(tmp_path):
    write_sheet(tmp_path / "sheet.svg", [[(PHOTO, "$x^$\n-> a\tb\n+0.52"), None], [(PHOTO, "x" * 300)]])
    text = (tmp_path / "sheet.svg").read_text()
    assert "<!-- $x^$ -->" in text and "a b" in text and "x" * 23 not in text


def test_the_planted_truth_belongs_to_the_classifier_that_learnt_it():
    config = get_config()
    assert planted_from_config(config) == (config.data.weights, config.data.bias)
    for field, value in {"module": "my_code:predict", "path": "elsewhere"}.items():
        other = get_config()
        other.target[field] = value
        assert planted_from_config(other) is None
    config.target.path = str(SHAPES_TARGET)
    assert planted_from_config(config) is not None
    config.data.bias = 0.0
    assert planted_from_config(config) is None


def test_wording():
    assert (counted(1, "draw"), counted(0, "draw"), counted(1234, "image")) == ("1 draw", "0 draws", "1,234 images")
    assert (counted(0.96, "minute"), counted(1.04, "minute", 1)) == ("1 minute", "1.0 minutes")
    assert (signed(-4e-6, 3), signed(-0.0004), signed(np.nan), signed(0.5, 1)) == ("0.000", "-0.0004", "-", "+0.5")
    assert (percent(0.95), percent(0.999)) == ("95%", "99.9%")
    assert apart(["dog", "a long dog", "a long cat", "a\u2028b", "a b", ""], 8) == [
        "dog", "a ...dog", "a ...cat", "a b [4]", "a b [5]", "''",
    ]  # fmt: skip
    assert (in_a_line("a\n b\u202e", 9), in_a_line("x" * 10, 9), in_a_line("\u200b", 9)) == (
        "a b",
        "xxxxxx...",
        r"'\u200b'",
    )
