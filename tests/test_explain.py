"""Whole studies with what a user can ask for: controls, groups, interactions, strata, classes, early ends."""

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cpi_jax.data.shapes import CONCEPTS
from cpi_jax.data.table import read_table
from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import read_csv
from cpi_jax.plan.describe import describe_variants
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.plan.variants import Lookup
from cpi_jax.report.text import describe_results
from cpi_jax.settings import Checks, Settings, Statistics
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.metrics import METRICS
from cpi_jax.statistics.record import read_importance
from cpi_jax.store.store import Store
from tests.painter import reader, scenes, study

pytestmark = pytest.mark.slow

TWO = ("red circle", "blue rectangle")


def test_control_groups_interactions_and_subgroups(tokenizer, tmp_path):
    examples = scenes(60, weights=(4.0, 0, -2, 0, 0, 0))
    columns = {"site": np.array(["north", "south"])[np.arange(60) % 2], "patient": np.arange(60) // 2}
    found = study(
        tokenizer,
        tmp_path,
        examples=dataclasses.replace(examples, columns=columns),
        control="a photo",
        groups=(("red circle", "blue circle"),),
        interactions=(("red circle", "blue circle"), ("red circle", "green circle")),
        subgroups="site",
        cluster="patient",
        draws=1,
        metrics=("auroc", "accuracy", "neg_log_loss"),
        pictures=True,
    )
    table = found.table[found.table.metric == "neg_log_loss"].set_index("concept")
    control = table.loc["control: a photo"]
    # The painter does not know the phrase: the control's own baseline differs by nothing.
    assert (control.importance, control.ci_low, control.ci_high, control.p, control["rank"]) == (0, 0, 0, 1, 0)
    assert sorted(table["rank"])[:4] == [0, 1, 2, 3] and table["rank"]["blue circle"] == 3
    together = found.interactions.to_frame().query("metric == 'neg_log_loss'").set_index("concept").importance
    singles = table.importance["red circle"] + table.importance["blue circle"]
    joint = table.importance["red circle + blue circle"] - singles
    np.testing.assert_allclose(together["red circle x blue circle"], joint, atol=1e-6)
    of_pair = found.interactions.to_frame().set_index("concept").loc["red circle x green circle"]
    assert (of_pair.importance == 0).all() and (of_pair.p == 1).all()  # f does not read green circles
    assert set(found.interactions.verdicts) <= {"pass", "inconclusive"}
    assert set(found.subgroups) == {"north", "south"} and found.importance.warnings == ()
    # A subgroup is the study of its examples, donors included: here by what a conditional study would give.
    inside, plan = found.subgroups["north"], make_plan(examples, tokenizer, 32, Settings())
    store = Store.open_existing(tmp_path)
    table = pq.read_table(tmp_path / "variants.parquet").to_pandas()
    row_of = {(i, c): row for row, (i, c) in enumerate(zip(table.example_id, table.caption))}
    said = describe_variants(plan, examples, Settings()).to_pydict()
    rows = np.array([row_of[key] for key in zip(said["example_id"], said["caption"])])
    scores = jnp.asarray(store.read_scores(1)["target"][:, rows, 0])
    ((lookup, _),) = plan.lookups
    half = jnp.arange(0, 60, 2)
    alone = Lookup(lookup.baseline[half], lookup.rows[half], lookup.values[half])
    expected = importance(scores, jnp.asarray(examples.labels)[half], alone, jnp.ones(30), METRICS["neg_log_loss"])[0]
    at = np.array([inside.names.index(name) for name in plan.names])
    np.testing.assert_allclose(inside.value[2, at], expected, atol=2e-6)
    north, south = (np.asarray(found.subgroups[name].value) for name in ("north", "south"))
    differences = found.differences.pivot(index="metric", columns="concept", values="difference")
    expected = differences.loc[list(found.importance.metrics), list(found.importance.names)]
    np.testing.assert_allclose(expected, south - north, atol=2e-6)
    assert set(zip(found.differences.group, found.differences.against)) == {("south", "north")}
    assert (found.differences.p_holm.isna() == (found.differences.concept == "control: a photo")).all()
    assert not read_csv(tmp_path / "subgroups.csv").differs.any()  # the sites are alike
    for name in ("interactions.csv", "subgroups.csv", "differences.csv", "ranking.png", "samples.png"):
        assert (tmp_path / name).stat().st_size > 0
    again = read_importance(tmp_path / "importance.json")
    np.testing.assert_array_equal(again.value, found.importance.value)
    # Single pictures: their mean is the importance, and red circle decides alone.
    local = pd.read_parquet(tmp_path / "local.parquet")
    pd.testing.assert_frame_equal(local, found.local)
    red = local[local.concept == "red circle"]
    mean = (red.share * red.log_loss_change).sum() / 60
    np.testing.assert_allclose(
        mean, found.table.set_index(["metric", "concept"]).importance["neg_log_loss", "red circle"], atol=1e-6
    )
    flips = read_csv(tmp_path / "flips.csv").set_index(["concept", "direction"]).rate
    assert (
        flips["red circle", "appears"] == 1
        and flips["blue rectangle", "permuted"] == 0 == flips["control: a photo", "appears"]
    )
    assert set(red.value) == {"", "1 red circle"} and set(red.example_id) == set(range(60))
    text = describe_results(tmp_path)
    assert "Decisions that flip" in text and "No importance is shown to differ between the subgroups of site" in text
    assert "control: a photo" in text and "Interactions" in text and "not a retrained classifier" in text


def test_draws_end_when_the_ranking_is_settled(tokenizer, tmp_path):
    examples = scenes(60, weights=(4.0, 0, -2, 0, 0, 0))
    found = study(tokenizer, tmp_path, examples=examples, draws=5, stop_top_k=1, detector=False)
    assert "after 1 of at most 5 draws: the 1 most important concepts are settled" in found.stopped
    assert found.importance.per_draw.shape[1] == 1 and found.stopped in describe_results(tmp_path)
    assert json.loads((tmp_path / "provenance.json").read_text())["images_generated"] == 60 * 7


def test_conditional_and_many_valued_studies_run_to_the_end(tokenizer, tmp_path):
    examples = scenes(60)
    rng = np.random.default_rng(0)
    extra = rng.integers(0, 5, 60)
    words = ("", "a photo", "an empty scene", "a scene", "photo")
    slots = [(*row, words[v]) for row, v in zip(examples.slots, extra)]
    concepts = np.concatenate([examples.concepts, extra[:, None] > 0], axis=1).astype(np.int8)
    many = type(examples)(examples.ids, slots, (*CONCEPTS, "word"), concepts, examples.labels)
    found = study(
        tokenizer,
        tmp_path,
        examples=many,
        detector=False,
        condition_on=("red rectangle",),
        max_values=4,
        num_shuffles=3,
        draws=1,
    )
    assert set(found.table.verdict) == {"unchecked"} and np.isfinite(found.importance.value).all()
    value = found.table[found.table.metric == "auroc"].set_index("concept").importance
    assert value["word"] == 0 and value["red circle"] > 0.05 and tuple(value.index) == (*CONCEPTS, "word")


def test_a_classifier_of_three_classes(tokenizer, tmp_path):
    """The class is which of red circle and green circle is there; blue circle is not read."""
    examples = scenes(60)
    a, b = examples.concepts[:, 0], examples.concepts[:, 1]
    examples = dataclasses.replace(examples, labels=np.where(a == 1, 1, np.where(b == 1, 2, 0)).astype(np.int32))
    weights = np.zeros((6, 3))
    weights[0, 1], weights[1, 2], weights[0, 2] = 20, 8, -8
    metrics = ("auroc", "balanced_accuracy", "auroc_per_class")
    found = study(
        tokenizer, tmp_path, examples=examples, target=reader(weights), detector=False, metrics=metrics, draws=1
    )
    assert found.importance.metrics == ("auroc", "balanced_accuracy", *(f"auroc_per_class[{c}]" for c in range(3)))
    value = found.table.set_index(["metric", "concept"]).importance
    assert value["balanced_accuracy", "red circle"] > 0.2 and value["balanced_accuracy", "blue circle"] == 0
    each = [value[f"auroc_per_class[{c}]", "red circle"] for c in range(3)]
    np.testing.assert_allclose(np.mean(each), value["auroc", "red circle"], atol=1e-6)


def test_columns_that_cannot_be_used_are_refused_before_any_image(tokenizer, tmp_path):
    columns = {"weight": np.where(np.arange(60) == 7, -1.0, 1.0), "same": np.zeros(60), "site": np.arange(60) % 3}
    examples = dataclasses.replace(scenes(60), columns=columns)
    cases = {
        "the weight of example 7 is -1": {"weights": "weight"},
        "of one cluster": {"cluster": "same"},
        "did you mean 'site'": {"subgroups": "sites"},
        "no column 'w' among weight, same, site": {"weights": "w"},
    }
    for message, settings in cases.items():
        with pytest.raises(InputError, match=message):
            study(tokenizer, tmp_path, examples=examples, **settings)
    with pytest.raises(InputError, match="60 ids and 59 values of column 'short'"):
        dataclasses.replace(scenes(60), columns={"short": np.zeros(59)})
    with pytest.raises(InputError, match="top-k accuracy needs a score for every class"):
        study(tokenizer, tmp_path, examples=examples, metrics=("auroc", "top_3_accuracy"))
    assert not list(tmp_path.glob("scores.zarr/*/c"))  # no chunk of scores


def test_settings_of_the_wrong_kind_are_refused():
    cases = {
        r"metrics must be a tuple: \('auroc',\)": {"metrics": "auroc"},
        "interactions must be pairs": {"interactions": ("red circle", "blue circle")},
        "draws must be a whole number, not 1.5": {"draws": 1.5},
        "leak_margin must lie between 0 and 1, not 95": {"leak_margin": 95},
        "seed must be a number, not 'a'": {"seed": "a"},
        "did you mean 'jackknife'": {"interval": "jacknife"},
    }
    for message, settings in cases.items():
        parts = (Settings, Statistics, Checks)
        part = next(p for p in parts if set(settings) <= {field.name for field in dataclasses.fields(p)})
        made = object.__new__(part)  # past the type checker of the tests
        for field in dataclasses.fields(part):
            object.__setattr__(made, field.name, settings.get(field.name, field.default))
        with pytest.raises(InputError, match=message):
            made.__post_init__()


@pytest.mark.parametrize("setting", ["subgroups", "cluster", "condition_on"])
def test_contents_that_cannot_be_told_apart_are_refused(tokenizer, tmp_path, setting):
    odd = {
        r"column 'site' holds 1 and '1': write every cell alike": (1, "1", "a"),
        r"column 'site' holds True and 'True': write": (True, "True", 1),
        r"column 'site' holds '.*' and '.*': write every cell alike": ("a b", "a  b ", "c"),
        r"column 'site' of example 1 is missing: fill it in": ("a", None, "c"),
        r"column 'site' of example 2 is missing": (1.0, 2.0, np.nan),
        r"column 'site' must hold numbers or texts, not list": ([1], [2], [3]),
    }
    said = ("site",) if setting == "condition_on" else "site"
    for message, cells in odd.items():
        column = np.empty(60, object)
        column[:] = [cells[i % 3] for i in range(60)]
        examples = dataclasses.replace(scenes(60), columns={"site": column})
        with pytest.raises(InputError, match=message):
            study(tokenizer, tmp_path, examples=examples, **{setting: said})
    column = np.array([2, "b", 1.5, True, "a", 10], object)
    contents, which = dataclasses.replace(scenes(6), columns={"site": column}).contents_of("site")
    assert contents == [True, 1.5, 2, 10, "a", "b"] and which.tolist() == [2, 5, 1, 0, 4, 3]


def test_a_subgroup_that_cannot_be_evaluated_is_left_out(tokenizer, tmp_path, caplog):
    examples = scenes(60)
    columns = {"site": np.where(np.arange(60) < 3, "tiny", "main")}
    examples = dataclasses.replace(examples, columns=columns, labels=np.where(np.arange(60) < 3, 1, examples.labels))
    found = study(tokenizer, tmp_path, examples=examples, subgroups="site", detector=False, draws=1)
    assert set(found.subgroups) == {"main"} and "site = tiny is left out: all 3 labels are 1" in caplog.text


def test_a_class_that_no_example_has_is_left_out_and_said_before_generation(tokenizer, tmp_path, caplog):
    examples = read_table(Path(__file__).parent / "cases" / "three.csv", label="scene", concepts=TWO)  # classes 0 and 2
    weights = np.zeros((6, 3))
    weights[0, 2], weights[5, 2], weights[5, 1] = 3, 1, 1
    said = "no example is of class 1 (of 3 outputs): what is a mean over classes leaves that out"

    def explained(examples, workdir, **settings):
        return study(
            tokenizer, workdir, examples=examples, target=reader(weights), detector=False, draws=1, **settings
        ).importance

    found = explained(examples, tmp_path)
    assert caplog.messages.count(said) == 1 and said in found.warnings  # before generation, and with the result
    assert np.isfinite([found.value, found.ci_low, found.ci_high, found.p]).all() and sorted(found.rank[0]) == [1, 2]
    with pytest.raises(InputError, match="the ranking is by auroc_per_class of class 0, and no example is of class 0"):
        from_one = dataclasses.replace(examples, labels=np.maximum(examples.labels, 1))
        explained(from_one, tmp_path, metrics=("auroc_per_class",))
    # A class that only examples without weight have does not occur either.
    few = np.arange(24) < 2
    columns = {"w": 1.0 - few}
    mixed = dataclasses.replace(examples, labels=np.where(few, 1, examples.labels).astype(np.int32), columns=columns)
    weighted = explained(mixed, tmp_path, weights="w")
    assert np.isfinite(weighted.value).all() and said in weighted.warnings


def test_a_class_of_one_example_is_refused(tokenizer, tmp_path):
    examples = scenes(20)
    one = dataclasses.replace(examples, labels=(np.arange(20) == 3).astype(np.int32))
    with pytest.raises(
        InputError, match="one of 20 labels is 1: the sampling error of a class cannot be known from one"
    ):
        study(tokenizer, tmp_path, examples=one)
    columns = {"w": (np.arange(20) > 5).astype(float)}
    with pytest.raises(InputError, match="all 14 labels are 0"):
        late = dataclasses.replace(examples, labels=(np.arange(20) < 5).astype(np.int32), columns=columns)
        study(tokenizer, tmp_path, examples=late, weights="w")
