"""Differences between subgroups: two independent samples, or clusters in both; between classifiers: always pairs."""

import jax.numpy as jnp
import numpy as np
from scipy import stats

from cpi_jax.statistics.baseline import infer_baseline
from cpi_jax.statistics.contrasts import summarize_contrasts
from cpi_jax.statistics.differences import subgroup_difference, target_difference
from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.metrics import auroc, stack_metrics
from cpi_jax.statistics.sampling_units import sampling_units

CLASSES = jnp.zeros(30, jnp.int32)


def mean_of(x, inside, clusters=None):
    """The plain mean of x over a subgroup as an `Inference` of one feature and one metric."""
    w = np.asarray(inside, float)
    u = w * (x - np.average(x, weights=w)) / w.sum()
    number = None if clusters is None else int(clusters.max()) + 1
    if clusters is not None:
        u = np.bincount(clusters, u)
    units = sampling_units(
        CLASSES, jnp.asarray(w, jnp.float32), 1, None if clusters is None else jnp.asarray(clusters), number
    )
    value = jnp.full((1, 1, 1), np.average(x, weights=w), jnp.float32)
    return Inference(value, jnp.empty((0, 1, 1)), jnp.asarray(u, jnp.float32)[None, None, None], jnp.ones(1), units)


def test_of_two_independent_samples_it_is_welchs_test():
    x = np.random.default_rng(0).normal(size=30) * np.where(np.arange(30) < 12, 1, 3)
    first, second = np.arange(30) < 12, (np.arange(30) >= 12) & (np.arange(30) < 28)  # two are of neither
    found = summarize_contrasts(subgroup_difference(mean_of(x, first), mean_of(x, second)))
    test = stats.ttest_ind(x[second], x[first], equal_var=False)
    low, high = test.confidence_interval(0.95)
    np.testing.assert_allclose(found.value[0, 0] / found.error[0, 0], test.statistic, rtol=1e-4)
    np.testing.assert_allclose([found.ci_low[0, 0], found.ci_high[0, 0]], [low, high], rtol=5e-3)
    np.testing.assert_allclose(found.p[0, 0], test.pvalue, rtol=2e-2)
    swapped = subgroup_difference(mean_of(x, second), mean_of(x, first))
    np.testing.assert_allclose(swapped.standard_error, found.error, rtol=1e-6)


def test_clusters_with_examples_in_both_are_pairs():
    """Fifteen patients with one picture in each subgroup: the paired t test."""
    rng = np.random.default_rng(1)
    patient, side = np.arange(30) // 2, np.arange(30) % 2 == 1
    x = rng.normal(size=15)[patient] + 0.3 * rng.normal(size=30)
    found = summarize_contrasts(subgroup_difference(mean_of(x, ~side, patient), mean_of(x, side, patient)))
    test = stats.ttest_rel(x[side], x[~side])
    np.testing.assert_allclose(found.value[0, 0] / found.error[0, 0], test.statistic, rtol=1e-4)
    np.testing.assert_allclose(found.p[0, 0], test.pvalue, rtol=2e-2)


def test_two_classifiers_on_the_same_examples_are_pairs():
    """Also where few have weight: the paired t test of the examples that do."""
    rng = np.random.default_rng(2)
    common = rng.normal(size=30)
    first, second = (common + 0.3 * rng.normal(size=30) for _ in range(2))
    used = np.arange(30) < 25
    found = summarize_contrasts(target_difference(mean_of(first, used), mean_of(second, used)))
    test = stats.ttest_rel(second[used], first[used])
    low, high = test.confidence_interval(0.95)
    np.testing.assert_allclose(found.value[0, 0] / found.error[0, 0], test.statistic, rtol=1e-4)
    np.testing.assert_allclose([found.ci_low[0, 0], found.ci_high[0, 0]], [low, high], rtol=5e-3)
    np.testing.assert_allclose(found.p[0, 0], test.pvalue, rtol=2e-2)


def test_aurocs_of_two_classifiers_differ_with_delongs_error():
    """DeLong's covariance of two correlated AUROCs (1988), by the placements of the scores."""
    rng = np.random.default_rng(3)
    labels = (np.arange(60) < 25).astype(int)
    latent = rng.normal(size=60) + labels
    scores = np.stack([latent + 0.4 * rng.normal(size=60), latent + 0.8 * rng.normal(size=60)])
    inferred = [
        infer_baseline(jnp.asarray(s[None], jnp.float32), jnp.asarray(labels), jnp.ones(60), stack_metrics((auroc,)))
        for s in scores
    ]
    found = target_difference(*inferred)
    wins = (scores[:, labels == 1][:, :, None] > scores[:, labels == 0][:, None, :]).mean((1, 2))
    of_positive = (scores[:, labels == 1][:, :, None] > scores[:, labels == 0][:, None, :]).mean(2)
    of_negative = (scores[:, labels == 1][:, :, None] > scores[:, labels == 0][:, None, :]).mean(1)
    covariance = np.cov(of_positive) / 25 + np.cov(of_negative) / 35
    np.testing.assert_allclose(found.estimate[0, 0], wins[1] - wins[0], atol=1e-6)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    np.testing.assert_allclose(found.standard_error[0, 0], np.sqrt(variance), rtol=1e-4)
