"""Gaps between groups: against fairlearn's figures, their definitions, and closed forms of their errors."""

import dataclasses

import fairlearn.metrics as fairlearn
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics as sk
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from cpi_jax.analysis.groups import comparisons, groups_of, validate_groups
from cpi_jax.errors import InputError
from cpi_jax.statistics.baseline import infer_baseline
from cpi_jax.statistics.contrasts import summarize_contrasts
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.largest_gaps import largest_gaps
from cpi_jax.statistics.metrics import stack_metrics
from cpi_jax.statistics.metrics.gaps import GAPS, cross_labels
from cpi_jax.statistics.sampling_units import SamplingUnits
from cpi_jax.statistics.significance import holm
from tests.painter import scenes
from tests.statistics.test_functional import world

pytestmark = pytest.mark.usefixtures("strict")

METRIC = stack_metrics(tuple(GAPS.values()))


def data():
    """Scores, labels, three groups and weights of 200 examples."""
    rng = np.random.default_rng(5)
    groups, labels = rng.integers(0, 3, 200), rng.integers(0, 2, 200)
    scores = np.round(rng.normal(size=200) + 0.7 * labels + 0.4 * groups, 2)
    return scores, labels, groups, rng.integers(1, 4, 200).astype(float)


def by_definition(scores, labels, group, weights):
    """Every gap from its definition, in numpy and scikit-learn."""
    p = 1 / (1 + np.exp(-scores))

    def mean(x, among):
        return np.average(x[among], weights=weights[among])

    numbers = [
        {
            "tpr_gap": mean(scores > 0, part & (labels == 1)),
            "fpr_gap": mean(scores > 0, part & (labels == 0)),
            "positive_rate_gap": mean(scores > 0, part),
            "auroc_gap": sk.roc_auc_score(labels[part], scores[part], sample_weight=weights[part]),
            "calibration_gap": mean(p, part) - mean(labels, part),
        }
        for part in (group, ~group)
    ]
    return np.array([numbers[0][name] - numbers[1][name] for name in GAPS])


@pytest.fixture(scope="module")
def own():
    """The gaps of the third group, two draws that are the same."""
    scores, labels, groups, weights = data()
    s = jnp.asarray(np.stack([scores, scores]), jnp.float32)
    crossed = cross_labels(labels, groups == 2)
    return infer_baseline(s, crossed, jnp.asarray(weights, jnp.float32), METRIC, num_classes=4)


def test_gaps_are_those_of_their_definitions_and_of_fairlearn(own):
    scores, labels, groups, weights = data()
    found = np.asarray(own.per_draw)[:, 0]
    np.testing.assert_allclose(found, np.stack([by_definition(scores, labels, groups == 2, weights)] * 2), atol=1e-6)
    rates = dict(zip(GAPS, (fairlearn.true_positive_rate, fairlearn.false_positive_rate, fairlearn.selection_rate)))
    frame = fairlearn.MetricFrame(
        metrics=rates,
        y_true=labels,
        y_pred=scores > 0,
        sensitive_features=groups == 2,
        sample_params={name: {"sample_weight": weights} for name in rates},
    ).by_group
    np.testing.assert_allclose(found[0, :3], frame.loc[True] - frame.loc[False], atol=1e-6)
    largest = largest_gaps(scores > 0, labels, groups, weights)
    of_groups = {"sensitive_features": groups, "sample_weight": weights}
    expected = [f(labels, scores > 0, **of_groups) for f in (equalized_odds_difference, demographic_parity_difference)]
    np.testing.assert_allclose(list(largest.values()), expected, atol=1e-12)


def test_influences_are_the_derivatives_in_the_weights(own):
    scores, labels, groups, weights = data()
    influence = np.asarray(own.influence)[0, 0]
    np.testing.assert_allclose(influence.sum(-1), 0, atol=1e-5)
    for i in (0, 50, 199):
        step = 0.01 * weights * (np.arange(200) == i)
        high, low = (by_definition(scores, labels, groups == 2, weights + s) for s in (step, -step))
        np.testing.assert_allclose(influence[:, i], (high - low) / 0.02, atol=1e-5)


def test_errors_are_those_of_two_independent_groups():
    """Equal weights: of rates the binomial error with n - 1, of AUROCs DeLong's, each added over the two groups."""
    scores, labels, groups, _ = data()
    group = groups == 2
    crossed = cross_labels(labels, group)
    s = jnp.asarray(np.stack([scores, scores]), jnp.float32)
    found = infer_baseline(s, crossed, jnp.ones(200), METRIC, num_classes=4)
    error = dict(zip(GAPS, np.asarray(found.standard_error)[0]))

    def binomial(part):
        x = (scores > 0)[part]
        return x.mean() * (1 - x.mean()) / (len(x) - 1)

    def delong(part):
        s, y = scores[part], labels[part]
        wins = (s[y == 1][:, None] > s[y == 0]) + 0.5 * (s[y == 1][:, None] == s[y == 0])
        return wins.mean(1).var(ddof=1) / (y == 1).sum() + wins.mean(0).var(ddof=1) / (y == 0).sum()

    for name, variance in {
        "tpr_gap": sum(binomial(part & (labels == 1)) for part in (group, ~group)),
        "fpr_gap": sum(binomial(part & (labels == 0)) for part in (group, ~group)),
        "auroc_gap": sum(delong(part) for part in (group, ~group)),
    }.items():
        np.testing.assert_allclose(error[name], np.sqrt(variance), rtol=1e-4, err_msg=name)


