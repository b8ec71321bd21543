import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import csv_text, read_csv
from cpi_jax.statistics.few_cases import few_cases
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.metrics import METRICS, auroc, stack_metrics
from cpi_jax.statistics.record import Importance, read_importance
from cpi_jax.statistics.summary import summarize
from cpi_jax.validation.score_table import validate_table
from tests.statistics.test_functional import world


@pytest.fixture(scope="module")
def inferred():
    _, _, lookup, scores, labels = world(n=15)
    metric = stack_metrics((auroc, METRICS["neg_log_loss"]))
    return infer(jax.random.key(0), scores, labels, lookup, jnp.ones(15), metric, num_repeats=50)


@pytest.fixture(scope="module")
def record(inferred):
    facts = {"share_changed": jnp.array([0.5, 0.4, 0.0]), "num_changed": jnp.array([7, 8, 9], jnp.int32)}
    return summarize(
        inferred,
        names=("dog", "cat", "control"),
        metrics=("auroc", "neg_log_loss"),
        ranked=(True, True, False),
        facts=facts,
        verdicts=("pass", "fail", "unchecked"),
        warnings=("few",),
    )


def equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.slow
def test_json_and_csv_give_the_record_back(record, tmp_path):
    equal(Importance.from_json(record.to_json()), record)
    assert "NaN" not in record.to_json()  # valid JSON
    (tmp_path / "table.csv").write_text(csv_text(record.to_frame()))
    equal(Importance.from_frame(read_csv(tmp_path / "table.csv"), warnings=("few",)), record)
    plain = record.to_frame().to_csv(index=False)  # as anybody's pandas writes and reads it, where names are words
    equal(Importance.from_frame(pd.read_csv(io.StringIO(plain)), warnings=("few",)), record)
    with pytest.raises(
        InputError, match=r"the concept nan of the table is no text: read the file with cpi_jax.read_csv"
    ):
        Importance.from_frame(pd.read_csv(io.StringIO(plain.replace("dog", "null"))))
    assert json.loads(record.to_json())["names"] == ["dog", "cat", "control"]


def test_a_table_of_something_else_is_refused():
    with pytest.raises(InputError, match="lacks the column 'value'"):
        Importance.from_frame(pd.DataFrame({"concept": ["a"]}))


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "importance.json"
    with pytest.raises(InputError, match=f"there is no file {path}"):
        read_importance(path)
    for text, reason in {"{": "is not valid JSON", "{}": "lacks 'importance'", '{"importance": {}}': "lacks"}.items():
        path.write_text(text)
        with pytest.raises(InputError, match=reason):
            read_importance(path)


def test_it_shows_itself_as_a_short_table(record):
    title, header, *lines = repr(record).split("\n")
    assert title == "Importance of 3 concepts by auroc, 2 draws" and "95% interval" in header
    best = np.asarray(record.value[0]).argmax()
    assert record.names[best] in lines[0] and f"{record.value[0, best]:+.4f}" in lines[0]
    assert lines[3:] == ["p: greater, by the jackknife; to_frame() has neg_log_loss, too", "Warning: few"]
    assert [line for line in lines if "cat" in line and "FAIL" in line] and len(repr(record)) < 700
    seen = []
    jax.jit(lambda r: seen.append(repr(r)) or r.value)(record)
    assert seen == ["<Importance of 3 concepts by auroc, traced>"]


def test_frame_is_tidy_and_marks_what_failed(record):
    frame = record.to_frame()
    assert frame.columns[:6].tolist() == ["concept", "metric", "importance", "ci_low", "ci_high", "p"]
    assert len(frame) == 6 and set(frame.metric) == {"auroc", "neg_log_loss"}
    part = frame[frame.metric == "auroc"].set_index("concept")
    assert part.rank_valid.to_dict() == {"dog": True, "cat": False, "control": True}
    np.testing.assert_allclose(part.importance, np.asarray(record.per_draw[0]).mean(0), rtol=1e-5)
    np.testing.assert_allclose(part.per_change["dog"], part.importance["dog"] / 0.5, rtol=1e-5)
    assert np.isnan(part.per_change["control"])
    assert sorted(part["rank"][:2]) == [1, 2] and part["rank"]["control"] == 0 and np.isnan(part.p_holm["control"])


def test_xarray_is_labelled(record):
    data = record.to_xarray()
    assert data.value.sel(metric="auroc", concept="cat") == record.value[0, 1]
    assert data.outranks.sel(metric="auroc", concept="dog", other_concept="cat") == record.outranks[0, 0, 1]
    assert data.per_draw.dims == ("metric", "draw", "concept") and data.attrs["level"] == 0.95


def test_it_is_a_pytree(record):
    doubled = jax.jit(lambda r: r.replace(value=2 * r.value))(record)
    np.testing.assert_allclose(doubled.value, 2 * record.value)
    assert doubled.names == record.names


def test_statistics_of_the_record_are_those_of_the_inference(inferred, record):
    from cpi_jax.statistics.significance import holm, jackknife_interval, jackknife_p

    error, df = inferred.standard_error, inferred.degrees_of_freedom
    low, high = jackknife_interval(inferred.estimate, error, df)
    np.testing.assert_allclose(record.ci_low, low.T, rtol=1e-5)
    np.testing.assert_allclose(record.ci_high, high.T, rtol=1e-5)
    p = jackknife_p(inferred.estimate, error, df)
    np.testing.assert_allclose(record.p, p.T, rtol=1e-5)
    np.testing.assert_allclose(record.p_holm[0, :2], holm(p[:2, 0]), rtol=1e-5)
    other = summarize(inferred, names="abc", metrics=("auroc", "x"), interval="bootstrap", alternative="two-sided")
    repeats = np.asarray(inferred.repeats)
    np.testing.assert_allclose(other.ci_low, np.nanquantile(repeats, 0.025, axis=0).T, atol=1e-6)
    np.testing.assert_allclose(other.p, other.p_bootstrap)
    low, high = ((1 + x.sum(0)) / 51 for x in (repeats <= 0, repeats >= 0))
    np.testing.assert_allclose(other.p, np.minimum(2 * np.minimum(low, high), 1).T, rtol=1e-5)
    assert int(record.dropped[0]) == np.isnan(repeats[:, :, 0]).any(1).sum()


