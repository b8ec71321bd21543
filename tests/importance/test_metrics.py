import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from cpi_jax.importance.metrics import METRICS, accuracy, auroc, neg_log_loss

pytestmark = pytest.mark.usefixtures("strict")


def data(n, seed=0, decimals=1):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=n), decimals).astype(np.float32)
    labels = (rng.random(n) < 1 / (1 + np.exp(-scores))).astype(np.int32)
    return scores, labels, rng.integers(0, 4, n).astype(np.float32)


def value(metric, scores, labels, weights):
    return float(metric(*(jnp.asarray(x) for x in (scores, labels, weights))))


def test_auroc_by_hand():
    # Pairs (positive, negative): .8 > .4, .8 > .2, .4 = .4, .4 > .2: 3.5 of 4.
    scores, labels = jnp.array([0.8, 0.4, 0.4, 0.2]), jnp.array([1, 1, 0, 0])
    assert float(auroc(scores, labels, jnp.ones(4))) == 3.5 / 4
    # The tied negative counts thrice: (1 * 4 + 1.5 + 1) / (2 * 4).
    assert float(auroc(scores, labels, jnp.array([1.0, 1, 3, 1]))) == 6.5 / 8


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_auroc_equals_scikit_learns_with_ties_and_weights(decimals):
    scores, labels, weights = data(500, decimals=decimals)
    expected = sk.roc_auc_score(labels, scores, sample_weight=weights)
    assert abs(value(auroc, scores, labels, weights) - expected) < 1e-6


def test_accuracy_and_log_loss_equal_scikit_learns():
    scores, labels, weights = data(300, decimals=6)
    p = 1 / (1 + np.exp(-scores.astype(np.float64)))
    right = sk.accuracy_score(labels, p > 0.5, sample_weight=weights)
    assert abs(value(accuracy, scores, labels, weights) - right) < 1e-6
    assert abs(value(neg_log_loss, scores, labels, weights) + sk.log_loss(labels, p, sample_weight=weights)) < 1e-6
    assert np.isfinite(float(neg_log_loss(jnp.array([-1e4, 1e4]), jnp.array([1, 0]), jnp.ones(2))))


@pytest.mark.parametrize("name", METRICS)
def test_an_integer_weight_is_that_many_copies(name):
    scores, labels, weights = data(60)
    copies = np.repeat(np.arange(60), weights.astype(int))
    once = value(METRICS[name], scores[copies], labels[copies], np.ones(len(copies), np.float32))
    assert abs(value(METRICS[name], scores, labels, weights) - once) < 1e-6


@pytest.mark.parametrize("name", METRICS)
def test_gradient_in_the_weights_is_the_finite_difference(name):
    scores, labels, weights = (jnp.asarray(x) for x in data(40))
    weights = weights + 1
    gradient = jax.grad(METRICS[name], argnums=2)(scores, labels, weights)
    for i in (0, 7, 31):
        step = np.eye(40, dtype=np.float32)[i] * 0.25
        high, low = (METRICS[name](scores, labels, weights + s) for s in (step, -step))
        assert abs(float(gradient[i]) - float(high - low) / 0.5) < 2e-4


def test_one_class_is_not_a_number():
    assert np.isnan(float(auroc(jnp.array([0.1, 0.2]), jnp.array([1, 0]), jnp.array([1.0, 0.0]))))
