"""Gaps of a study: the table, its warnings and its text."""

import dataclasses

import numpy as np
import pytest

from cpi_jax.analysis.gaps import gap_table, warn_of_gaps
from cpi_jax.analysis.groups import validate_groups
from cpi_jax.files.csv_files import csv_text
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.report.gaps_text import describe_gaps
from cpi_jax.settings import Settings, Statistics
from tests.painter import scenes
from tests.statistics.test_gaps import by_definition

SETTINGS = Settings(statistics=Statistics(gaps="red circle"))


@pytest.mark.slow
def test_a_gap_comes_from_the_concept_that_the_classifier_reads(tokenizer, tmp_path):
    """Groups are who has a red circle, and the classifier sees nothing else: without it, no gap is left."""
    examples = scenes(64, weights=(2.0, 0, 0, 0, 0, 0))
    plan = make_plan(examples, tokenizer, 32, SETTINGS)
    red = np.asarray(plan.contents)[:, 0][plan.variants.donor] * (plan.variants.feature == 0)
    red += np.asarray(plan.contents)[:, 0][plan.variants.example] * (plan.variants.feature != 0)
    scores = np.where(red == plan.contents[:, 0][examples.concepts[:, 0] == 1][0], 1.0, -0.5)[None, :, None]
    scores = (scores + np.random.default_rng(0).normal(0, 0.1, scores.shape)).astype(np.float32)
    table = gap_table(plan, examples, scores, SETTINGS, dict.fromkeys(plan.names, "pass"))
    by_concept = table[table.group == "1 red circle"].set_index(["concept", "metric"])
    group, own = examples.concepts[:, 0] == 1, scores[0, np.asarray(plan.baseline), 0].astype(float)
    gaps = by_concept.loc[""]
    np.testing.assert_allclose(gaps.estimate, by_definition(own, examples.labels, group, np.ones(64)), atol=1e-6)
    assert gaps.p_holm.isna().all() and (gaps.against == "").all()
    np.testing.assert_allclose(gaps.estimate["positive_rate_gap"], 1)
    # Permuted among the 63 others: of n with a red circle, the chance of one is (n - 1) / 63 with, n / 63 without.
    np.testing.assert_allclose(by_concept.estimate["red circle", "positive_rate_gap"], 1 + 1 / 63, atol=1e-5)
    assert by_concept.p_holm["red circle", "positive_rate_gap"] < 1e-3
    others = by_concept.loc["green circle"].loc[["tpr_gap", "fpr_gap", "positive_rate_gap"]]
    assert (others.estimate == 0).all() and (others.p == 1).all()
    largest = table[table.group == "largest of any two"].set_index("metric").estimate
    assert largest["demographic_parity_difference"] == 1
    (tmp_path / "gaps.csv").write_text(csv_text(table))
    text = " ".join(describe_gaps(tmp_path, 0.95))
    assert "Gaps, red circle 1 red circle minus nothing: true-positive rate +1.000" in text
    assert "equalised odds 1.000, demographic parity 1.000" in text and "green circle" not in text
    assert describe_gaps(tmp_path / "nowhere", 0.95) == [] and gap_table(plan, examples, scores, Settings(), {}) is None


def test_few_examples_of_a_class_in_a_group_are_warned_of():
    sex = np.where(np.arange(200) < 30, "F", "M")
    examples = dataclasses.replace(scenes(200), labels=np.arange(200, dtype=np.int32) % 2, columns={"sex": sex})
    validate_groups(examples, "sex", np.ones(200))
    settings = Settings(statistics=Statistics(gaps="sex"))
    (warning,) = warn_of_gaps(examples, settings)
    assert warning.startswith("gaps: only 15 examples of class 0 where sex is 'F': with fewer than 20, intervals")
    assert warn_of_gaps(examples, Settings()) == ()