def test_what_has_no_value_is_warned_of_and_has_no_rank(inferred):
    lost = inferred.replace(per_draw=inferred.per_draw.at[:, 1, 0].set(jnp.nan))
    made = summarize(lost, names="abc", metrics=("auroc", "x"))
    assert "auroc of b has no value" in made.warnings[0]
    assert np.isnan(made.p[0, 1]) and made.rank[0, 1] == 0 and sorted(made.rank[1].tolist()) == [1, 2, 3]


def test_wrong_arguments_are_refused(inferred):
    cases = {
        "did you mean 'bootstrap'": {"interval": "boot"},
        "no alternative 'less'": {"alternative": "less"},
        "level must lie between 0 and 1, not 95": {"level": 95},
    }
    for message, settings in cases.items():
        with pytest.raises(InputError, match=message):
            summarize(inferred, names="abc", metrics=("auroc", "x"), **settings)
    with pytest.raises(InputError, match="3 names and 1 metrics are given for 3 features and 2 metrics"):
        summarize(inferred, names="abc", metrics=("auroc",))


def test_few_cases_are_warned_of():
    labels, ones = np.array([1] * 19 + [0] * 100), np.ones(119)
    assert "only 19 examples of class 1:" in few_cases(labels, ones)[0]
    assert few_cases(labels, ones * (labels == 0)) == ()
    balanced, twelve, many = np.tile([0, 1], 50), np.arange(100) // 2 % 12, np.arange(100) // 2 % 25
    assert "only 12 clusters of class 0:" in few_cases(balanced, np.ones(100), twelve)[0]
    assert few_cases(balanced, np.ones(100), many) == ()
    # Kish: 4 examples of weight 10 among 46 of weight 1 count as (40 + 46)^2 / (400 + 46) = 16.6.
    heavy = np.where(np.arange(100) < 8, 10.0, 1)
    assert "only 17 effective examples of class 0 (50 of unequal weight)" in few_cases(balanced, heavy)[0]
    # Clusters that are large, as well: one of 39 examples of each class and 11 of one, (39 + 11)^2 / (39^2 + 11) = 1.6.
    large = np.maximum(np.arange(100) // 2 - 38, 0)
    assert "only 2 effective clusters of class 0 (12 of unequal weight)" in few_cases(balanced, np.ones(100), large)[0]
    both = np.stack([balanced, labels[:100]], axis=1)
    assert "only 19 examples of label 1 = 1:" in few_cases(both, np.ones(100))[0]


def test_bad_input_gets_one_sentence_each():
    scores, labels, weights = np.zeros((2, 5)), np.array([0, 1, 0, 1]), np.ones(4)
    validate_table(scores, labels, weights)
    cases = {
        "the score of row 3 in draw 1 is nan": (np.where(np.arange(10).reshape(2, 5) == 8, np.nan, 0), labels, weights),
        "the score of row 0 in draw 0 is inf": (np.full((2, 5), np.inf), labels, weights),
        "labels must be whole numbers.* 0.5": (scores, labels + 0.5, weights),
        "labels must be 0 or 1": (scores, labels + 1, weights),
        "all 4 labels are 0": (scores, labels * 0, weights),
        "for classes 0 to 2, and a label is -1": (np.zeros((2, 5, 3)), labels - 1, weights),
        "2 columns of labels and 3 scores": (np.zeros((2, 5, 3)), np.eye(2, dtype=int)[[0, 1, 0, 1]], weights),
        "labels of column 1 are 1": (np.zeros((2, 5, 2)), np.array([[0, 1], [1, 1]]), np.ones(2)),
        "the weight of example 2 is -1": (scores, labels, np.array([1, 1, -1, 1])),
        "the weight of example 0 is nan": (scores, labels, np.array([np.nan, 1, 1, 1])),
        "weights sum to zero": (scores, labels, np.zeros(4)),
        "there are 4 labels and 3 weights": (scores, labels, np.ones(3)),
        "weights must be numbers": (scores, labels, np.array(list("abcd"))),
        "labels must be whole numbers.*'cat'": (scores, np.array(["cat", "dog", "cat", "dog"]), weights),
    }
    for message, arguments in cases.items():
        with pytest.raises(InputError, match=message):
            validate_table(*arguments)
    with pytest.raises(InputError, match="of one cluster"):
        validate_table(scores, labels, weights, clusters=np.zeros(4, int))
    with pytest.raises(InputError, match="clusters must be whole numbers from 0 to 3"):
        validate_table(scores, labels, weights, clusters=np.array([10, 20, 10, 20]))
    with pytest.raises(InputError, match="strata must be whole numbers from 0 to 3"):
        validate_table(scores, labels, weights, strata=np.array([0, 4, 0, 4]))
    with pytest.raises(InputError, match="alone in its stratum for feature 1"):
        validate_table(scores, labels, weights, strata=np.array([[0, 0], [0, 1], [1, 2], [1, 3]]))
