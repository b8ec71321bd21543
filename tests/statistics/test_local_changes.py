"""Changes of single pictures, flip rates and mean scores: against the metrics, and against loops over examples."""

from unittest import mock

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_jax.plan.variants import Lookup, ShuffledLookup
from cpi_jax.statistics.dealing import deal
from cpi_jax.statistics.flip_rates import flip_rates, mean_interval, mean_scores, share_interval
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.local_changes import (
    LOSSES,
    changes_of,
    decisions,
    flips,
    local_changes,
    logits_of_classes,
    measure_rows,
    measures,
)
from cpi_jax.statistics.metrics import METRICS, class_logits, stack_metrics
from tests.statistics.test_functional import world

N = 12
WEIGHTS = np.array([1.0, 2, 0.5, 1, 1, 3, 1, 0, 1, 1, 2, 1])
STRATA = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 2])  # the last one is alone
METRIC = stack_metrics(tuple(METRICS[name] for name in LOSSES.values()))


def shuffled(lookup, num_shuffles=5):
    """The same rows as planned shuffles would ask for them."""
    rng = np.random.default_rng(3)
    donors = np.stack([rng.permutation(N) for _ in range(3 * num_shuffles)], axis=1).reshape(N, 3, num_shuffles)
    values = np.stack([np.asarray(lookup.values)[donors[:, f], f] for f in range(3)], axis=1)
    rows = np.take_along_axis(np.asarray(lookup.rows), values, axis=2)
    return ShuffledLookup(lookup.baseline, jnp.asarray(rows), jnp.asarray(donors, jnp.int32))


@pytest.mark.parametrize("kind", ["enumerated", "strata", "shuffles"])
def test_the_weighted_mean_of_a_losss_changes_is_that_metrics_importance(kind):
    _, _, lookup, scores, labels = world()
    own, strata = np.asarray(lookup.values), STRATA if kind == "strata" else None
    lookup = shuffled(lookup) if kind == "shuffles" else lookup
    expected = importance(
        scores,
        labels,
        lookup,
        jnp.asarray(WEIGHTS, jnp.float32),
        METRIC,
        None if strata is None else jnp.asarray(strata),
    ).mean(0)
    for f in range(3):
        dealing = deal(lookup, f, own[:, f], WEIGHTS, strata)
        changes = changes_of(dealing, np.asarray(scores), np.asarray(labels))
        total = dealing.weights.sum()
        means = [(changes.weight * changes.share * changes[f"{name}_change"]).sum() / total for name in LOSSES]
        np.testing.assert_allclose(means, expected[f], atol=1e-6)
        if kind != "shuffles":
            table = local_changes(np.asarray(scores), np.asarray(labels), lookup, WEIGHTS, strata)
            pd.testing.assert_frame_equal(
                table[table.feature == f].drop(columns="feature").reset_index(drop=True), changes
            )


def test_a_change_is_that_of_the_row_against_the_own_row_with_the_draws_error():
    _, _, lookup, scores, labels = world(draws=4)
    row = local_changes(np.asarray(scores), np.asarray(labels), lookup, np.ones(N)).query(
        "feature == 1 and example == 5"
    )
    value = 1 - int(lookup.values[5, 1])
    s, own = np.asarray(scores)[:, lookup.rows[5, 1, value]], np.asarray(scores)[:, lookup.baseline[5]]
    (found,) = row.to_dict("records")
    assert found["value"] == value and found["own"] == 1 - value
    sign = 1 if labels[5] else -1
    losses = {"score": s - own, "log_loss": np.log1p(np.exp(-sign * s)) - np.log1p(np.exp(-sign * own))}
    for name, change in losses.items():
        np.testing.assert_allclose(found[f"{name}_change"], change.mean(), rtol=1e-5)
        np.testing.assert_allclose(found[f"{name}_change_error"], stats.sem(change), rtol=1e-5)
    assert found["flips"] == np.mean((s > 0) != (own > 0))
    others = np.asarray(lookup.values)[np.arange(N) != 5, 1]
    np.testing.assert_allclose(found["share"], (others == value).mean(), rtol=1e-6)
    one = local_changes(np.asarray(scores)[:1], np.asarray(labels), lookup, np.ones(N))
    assert one.score_change_error.isna().all()


