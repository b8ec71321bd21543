"""The whole benchmark in its tiny form, as a user starts it, with exact pictures in place of the generator's."""

import json
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from benchmarks.recovery.agreement import agreement
from tests.catalogue import exact_shapes
from tests.launching import ROOT, launch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recovery")
    arguments = [f"--workdir={folder / 'work'}", f"--page={folder / 'page'}"]
    with mock.patch("benchmarks.recovery.worlds._load", exact_shapes):
        done = launch("recovery", f"--config={ROOT / 'benchmarks/recovery/config.py'}:tiny", *arguments)
    assert done.code == 0, done.err
    return folder / "page", json.loads((folder / "page" / "recovery.json").read_text())


def test_known_importances_are_recovered(run):
    """The bounds are far from what 27 examples reach (.99 and .96) and from what chance gives."""
    headline = run[1]["headline"]
    assert headline["pearson_mean"] > 0.9 and headline["cnn_spearman_mean"] > 0.7
    assert headline["wins_over_gradcam"] >= 7 and headline["wins_over_lime"] >= 7
    assert headline["oracle_coverage"] > 0.8


def test_the_numbers_follow_from_the_estimates(run):
    found = run[1]
    truth, value = np.array(found["truth"]["bottleneck"]), np.array(found["estimates"]["bottleneck"]["value"])
    pearson = [agreement(v, t)["pearson"] for v, t in zip(value, truth)]
    assert found["headline"]["pearson_mean"] == pytest.approx(np.mean(pearson), abs=1e-6)
    lime = [row["pearson"] for row in found["models"] if (row["models"], row["method"]) == ("bottleneck", "LIME")]
    assert found["headline"]["wins_over_lime"] == sum(a > b for a, b in zip(pearson, lime))


def test_the_leak_is_seen_where_it_was_planted(run):
    faults = {row["concept"]: row for row in run[1]["faults"]}
    assert faults["red circle"]["verdict"] == "fail"
    failed = {name for name, row in faults.items() if row["verdict"] == "fail"}
    assert failed <= {"red circle", "blue rectangle"}
    worse = {name: row["error"] - row["error_of_sound"] for name, row in faults.items()}
    assert max(worse, key=worse.get) in ("red circle", "blue rectangle")


def test_the_page_shows_the_run(run):
    folder, found = run
    page = (folder / "recovery.md").read_text()
    assert f"{found['headline']['pearson_mean']:.3f}" in page and "{" not in page
    for name in ("scatter", "ranks", "heat_maps"):
        assert f"recovery/{name}.png" in page
        picture = np.asarray(Image.open(folder / "recovery" / f"{name}.png"))
        assert picture.shape[1] > 600 and np.unique(picture.reshape(-1, picture.shape[2]), axis=0).shape[0] > 50
