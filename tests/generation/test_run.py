import dataclasses
import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cpi_jax.analysis.cases import validate_settings
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.images import ImageFiles, at_size_of_generated
from cpi_jax.data.shapes import CONCEPTS
from cpi_jax.diffusion.generator import Generator
from cpi_jax.errors import InputError
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.store.store import Store
from tests.painter import WEIGHTS, flat_settings, generate, paint, read_patches, reader, says, scenes, study

pytestmark = pytest.mark.slow


def tables(workdir, num_draws):
    return Store.open_existing(workdir).read_scores(num_draws)


def test_real_images_come_at_the_size_of_generated_ones():
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 20, 3), dtype=np.uint8)
    assert at_size_of_generated(images, 12, 20) is images
    smaller = at_size_of_generated(images, 6, 6)
    np.testing.assert_array_equal(smaller.read(), ImageFiles(images, size=6).read())
    assert smaller[0].shape == (6, 6, 3)
    assert at_size_of_generated(ImageFiles(images), 6, 6)[0].shape == (6, 6, 3)
    assert at_size_of_generated(ImageFiles(images, size=5), 6, 6)[0].shape == (5, 5, 3)  # as the user said
    np.testing.assert_array_equal(at_size_of_generated(images, 12, 10)[1], images[1, :, 5:15])  # a tall centre
    np.testing.assert_array_equal(at_size_of_generated(images, 6, 20)[1], images[1, 3:9])  # a wide one


def test_importances_of_a_known_classifier(tokenizer, tmp_path):
    metrics = ("auroc", "accuracy")
    found = study(tokenizer, tmp_path, examples=scenes(200, weights=(4.0, 0, -2, 0, 0, 0)), metrics=metrics)
    auroc = found.table[found.table.metric == "auroc"].set_index("concept")
    # Patches that f does not read cannot move its score: exactly zero, interval included.
    for name in ("green circle", "green rectangle", "blue rectangle"):
        assert tuple(auroc.loc[name, ["importance", "ci_low", "ci_high"]]) == (0, 0, 0)
    assert auroc.importance["red circle"] > 0.2 > auroc.importance["blue circle"] > 0.03
    assert auroc["rank"]["red circle"] == 1 and auroc["rank"]["blue circle"] == 2
    assert (auroc.ci_low <= auroc.importance).all() and (auroc.importance <= auroc.ci_high).all()
    assert set(auroc.verdict) == {"pass"}
    # The true drop of accuracy of f's own decisions, with the captions in the images' place.
    examples = scenes(200, weights=(4.0, 0, -2, 0, 0, 0))
    logit = 0.6 * (examples.concepts - 0.5) @ WEIGHTS[:, 0]
    flipped = 0.6 * ((1 - examples.concepts) - 0.5) @ np.diag(WEIGHTS[:, 0])
    own = 0.6 * (examples.concepts - 0.5) @ np.diag(WEIGHTS[:, 0])
    right = (logit > 0) == examples.labels
    wrong = ((logit + flipped[:, 0] - own[:, 0]) > 0) == examples.labels
    c = examples.concepts[:, 0]
    flip = np.where(c == 1, (200 - c.sum()) / 199, c.sum() / 199)
    expected = (right * 1.0 - (1 - flip) * right - flip * wrong).mean()
    accuracy = found.table[found.table.metric == "accuracy"].set_index("concept").importance["red circle"]
    assert abs(accuracy - expected) < 0.02  # the patches' noise is small


def test_images_are_the_distinct_captions_times_draws(tokenizer, tmp_path):
    study(tokenizer, tmp_path)
    table = pq.read_table(tmp_path / "variants.parquet").to_pandas()
    assert not table.duplicated(["example_id", "caption"]).any()
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["images_generated"] == len(table) * 2 == 200 * 7 * 2
    assert provenance["images_reference_protocol"] == 200 * 6 * 25
    row = table[(table.feature == "red circle") & (table.value == "")].iloc[0]
    own = table[(table.example_id == row.example_id) & (table.feature == "")].iloc[0]
    assert own.caption.startswith("1 red circle") and "red circle" not in row.caption


def test_results_on_disk_are_complete_and_open_elsewhere(tokenizer, tmp_path):
    import xarray

    found = study(tokenizer, tmp_path, pictures=True)
    files = (
        "importance.csv importance.json checks.csv ranking.png independence.png samples.png config.json provenance.json"
    )
    assert all((tmp_path / name).stat().st_size > 0 for name in files.split())
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "importance.csv"), found.table, check_dtype=False, rtol=1e-6)
    opened = xarray.open_zarr(tmp_path / "scores.zarr", consolidated=False)
    assert opened.target.dims == ("draw", "variant", "target_output") and not bool(opened.target.isnull().any())
    np.testing.assert_array_equal(opened.detector, tables(tmp_path, 2)["detector"])


