import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.preprocessing import label_binarize

from cpi_jax.statistics.metrics import METRICS, accuracy, auroc, neg_log_loss, stack_metrics, top_k_accuracy

pytestmark = pytest.mark.usefixtures("strict")

BINARY = ("auroc", "average_precision", "accuracy", "balanced_accuracy", "f1", "neg_log_loss", "neg_brier")


def data(n, seed=0, decimals=1, columns=None, task="binary"):
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, n).astype(np.float32)
    if task == "binary":
        scores = np.round(rng.normal(size=n), decimals).astype(np.float32)
        return scores, (rng.random(n) < 1 / (1 + np.exp(-scores))).astype(np.int32), weights
    scores = np.round(2 * rng.normal(size=(n, columns)), decimals).astype(np.float32)
    if task == "multi-label":
        return scores, (rng.random(scores.shape) < 1 / (1 + np.exp(-scores))).astype(np.int32), weights
    labels = (scores + rng.gumbel(size=scores.shape)).argmax(1).astype(np.int32)
    return scores, labels, weights


jitted = functools.cache(jax.jit)


def value(metric, scores, labels, weights):
    return np.asarray(jitted(metric)(*(jnp.asarray(x) for x in (scores, labels, weights))))


def binary_oracle(name, y, s, w):
    p = 1 / (1 + np.exp(-s.astype(np.float64)))
    return {
        "auroc": lambda: sk.roc_auc_score(y, s, sample_weight=w),
        "average_precision": lambda: sk.average_precision_score(y, s, sample_weight=w),
        "accuracy": lambda: sk.accuracy_score(y, s > 0, sample_weight=w),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, s > 0, sample_weight=w),
        "f1": lambda: sk.f1_score(y, s > 0, sample_weight=w),
        "neg_log_loss": lambda: -sk.log_loss(y, p, sample_weight=w),
        "neg_brier": lambda: -sk.brier_score_loss(y, p, sample_weight=w),
    }[name]()


def test_auroc_by_hand():
    # Pairs (positive, negative): .8 > .4, .8 > .2, .4 = .4, .4 > .2: 3.5 of 4.
    scores, labels = jnp.array([0.8, 0.4, 0.4, 0.2]), jnp.array([1, 1, 0, 0])
    assert float(auroc(scores, labels, jnp.ones(4))) == 3.5 / 4
    # The tied negative counts thrice: (1 * 4 + 1.5 + 1) / (2 * 4).
    assert float(auroc(scores, labels, jnp.array([1.0, 1, 3, 1]))) == 6.5 / 8


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_binary_metrics_equal_scikit_learns_with_ties_and_weights(name, decimals):
    scores, labels, weights = data(700, decimals=decimals)  # several blocks of the running sum, the last one cut short
    assert abs(value(METRICS[name], scores, labels, weights) - binary_oracle(name, labels, scores, weights)) < 1e-6


@pytest.mark.parametrize("name", ["auroc", "average_precision", "f1"])
def test_one_against_the_rest_equals_scikit_learns(name):
    scores, labels, weights = data(400, columns=4, task="multi-class")
    truth = label_binarize(labels, classes=range(4))
    p = np.exp(scores.astype(float)) / np.exp(scores.astype(float)).sum(1, keepdims=True)
    decided = label_binarize(scores.argmax(1), classes=range(4))
    rank = sk.roc_auc_score if name == "auroc" else sk.average_precision_score
    columns = [(sk.f1_score, decided) if name == "f1" else (rank, p)] * 4
    each = [f(truth[:, c], x[:, c], sample_weight=weights) for c, (f, x) in enumerate(columns)]
    support = weights @ truth
    np.testing.assert_allclose(value(METRICS[name], scores, labels, weights), np.mean(each), atol=2e-6)
    np.testing.assert_allclose(value(METRICS[f"{name}_per_class"], scores, labels, weights), each, atol=2e-6)
    weighted = np.average(each, weights=support)
    np.testing.assert_allclose(value(METRICS[f"{name}_weighted"], scores, labels, weights), weighted, atol=2e-6)


def test_multi_class_metrics_equal_scikit_learns():
    scores, labels, weights = data(400, columns=5, decimals=6, task="multi-class")
    p = np.exp(scores.astype(float)) / np.exp(scores.astype(float)).sum(1, keepdims=True)
    decided = scores.argmax(1)
    expected = {
        "accuracy": sk.accuracy_score(labels, decided, sample_weight=weights),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, decided, sample_weight=weights),
        "neg_log_loss": -sk.log_loss(labels, p, sample_weight=weights),
        "neg_brier": -np.average(((p - label_binarize(labels, classes=range(5))) ** 2).sum(1), weights=weights),
        "top_3_accuracy": sk.top_k_accuracy_score(labels, scores, k=3, sample_weight=weights),
    }
    for name, number in expected.items():
        assert abs(value(METRICS[name], scores, labels, weights) - number) < 2e-6, name
    assert value(top_k_accuracy(1), scores, labels, weights) == value(accuracy, scores, labels, weights)


