"""Shares of what the classifier knows: the delta method by hand, and what knowing the classes' shares alone gives."""

import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.statistics.baseline import infer_baseline
from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.known_share import chance_logits, known_share
from cpi_jax.statistics.metrics import METRICS, stack_metrics
from cpi_jax.statistics.sampling_units import SamplingUnits

NAMES = ("auroc", "accuracy", "balanced_accuracy", "neg_log_loss", "neg_brier", "average_precision")
UNITS = SamplingUnits(jnp.zeros(50, jnp.int32), 1)


def made(value, influence):
    """Of D draws, F features and one metric."""
    value, influence = (np.asarray(x, np.float32) for x in (value, influence))
    return Inference(jnp.asarray(value), jnp.empty((0, value.shape[1], 1)), jnp.asarray(influence), jnp.ones(1), UNITS)


def test_the_error_of_a_share_is_that_of_a_ratio():
    rng = np.random.default_rng(0)
    u = 0.3 * rng.normal(size=(2, 3, 1, 50)) / 50
    importances = made([[[0.2], [0.1]], [[0.4], [0.1]]], u[:, :2])
    baseline, chance = made([[[0.9]], [[0.7]]], u[:, 2:]), made([[[0.5]]], np.zeros((1, 1, 1, 50)))
    found = known_share(importances, baseline, chance)
    np.testing.assert_allclose(found.estimate[:, 0], [1.0, 1 / 3], rtol=1e-5)
    of_i, of_k = u.mean(0)[:2, 0], u.mean(0)[2, 0]
    linear = of_i / 0.3 - np.array([[0.3], [0.1]]) * of_k / 0.3**2  # the ratio's derivative
    np.testing.assert_allclose(found.influence[0, :, 0], linear, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.standard_error[:, 0], np.sqrt(50 / 49 * (linear**2).sum(1)), rtol=1e-4)
    error = float(baseline.standard_error[0, 0])
    near = made([[[0.5 + 2.9 * error]]], u.mean(0, keepdims=True)[:, 2:])
    assert np.isnan(known_share(importances, near, chance).estimate).all()
    clear = made([[[0.5 + 3.1 * error]]], u.mean(0, keepdims=True)[:, 2:])
    assert np.isfinite(known_share(importances, clear, chance).standard_error).all()


@pytest.mark.slow
def test_chance_is_what_the_classes_shares_alone_give():
    rng = np.random.default_rng(1)
    labels, weights = (np.arange(30) < 11).astype(np.int32), rng.integers(1, 4, 30).astype(float)

    def chance(w):
        s = np.asarray(chance_logits(labels, w, 1))[None, :, 0]
        return infer_baseline(jnp.asarray(s), jnp.asarray(labels), jnp.asarray(w, jnp.float32), metric)

    metric = stack_metrics(tuple(METRICS[name] for name in NAMES))
    found, p = chance(weights), np.average(labels, weights=weights)
    entropy = p * np.log(p) + (1 - p) * np.log(1 - p)
    expected = [0.5, 1 - p, 0.5, entropy, -p * (1 - p), p]
    np.testing.assert_allclose(found.estimate[0], expected, rtol=1e-5)
    # Its influences, too, though the shares are held: the losses are least there, so that they move in second order alone.
    for i in (0, 29):
        step = 0.02 * weights * (np.arange(30) == i)
        slope = (chance(weights + step).estimate - chance(weights - step).estimate)[0] / 0.04
        np.testing.assert_allclose(found.influence[0, 0, :, i], slope, atol=2e-4)


def test_chance_of_classes_and_of_several_labels():
    classes, several = np.array([0, 2, 2, 1]), np.array([[1, 0], [1, 1], [0, 1], [1, 1]])
    np.testing.assert_allclose(np.exp(chance_logits(classes, np.ones(4), 3)[0]), [0.25, 0.25, 0.5], rtol=1e-6)
    logits = np.asarray(chance_logits(several, np.array([1.0, 1, 2, 0]), 2))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), np.tile([0.5, 0.75], (4, 1)), rtol=1e-6)