def test_a_leak_is_found_exactly_where_it_was_planted(tokenizer, tmp_path):
    """Naming a red circle also paints a blue rectangle: seen where the circle is permuted. The rectangle, which no
    longer follows its own words, is not assessed on the diagonal: without real images its detector may be weak."""
    a, b = CONCEPTS.index("red circle"), CONCEPTS.index("blue rectangle")
    found = study(tokenizer, tmp_path, examples=scenes(200), leak=(a, b))
    failed = found.checks[found.checks.verdict == "fail"]
    off_diagonal = failed[failed.role == "other"]
    assert [tuple(x) for x in off_diagonal[["permuted", "concept"]].values] == [("red circle", "blue rectangle")]
    assert abs(off_diagonal.leak.iloc[0] - 0.25) < 0.06  # half of the scenes have no rectangle of their own: 1/2 * 1/2
    own = found.checks[found.checks.role == "permuted"].set_index("concept")
    assert set(own.index[own.verdict != "pass"]) == {"blue rectangle"} and own.verdict[CONCEPTS[b]] == "not assessed"
    assert own.advice[CONCEPTS[b]].startswith("give real images: ")
    flags = found.table.drop_duplicates("concept").set_index("concept").verdict
    assert set(flags[flags == "fail"].index) == {"red circle"} and flags["blue rectangle"] == "not assessed"


def test_scores_do_not_depend_on_batches_or_interruptions(tokenizer, tmp_path):
    study(tokenizer, tmp_path / "whole", draws=2)
    whole = tables(tmp_path / "whole", 2)
    study(tokenizer, tmp_path / "batches", draws=2, batch_size=7)
    for name, table in tables(tmp_path / "batches", 2).items():
        np.testing.assert_allclose(table, whole[name], atol=1e-5)

    calls = []

    def broken(images):
        calls.append(len(images))
        if len(calls) == 9:
            raise KeyboardInterrupt
        return np.asarray(read_patches(np.asarray(WEIGHTS, np.float32), images))

    target = HostScorer(broken, name="linear")
    with pytest.raises(KeyboardInterrupt):
        study(tokenizer, tmp_path / "stopped", target=target, draws=2)
    first = sum(calls)
    study(tokenizer, tmp_path / "stopped", target=target, draws=2)
    resumed = tables(tmp_path / "stopped", 2)
    np.testing.assert_array_equal(resumed["detector"], whole["detector"])
    np.testing.assert_allclose(
        resumed["target"], whole["target"], atol=6 * 0.5 / 255 + 1e-6
    )  # a host sees 8-bit pixels
    # Two batches of noise a start, to try the function, and 16 finished rows again; at most the unit in flight is done
    # twice, and batches are padded: the last unit of a draw holds 4.
    assert first + 5 * 16 < sum(calls) <= 2 * (1400 + 12) + 5 * 16 + 32


def test_more_draws_extend_and_a_damaged_chunk_is_redone(tokenizer, tmp_path):
    generate(tokenizer, tmp_path, draws=1)
    before = tables(tmp_path, 1)["target"]
    chunk = tmp_path / "scores.zarr" / "target" / "c" / "0" / "2" / "0"
    raw = bytearray(chunk.read_bytes())
    raw[5] ^= 255
    chunk.write_bytes(raw)
    study(tokenizer, tmp_path, draws=2)
    after = tables(tmp_path, 2)["target"]
    # The target alone is scored again, in a program without the detector that sums in another order.
    np.testing.assert_allclose(after[0], before[0], atol=1e-6)
    assert np.abs(after[1] - after[0]).max() > 1e-3


def test_another_study_in_the_same_folder_is_refused(tokenizer, tmp_path):
    study(tokenizer, tmp_path)
    with pytest.raises(ValueError, match="seed is 0 there and 1 here"):
        study(tokenizer, tmp_path, seed=1)
    with pytest.raises(ValueError, match="target weights"):
        study(tokenizer, tmp_path, target=reader(-WEIGHTS))


def test_a_score_that_is_not_a_number_names_the_example(tokenizer, tmp_path):
    weights = WEIGHTS.copy()
    weights[1] = np.nan
    with pytest.raises(ValueError, match="the target gave a score that is not a finite number for example"):
        study(tokenizer, tmp_path, target=reader(weights))