def test_the_importance_of_a_gap_keeps_everybody_in_their_own_group():
    """The group is who has the first concept, also where that is permuted; brute force over (recipient, donor)."""
    concepts, _, lookup, scores, _ = world(n=16, draws=1, seed=2)
    group, labels = np.asarray(concepts[:, 0]) == 1, np.tile([0, 1], 8)
    assert min(np.bincount(np.asarray(cross_labels(labels, group)), minlength=4)) > 0
    weights = np.random.default_rng(0).integers(1, 4, 16).astype(float)
    crossed = cross_labels(labels, group)
    found = importance(scores, crossed, lookup, jnp.asarray(weights, jnp.float32), METRIC)[0]
    s, rows, value = np.asarray(scores)[0].astype(float), np.asarray(lookup.rows), np.asarray(lookup.values)
    i, k = np.nonzero(~np.eye(16, dtype=bool))
    share = weights[i] * weights[k] / (weights.sum() - weights[i])
    before = by_definition(s[np.asarray(lookup.baseline)], labels, group, weights)
    for f in range(3):
        after = by_definition(s[rows[i, f, value[k, f]]], labels[i], group[i], share)
        np.testing.assert_allclose(found[f], before - after, atol=2e-6)


def test_contrasts_are_corrected_over_what_is_tested():
    rng = np.random.default_rng(0)
    influence = jnp.asarray(rng.normal(size=(1, 4, 2, 30)) / 30, jnp.float32)
    units = SamplingUnits(jnp.zeros(30, jnp.int32), 1)
    value = jnp.asarray(rng.normal(size=(1, 4, 2)) / 5, jnp.float32)
    inferred = Inference(value, jnp.empty((0, 4, 2)), influence, jnp.ones(2), units)
    found = summarize_contrasts(inferred, (0, 2, 3), 0.9)
    np.testing.assert_allclose(found.error, np.sqrt((np.asarray(influence[0]) ** 2).sum(-1) * 30 / 29), rtol=1e-5)
    np.testing.assert_allclose(found.ci_high - found.value, 1.699 * found.error, rtol=2e-3)  # t of 29 degrees at 95 %
    for m in range(2):
        np.testing.assert_allclose(
            found.p_holm[jnp.array([0, 2, 3]), m], holm(found.p[jnp.array([0, 2, 3]), m]), rtol=1e-6
        )
    assert np.isnan(found.p_holm[1]).all()


def test_groups_are_compared_in_pairs_or_with_the_rest():
    examples = dataclasses.replace(
        scenes(9), columns={"sex": np.array(["M", "F"] * 4 + ["F"]), "site": np.arange(9) % 3}
    )
    assert [(a, b) for a, _, b in comparisons(*groups_of(examples, "sex"), np.ones(9))] == [("M", "F")]
    two = np.where(np.arange(9) % 3 == 1, 0.0, 1.0)  # without weight, a content is no group
    assert [(a, b) for a, _, b in comparisons(*groups_of(examples, "site"), two)] == [("2", "0")]
    assert [(a, b) for a, _, b in comparisons(*groups_of(examples, "site"), np.ones(9))] == [
        (x, "the rest") for x in "012"
    ]
    contents, which = groups_of(examples, "red circle")
    assert contents == ["", "1 red circle"] and (which == examples.concepts[:, 0]).all()


def test_gaps_that_cannot_be_measured_are_refused_in_a_sentence():
    labels = np.array([0, 1] * 10, np.int32)
    columns = {"same": ["x"] * 20, "sex": ["F", "F", "M", "M"] * 5, "rare": ["a"] * 17 + ["b"] * 3}
    examples = dataclasses.replace(scenes(20), labels=labels, columns={k: np.array(v) for k, v in columns.items()})
    validate_groups(examples, "sex", np.ones(20))
    no_positives = np.where((np.array(columns["sex"]) == "M") & (labels == 1), 0.0, 1.0)
    cases = {
        "no column or concept 'sexx' among .*did you mean 'sex'": ("sexx", examples, np.ones(20)),
        "'same' is 'x' for every example in use: a gap needs two groups": ("same", examples, np.ones(20)),
        "needs two examples of each class on either side, and where it is 'b' there is 1 example of class 0": (
            "rare", examples, np.ones(20)
        ),
        "where it is 'M' there are 0 examples of class 1": ("sex", examples, no_positives),
        "are of two classes, 0 and 1": ("sex", dataclasses.replace(examples, labels=labels + 1), np.ones(20)),
    }  # fmt: skip
    for message, (name, of, weights) in cases.items():
        with pytest.raises(InputError, match=message):
            validate_groups(of, name, weights)