@pytest.mark.parametrize("name", [n for n in BINARY if n != "accuracy"])
def test_multi_label_metrics_are_the_means_over_labels(name):
    scores, labels, weights = data(300, columns=3, task="multi-label")
    each = [binary_oracle(name, labels[:, c], scores[:, c], weights) for c in range(3)]
    assert abs(value(METRICS[name], scores, labels, weights) - np.mean(each)) < 2e-6


def test_multi_label_accuracy_is_of_whole_examples():
    scores, labels, weights = data(300, columns=3, task="multi-label")
    expected = sk.accuracy_score(labels, scores > 0, sample_weight=weights)
    assert abs(value(accuracy, scores, labels, weights) - expected) < 1e-6


@pytest.mark.slow
def test_a_confident_softmax_keeps_its_order():
    """log p - log(1 - p) of classes whose p rounds to 1 in float32 must still rank."""
    scores = jnp.array([[30.0, 0, 0], [40.0, 0, 0], [50.0, 0, 0], [20.0, 0, 0]])
    labels = jnp.array([1, 0, 0, 2])
    np.testing.assert_allclose(METRICS["auroc_per_class"](scores, labels, jnp.ones(4))[0], 1.0)


def test_log_loss_of_certain_scores_is_finite():
    assert np.isfinite(float(neg_log_loss(jnp.array([-1e4, 1e4]), jnp.array([1, 0]), jnp.ones(2))))


@pytest.mark.parametrize("name", BINARY)
def test_an_integer_weight_is_that_many_copies(name):
    scores, labels, weights = data(60)
    copies = np.repeat(np.arange(60), weights.astype(int))
    once = value(METRICS[name], scores[copies], labels[copies], np.ones(len(copies), np.float32))
    assert abs(value(METRICS[name], scores, labels, weights) - once) < 1e-6


@pytest.mark.parametrize("name", BINARY)
def test_gradient_in_the_weights_is_the_finite_difference(name):
    scores, labels, weights = (jnp.asarray(x) for x in data(40))
    weights = weights + 1
    gradient = jax.jit(jax.grad(METRICS[name], argnums=2))(scores, labels, weights)
    for i in (0, 7, 31):
        step = np.eye(40, dtype=np.float32)[i] * 0.25
        high, low = (jitted(METRICS[name])(scores, labels, weights + s) for s in (step, -step))
        assert abs(float(gradient[i]) - float(high - low) / 0.5) < 3e-4


@pytest.mark.slow
def test_many_weights_at_once_are_each_alone():
    scores, labels, _ = (jnp.asarray(x) for x in data(90))
    many = jax.random.uniform(jax.random.key(0), (90, 33))

    def own(scores, labels, weights):  # a user's plain function
        return jnp.sum(weights * jnp.abs(scores - labels)) / weights.sum()

    metric = stack_metrics((auroc, METRICS["f1"], own))
    together = metric.prepare(scores, labels)(many)
    for b in (0, 32):
        alone = [m(scores, labels, many[:, b]) for m in (auroc, METRICS["f1"], own)]
        np.testing.assert_allclose(together[b], jnp.stack(alone), rtol=2e-6)
    assert stack_metrics((auroc, METRICS["f1"], own)) is metric  # so that jitted functions know it again


def test_one_class_is_not_a_number():
    for name in ("auroc", "average_precision", "balanced_accuracy"):
        assert np.isnan(float(METRICS[name](jnp.array([0.1, 0.2]), jnp.array([1, 0]), jnp.array([0.0, 1.0])))), name


@pytest.mark.slow
def test_a_class_that_no_example_has_is_left_out():
    """As good as a classifier without that output: values and derivatives. Its own value is NaN."""
    rng = np.random.default_rng(0)
    labels, weights = jnp.asarray(np.repeat([0, 2], [12, 18])), jnp.asarray(rng.random(30), jnp.float32)
    scores = jnp.asarray(rng.normal(size=(30, 3)), jnp.float32).at[:, 1].set(-99.0)
    names = ("auroc", "average_precision", "f1", "balanced_accuracy", "auroc_weighted", "f1_weighted")
    metric = stack_metrics(tuple(METRICS[name] for name in names))
    both = jax.jit(lambda s, y: (metric(s, y, weights), jax.jacrev(lambda w: metric(s, y, w))(weights)))
    for three, two in zip(both(scores, labels), both(scores[:, ::2], labels // 2)):
        np.testing.assert_allclose(three, two, atol=1e-5)
    each = METRICS["auroc_per_class"](scores, labels, weights)
    np.testing.assert_allclose(each[::2], METRICS["auroc_per_class"](scores[:, ::2], labels // 2, weights), atol=1e-6)
    assert np.isnan(each[1]) and np.isnan(auroc(scores, labels * 0, weights))