def test_pictures_that_are_none_are_refused(tokenizer, tmp_path):
    """The error ends every thread: one inside the device's runtime at the interpreter's end aborts the process."""

    def spoilt(function):
        def made(params, token_ids, keys):
            images = paint(params, token_ids, keys)
            return function(images, says(token_ids)[:, 0][:, None, None, None])

        return Generator(jnp.eye(6), made)

    host = HostScorer(lambda x: x[:, 0, 0, :1], name="corner")  # which sees NaN as black
    nan = jnp.nan
    cases = {
        r"picture for example \d+ \('.*'\) is not finite \(NaN\): mend": lambda x, red: jnp.where(red, nan, x),
        "has values from [45].* to .*, not from 0 to 1": lambda x, red: 255 * x,
        "pictures, for 16 different captions, are all of one colour": lambda x, red: 0 * x,
        "the target gives all 140 generated pictures the same score, .* whether the generator's pictures are all the same":
            lambda x, red: x.at[:].set(jnp.linspace(0, 1, 12)[None, None, :, None]),
    }  # fmt: skip
    for i, (message, function) in enumerate(cases.items()):
        settings = {"draws": 2, "target": host, "detector": False, "generator": spoilt(function)}
        with pytest.raises(InputError, match=message):
            study(tokenizer, tmp_path / str(i), examples=scenes(20), **settings)
        assert not any(thread.name == "scores" for thread in threading.enumerate())
        assert len(Store(tmp_path / str(i)).units_done()) == (i == 3)  # the last: one draw of two is enough to see it


def test_a_generator_that_reads_no_captions_is_warned_of(tokenizer, tmp_path):
    deaf = Generator(jnp.eye(6), lambda params, token_ids, keys: paint(0 * params, token_ids, keys))
    found = study(tokenizer, tmp_path, detector=False, generator=deaf)
    assert any("no permuted caption changes any score of the target" in w for w in found.importance.warnings)
    assert set(found.table.importance) == {0}


def test_scorers_with_the_wrong_number_of_outputs_are_refused(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="the detector gives 5 scores an image and must give 6, one for each of"):
        study(tokenizer, tmp_path, detector=reader(np.eye(6)[:, :5]))
    examples = scenes(20)
    three = dataclasses.replace(examples, labels=np.arange(20, dtype=np.int32) % 3)
    with pytest.raises(ValueError, match="labels must be 0 or 1 for one score an image, and they hold 0, 1, 2"):
        study(tokenizer, tmp_path, examples=three)
    with pytest.raises(ValueError, match="2 scores an image, for classes 0 to 1, and a label is 2"):
        study(tokenizer, tmp_path, examples=three, target=reader(np.eye(6)[:, :2]))
    with pytest.raises(ValueError, match=r"the target gives 6 scores .* two classes, 0 and 1: say in `classes`"):
        study(tokenizer, tmp_path, target=reader(np.eye(6)))
    assert not list(tmp_path.glob("scores.zarr/*/c"))  # no chunk of scores: no image was made


def test_probabilities_are_read_as_such_when_said(tokenizer, tmp_path):
    def probability(params, images):
        return jax.nn.sigmoid(read_patches(params, images))

    said = Scorer(jnp.asarray(WEIGHTS, jnp.float32), probability, probabilities=True)
    found = study(tokenizer, tmp_path / "probabilities", target=said).importance
    expected = study(tokenizer, tmp_path / "logits").importance
    np.testing.assert_allclose(found.per_draw, expected.per_draw, atol=2e-3)


def test_host_functions_are_known_by_name_and_return_one_row_an_image(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="a host scorer needs a name"):
        study(tokenizer, tmp_path, target=HostScorer(lambda x: x.mean((1, 2, 3))))
    with pytest.raises(ValueError, match=r"returned shape \(6, 16\) for 16 images"):
        study(tokenizer, tmp_path, target=HostScorer(lambda x: np.zeros((6, len(x))), name="transposed"))
    # A mistake that scored nothing leaves the folder free for the mended study.
    study(tokenizer, tmp_path)
    with pytest.raises(ValueError, match="another study"):
        study(tokenizer, tmp_path, target=HostScorer(lambda x: x.mean((1, 2, 3)), name="brightness"))


def test_without_a_detector_independence_is_skipped(tokenizer):
    found = study(tokenizer, None, detector=False)
    assert set(found.table.verdict) == {"unchecked"} and found.workdir is None


def test_what_cannot_be_studied_is_refused_before_any_image(tokenizer):
    examples = scenes(20)

    def plan(examples=examples, **settings):
        return make_plan(examples, tokenizer, 32, flat_settings(**settings))

    with pytest.raises(ValueError, match="did you mean 'red circle'"):
        plan(concepts=("red circel",))
    one_class = type(examples)(examples.ids, examples.slots, CONCEPTS, examples.concepts, np.ones(20, np.int32))
    with pytest.raises(ValueError, match="all 20 labels are 1"):
        plan(one_class)
    nobody = type(examples)(examples.ids[:0], [], CONCEPTS, examples.concepts[:0], examples.labels[:0])
    with pytest.raises(ValueError, match="no metric 'auc'"):
        validate_settings(examples, flat_settings(metrics=("auc",)))
    with pytest.raises(ValueError, match="no examples"):
        plan(nobody)
    same = [("1 red circle", *row[1:]) for row in examples.slots]
    constant = type(examples)(examples.ids, same, CONCEPTS, examples.concepts, examples.labels)
    assert plan(constant).skipped == ("red circle",) and "red circle" not in plan(constant).names
    with pytest.raises(ValueError, match="nothing to permute"):
        plan(constant, concepts=("red circle",))
