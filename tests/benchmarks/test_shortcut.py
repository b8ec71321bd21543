"""Two classifiers of garments on photographs: the true counterfactuals, and the whole study as a user starts it.

The embedded generator draws each of 36 captions once: the made-up garments of the tests are no garments to a classifier.
"""

import functools
import itertools
import json
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from benchmarks.shortcut import study as study_config
from benchmarks.shortcut.counterfactuals import counterfactual_scores, render_variants, variant_contents
from benchmarks.shortcut.photographs import BACKGROUNDS, GARMENTS, TINTS, fashion_contents, render_fashion
from cpi_jax.analysis import importances
from cpi_jax.baselines.oracle import weighted_auroc
from cpi_jax.captions.slots import assemble, make_slots
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.cli.from_config import study_from_config
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.generator import sample
from cpi_jax.plan.describe import describe_variants
from tests.catalogue import catalogue
from tests.garments import write_garments
from tests.launching import ROOT, launch
from tests.painter import without_pictures

pytestmark = pytest.mark.slow

CAPTIONS = [(f"a {t}", g, f"on {b}") for t, g, b in itertools.product(TINTS, GARMENTS, BACKGROUNDS)]
JOINING = {"separator": " ", "empty": "a photo"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_garments(tmp_path_factory.mktemp("idx"))


@functools.cache
def pictures_of(folder):
    """The embedded generator's picture of every caption that there is, all of one noise: [36, 1, H, W, 3]."""
    generator, tokenizer = load_generator(folder, steps=4, guidance_scale=3.0)
    ids = assemble(make_slots(tokenizer, CAPTIONS, length=generator.caption_length, **JOINING))
    keys = jnp.repeat(jax.random.split(jax.random.key(0), 1), len(CAPTIONS))
    return np.asarray(jnp.round(255 * sample(generator, ids, keys)), np.uint8)[:, None], tokenizer


@pytest.fixture(scope="module", autouse=True)
def drawn_once():
    """The generator shows pictures that it has drawn once; those that are edits of real pictures, too."""

    def load(folder, **sampler):
        pictures, tokenizer = pictures_of(folder)
        size = pictures.shape[2:4] if sampler["anchor"] else None
        return catalogue(tokenizer, CAPTIONS, pictures, source_size=size, **JOINING), tokenizer

    with mock.patch("cpi_jax.cli.from_config.load_generator", load):
        yield


@pytest.fixture(scope="module")
def study(path, tmp_path_factory):
    config = study_config.get_config("tiny")
    config.data.path, config.data.num_examples = path, 14
    return study_from_config(config, tmp_path_factory.mktemp("study")), config


def test_variants_show_what_their_captions_say_and_nothing_else_changes(study):
    study, config = study
    rows = np.arange(study.plan.num_variants)
    captions = describe_variants(study.plan, study.examples, study.settings)["caption"].to_pylist()
    words = [caption.replace(" on ", " ").removeprefix("a ").split() for caption in captions]
    slots = [(f"a {tint}", garment, f"on {background}") for tint, garment, background in words]
    np.testing.assert_array_equal(variant_contents(study), fashion_contents(slots))
    pictures = render_variants(study, config.data, rows)
    np.testing.assert_array_equal(pictures[np.asarray(study.plan.baseline)], study.examples.images)
    example, feature = np.asarray(study.plan.variants.example), np.asarray(study.plan.variants.feature)
    where = {"split": "study", "path": config.data.path}
    own = fashion_contents(study.examples.slots)
    _, covered = render_fashion(study.examples.ids, own, **where)
    for f, name in enumerate(study.plan.names):
        for row in rows[feature == f]:
            same = pictures[row] == study.examples.images[example[row]]
            if name != "garment":
                kept = covered[example[row]] == (1 if name == "background" else 0)
                assert same[kept].all() and not same.all()


def test_the_oracle_is_the_mean_over_all_other_donors(study):
    """By brute force: every other example's content in turn, rendered anew, its score weighed alike."""
    study, config = study
    first = Scorer(jnp.array([1.0, -0.5, 0.3]), lambda w, x: (x.mean((1, 2)) @ w)[:, None])
    scores = counterfactual_scores(study, config.data, {"first": first})["first"]
    assert scores.shape == (1, study.plan.num_variants, 1)
    found = importances.infer_study(study.plan, study.examples, scores, study.settings)
    value = np.asarray(importances.summarize_study(study.plan, study.examples, found, study.settings).value)[0]
    own, n, positive = (
        fashion_contents(study.examples.slots),
        len(study.examples),
        np.asarray(study.examples.labels) > 0,
    )

    def score(ids, contents):
        images, _ = render_fashion(ids, contents, split="study", path=config.data.path)
        return np.asarray(first.apply(first.params, jnp.asarray(images, jnp.float32) / 255))[:, 0]

    before = weighted_auroc(score(study.examples.ids, own), positive, np.ones(n))
    receiver, donor = np.nonzero(~np.eye(n, dtype=bool))
    for k in range(3):
        contents = own[receiver]
        contents[:, k] = own[donor, k]
        after = weighted_auroc(
            score(study.examples.ids[receiver], contents), positive[receiver], np.ones(len(receiver))
        )
        assert value[study.plan.names.index(study.examples.slot_names[k])] == pytest.approx(before - after, abs=1e-5)


@pytest.fixture(scope="module")
def run(path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shortcut")
    arguments = [f"--config={ROOT / 'benchmarks/shortcut/config.py'}:tiny", f"--config.data.path={path}"]
    with without_pictures():
        done = launch("shortcut", *arguments, f"--workdir={folder / 'work'}", f"--page={folder / 'page'}")
    assert done.code == 0, done.err
    return folder / "page", json.loads((folder / "page" / "fashion.json").read_text())


def test_the_shortcut_is_found_in_the_classifier_that_has_it(run):
    headline = run[1]["headline"]
    assert headline["first_of_biased"] == "background" and headline["first_of_balanced"] == "garment"
    assert headline["gap_between_background_intervals"] > 0
    importance = {(row["classifier"], row["concept"]): row["value"] for row in run[1]["table"]}
    assert importance["biased", "background"] > 0.2 > abs(importance["balanced", "background"])
    assert importance["balanced", "garment"] > 0.3 > abs(importance["biased", "garment"])


def test_the_numbers_follow_from_the_records(run):
    headline, table = run[1]["headline"], run[1]["table"]
    for row in table:
        for name, column in (("importance", "value"), ("oracle", "oracle")):
            record = run[1][name][row["classifier"]]
            value = record["value"][0][record["names"].index(row["concept"])]
            assert row[column] == pytest.approx(value, abs=1e-6)
    off = [abs(row["value"] - row["oracle"]) for row in table]
    assert headline["largest_error"] == pytest.approx(max(off), abs=1e-6)
    near = [o <= 0.03 or row["ci_low"] <= row["oracle"] <= row["ci_high"] for o, row in zip(off, table)]
    assert headline["near_or_inside"] == sum(near)
    detected = [row["auroc_generated"] for row in run[1]["generation"] if row["concept"].startswith("detector")]
    assert len(detected) == 10 and headline["lowest_detector_auroc"] == pytest.approx(min(detected), abs=1e-6)


def test_the_page_shows_the_run(run):
    folder, found = run
    page = (folder / "fashion.md").read_text()
    assert f"{found['headline']['largest_error']:.3f}" in page and "{" not in page
    for name in ("importance", "random", "worst", "heat_maps"):
        assert f"fashion/{name}.png" in page
        picture = np.asarray(Image.open(folder / "fashion" / f"{name}.png"))
        assert picture.shape[1] > 600 and len(np.unique(picture[..., 0])) > 50