def test_losses_of_classes_and_of_several_labels_are_those_of_the_metrics():
    rng = np.random.default_rng(0)
    scores, classes = rng.normal(0, 9, (40, 3)).astype(np.float32), rng.integers(0, 3, 40).astype(np.int32)
    several = rng.integers(0, 2, (40, 3)).astype(np.int32)
    for labels in (classes, several):
        each = measures(scores[None], labels)
        for name, metric in LOSSES.items():
            value = float(METRICS[metric](jnp.asarray(scores), jnp.asarray(labels), jnp.ones(40)))
            loss = each[name].mean()
            np.testing.assert_allclose(1 - loss if name == "zero_one" else -loss, value, rtol=2e-6, err_msg=name)
    logits = np.asarray(class_logits(jnp.asarray(scores), jnp.asarray(classes)))
    np.testing.assert_allclose(logits_of_classes(scores.astype(np.float64)), logits, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(
        measures(scores[None], classes)["score"][0], logits[np.arange(40), classes], rtol=2e-5, atol=1e-5
    )
    assert "score" not in measures(scores[None], several)
    with mock.patch("cpi_jax.statistics.local_changes._BLOCK", 21):  # seven rows at once
        rows = rng.permutation(40)[:30]
        blocks, whole = measure_rows(scores[None], rows, several[rows]), measures(scores[None][:, rows], several[rows])
    assert blocks.keys() == whole.keys() and all((blocks[name] == whole[name]).all() for name in whole)


def test_a_decision_is_the_largest_logit_or_that_of_each_label():
    s = np.array([[[1.0, 2, 0], [3, 2, -1], [-1, -2, 5]]])
    classes, several = decisions(s, np.zeros(3, int)), decisions(s, np.zeros((3, 3), int))
    assert classes.tolist() == [[1, 0, 2]] and several.shape == s.shape
    assert flips(classes[:, [0, 0]], classes[:, [0, 2]], False).tolist() == [[0, 1]]
    assert flips(several[:, [0, 0]], several[:, [1, 2]], True).tolist() == [[0, 1]]
    assert decisions(s[..., :1], np.zeros(3, int)).tolist() == [[True, True, False]]
    cells = decisions(s[..., :1], np.zeros(3, int))[:, np.array([[0, 2], [1, 1]])]  # of two examples and values
    assert flips(cells, cells[..., :1], False).tolist() == [[[0, 1], [0, 0]]]


@pytest.mark.parametrize("kind", ["enumerated", "strata", "shuffles"])
def test_influences_are_the_derivatives_in_the_weights(kind):
    _, _, lookup, scores, _ = world()
    own, strata = np.asarray(lookup.values), STRATA if kind == "strata" else None
    lookup = shuffled(lookup) if kind == "shuffles" else lookup
    weights = WEIGHTS + 0.5
    rows = np.asarray(lookup.rows)[:, 0]
    cells = np.asarray(scores)[0, rows].astype(float)
    for among in (rows >= 0, deal(lookup, 0, own[:, 0], weights, strata).changed):
        influence = deal(lookup, 0, own[:, 0], weights, strata).mean(cells, among)[1]
        for i in range(N):
            step = 1e-5 * weights * (np.arange(N) == i)
            high, low = (deal(lookup, 0, own[:, 0], weights + s, strata).mean(cells, among)[0] for s in (step, -step))
            np.testing.assert_allclose(influence[i], (high - low) / 2e-5, atol=1e-7)


def lookup_of(rows, own):
    """Of one feature, whose rows [N, M] are by value."""
    baseline = rows[np.arange(len(own)), own]
    return Lookup(*(jnp.asarray(x, jnp.int32) for x in (baseline, rows[:, None], own[:, None])))


def three_values(n=60, seed=1):
    """A feature with three values, of which 0 says nothing, and the flips of every cell."""
    rng = np.random.default_rng(seed)
    own, rows = rng.integers(0, 3, n), np.arange(3 * n).reshape(n, 3)
    lookup = lookup_of(rows, own)
    flipped = np.where(np.arange(3) == own[:, None], 0.0, rng.integers(0, 3, (n, 3)) / 2)
    return deal(lookup, 0, own, rng.integers(1, 3, n).astype(float)), flipped


def test_flip_rates_by_direction_by_hand():
    dealing, flipped = three_values()
    table = flip_rates(dealing, flipped, np.array([False, True, True]))
    assert list(table.direction) == ["permuted", "appears", "disappears", "changes", "a to b", "a to b"]
    own, w = dealing.own, dealing.weights
    pairs = {
        "permuted": [(a, b) for a in range(3) for b in range(3)],
        "appears": [(0, 1), (0, 2)],
        "disappears": [(1, 0), (2, 0)],
        "changes": [(1, 2), (2, 1)],
    }
    for direction, chosen in pairs.items():
        weight, hits = 0.0, 0.0
        for i in range(len(own)):
            others = np.arange(len(own)) != i
            for v in range(3):
                if (own[i], v) in chosen:
                    p = w[others & (own == v)].sum() / w[others].sum()
                    weight, hits = weight + w[i] * p, hits + w[i] * p * flipped[i, v]
        (row,) = table[table.direction == direction].itertuples()
        np.testing.assert_allclose(row.rate, hits / weight, rtol=1e-12)
        assert row.examples == sum(any(a == own[i] for a, _ in chosen) for i in range(len(own)))
        assert row.ci_low < row.rate < row.ci_high
    single = table[(table.own == 1) & (table.value == 2)].iloc[0]
    np.testing.assert_allclose(single.rate, np.average(flipped[own == 1, 2], weights=w[own == 1]), rtol=0.02)


def test_intervals_are_wilsons_and_students_over_examples_or_clusters():
    """Of n decisions that are 0 or 1 and count alike, the interval is Wilson's with Student's t for n - 1 of them."""
    x = np.array([1.0, 0, 0, 1, 0, 0, 0, 0, 1, 0])
    n, rate, t = 10, 0.3, stats.t.ppf(0.975, 9)
    low, high = share_interval(rate, (x - rate) / n, np.ones(n), level=0.95)
    for end in (low, high):  # Wilson: where the score test rejects; the error has n - 1 for n
        np.testing.assert_allclose((rate - end) ** 2, t**2 * end * (1 - end) / (n - 1), rtol=1e-9)
    assert low < rate < high
    assert share_interval(0.0, np.zeros(n), np.ones(n), level=0.95) == (0.0, pytest.approx(t**2 / (n + t**2)))
    assert share_interval(1.0, np.zeros(n), np.ones(n), level=0.95)[1] == 1
    assert share_interval(0.3, np.zeros(1), np.ones(1), level=0.95) == (0, 1)
    interval = mean_interval(x.mean(), (x - x.mean()) / n, np.ones(n), level=0.95)
    np.testing.assert_allclose(interval, stats.t.interval(0.95, 9, x.mean(), stats.sem(x)))
    dealing, flipped = three_values()
    copies = np.repeat(np.arange(60), 2)  # every example twice: as clusters they are 60 units
    lookup = lookup_of(dealing.rows[copies], dealing.own[copies])
    twice = deal(lookup, 0, dealing.own[copies], dealing.weights[copies])
    says = np.array([False, True, True])
    plain, clustered = (
        flip_rates(d, x, says, c) for d, x, c in ((dealing, flipped, None), (twice, flipped[copies], copies))
    )
    np.testing.assert_allclose(
        clustered[["rate", "ci_low", "ci_high"]], plain[["rate", "ci_low", "ci_high"]], atol=0.01
    )
    narrow = flip_rates(twice, flipped[copies], says)
    assert ((narrow.ci_high - narrow.ci_low) < 0.8 * (clustered.ci_high - clustered.ci_low)).all()


def test_mean_scores_are_means_over_all_examples():
    dealing, _ = three_values()
    scores = np.random.default_rng(0).normal(size=(60, 3))
    table = mean_scores(dealing, scores)
    w = dealing.weights
    np.testing.assert_allclose(table.score, w @ scores / w.sum())
    u = w[:, None] * (scores - w @ scores / w.sum()) / w.sum()
    reach = stats.t.ppf(0.975, 59) * np.sqrt(60 / 59 * (u**2).sum(0))
    np.testing.assert_allclose(table.ci_high - table.score, reach)
