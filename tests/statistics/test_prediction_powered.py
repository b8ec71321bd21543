"""Importances that true pairs correct: numpy's sums, closed forms, and metrics of some recipients alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.errors import InputError
from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.inference import Inference, infer
from cpi_jax.statistics.metrics import METRICS, stack_metrics
from cpi_jax.statistics.prediction_powered import correct_by_pairs, draw_subset
from cpi_jax.statistics.sampling_units import SamplingUnits

GROUP = np.array([0, 1, 2] * 20)  # two classes, and units without weight
PAIRED = np.arange(60) % 5 < 2
UNITS = SamplingUnits(jnp.asarray(GROUP, jnp.int32), 2)


def made(value, influence):
    """Of D draws, F features and one metric; units without weight have no influence."""
    value, influence = np.asarray(value, np.float32), np.where(GROUP < 2, influence, 0).astype(np.float32)
    return Inference(jnp.asarray(value), jnp.empty((0, value.shape[1], 1)), jnp.asarray(influence), jnp.ones(1), UNITS)


def test_estimate_weight_and_error_are_those_of_a_few_sums():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(3, 1, 60))
    true = made([[[0.3], [0.2], [0.1]]], PAIRED * (shared + 0.3 * rng.normal(size=(1, 3, 1, 60))))
    noise = rng.normal(size=(2, 3, 1, 60)) * np.array([0.5, 0.5, 0.01])[:, None, None]
    of_generated = shared * np.array([1.0, -1.0, 0.2])[:, None, None] + noise
    there = made([[[0.5], [0.4], [0.1]], [[0.3], [0.4], [0.1]]], PAIRED * of_generated)
    everywhere = made([[[0.6], [0.3], [0.2]], [[0.6], [0.3], [0.2]]], 0.4 * of_generated)
    corrected, weight = correct_by_pairs(true, there, everywhere, jnp.asarray(PAIRED))

    sizes = np.array([((q == GROUP) & (p == PAIRED)).sum() for p in (0, 1) for q in (0, 1)])
    factors = np.zeros(60)
    for n, (p, q) in zip(sizes, [(p, q) for p in (0, 1) for q in (0, 1)]):
        factors[(q == GROUP) & (p == PAIRED)] = n / (n - 1)
    a = np.asarray(true.influence, float)[0, :, 0]
    b = np.asarray(everywhere.influence - there.influence, float).mean(0)[:, 0]
    best = -(factors * a * b).sum(1) / (factors * b * b).sum(1)
    assert best[0] > 0.3 and best[1] < 0 and best[2] > 1  # of use; misleading; of use, and only a fifth as strong
    weights = np.clip(best, 0, 1)
    np.testing.assert_allclose(weight[:, 0], weights, rtol=1e-4)
    np.testing.assert_allclose(
        corrected.estimate[:, 0], np.array([0.3, 0.2, 0.1]) + weights * [0.2, -0.1, 0.1], rtol=1e-4
    )
    error = np.sqrt((factors * (a + weights[:, None] * b) ** 2).sum(1))
    np.testing.assert_allclose(corrected.standard_error[:, 0], error, rtol=1e-4)
    alone = np.sqrt((factors * a**2).sum(1))
    assert error[0] < alone[0] and error[2] < alone[2]
    np.testing.assert_allclose(error[1], alone[1], rtol=1e-6)  # by the pairs alone


def test_degrees_of_freedom_fall_where_a_few_units_carry_the_variance():
    rng = np.random.default_rng(4)
    heavy = np.where(GROUP < 2, rng.normal(size=60), 0)
    heavy[0] = 10
    sizes = np.bincount(GROUP)[:2]
    variances, spread = 0.0, 0.0
    for q, n in enumerate(sizes):
        squares = n / (n - 1) * heavy[q == GROUP] ** 2
        variances, spread = variances + squares.sum(), spread + n * squares.var(ddof=1)
    few = float(UNITS.cautious_degrees_of_freedom(jnp.asarray(heavy, jnp.float32)))
    np.testing.assert_allclose(few, 2 * variances**2 / spread, rtol=1e-4)
    assert few < float(UNITS.degrees_of_freedom(jnp.asarray(heavy, jnp.float32))) / 2
    equal = jnp.where(GROUP < 2, jnp.asarray((-1.0) ** np.arange(60)), 0)  # of no spread: no more than Welch's
    assert float(UNITS.cautious_degrees_of_freedom(equal)) == float(UNITS.degrees_of_freedom(equal))


N = 240
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2, N)
OWN, LABELS = np.arange(N) % 3, np.array([0, 1, 1, 0, 0] * (N // 5))
ROWS = np.arange(3 * N).reshape(N, 3)
LOOKUP = Lookup(*map(jnp.asarray, (ROWS[np.arange(N), OWN], ROWS[:, None], OWN[:, None])))
METRIC = stack_metrics((METRICS["accuracy"], METRICS["auroc"]))


def inferred(scores, recipients, weights=WEIGHTS):
    table = jnp.asarray(scores, jnp.float32).reshape(-1, 3 * N)
    about = jnp.asarray(LABELS), LOOKUP, jnp.asarray(weights, jnp.float32), METRIC
    return infer(jax.random.key(0), table, *about, num_repeats=0, recipients=jnp.asarray(recipients, jnp.float32))


def by_hand(scores, recipients, weights):
    """Accuracy of the recipients' own rows minus that of the rows that everybody else's values give them."""
    right = (scores > 0) == LABELS[:, None]
    own = right[np.arange(N), OWN]
    given = (weights * (np.arange(3)[:, None] == OWN))[None].repeat(N, 0).transpose(0, 2, 1)  # [i, k, v]
    given[np.arange(N), np.arange(N)] = 0
    shares = given.sum(1) / given.sum((1, 2))[:, None]
    w = weights * recipients
    return (w * own).sum() / w.sum() - (w * (shares * right).sum(1)).sum() / w.sum()


def test_a_metric_of_some_recipients_takes_values_from_everybody():
    scores, recipients = np.random.default_rng(2).normal(size=(N, 3)), np.arange(N) % 4 == 0
    found = inferred(scores, recipients)
    np.testing.assert_allclose(found.estimate[0, 0], by_hand(scores, recipients, WEIGHTS), atol=1e-6)
    for i in (0, 1):  # a recipient, and one that gives a value alone
        step = 1e-4 * WEIGHTS * (np.arange(N) == i)
        slope = (by_hand(scores, recipients, WEIGHTS + step) - by_hand(scores, recipients, WEIGHTS - step)) / 2e-4
        np.testing.assert_allclose(found.influence[0, 0, 0, i], slope, atol=1e-5)
    kept = inferred(np.where(recipients[:, None], scores, 7.0), recipients)  # whatever the others' scores are
    np.testing.assert_allclose(kept.estimate, found.estimate, atol=1e-6)
    with pytest.raises(InputError, match="num_repeats must be 0"):
        infer(
            jax.random.key(0), jnp.zeros((1, 3 * N)), jnp.asarray(LABELS), LOOKUP, jnp.ones(N), METRIC, num_repeats=9,
            recipients=jnp.ones(N),
        )  # fmt: skip


def test_exact_pictures_count_wholly_and_noise_not_at_all():
    true, paired = np.random.default_rng(3).normal(size=(N, 3)), np.arange(N) % 4 == 0
    everybody = inferred(true, np.ones(N))
    exact, weight = correct_by_pairs(inferred(true, paired), inferred(true, paired), everybody, jnp.asarray(paired))
    near = np.asarray(weight * everybody.estimate + (1 - weight) * inferred(true, paired).estimate)
    np.testing.assert_allclose(exact.estimate, near, atol=1e-6)
    assert (np.asarray(weight) > 0.8).all()
    alike = (
        inferred(np.ones((N, 3)), paired),
        inferred(np.ones((N, 3)), np.ones(N)),
    )  # a generator that draws one picture
    alone, weight = correct_by_pairs(inferred(true, paired), *alike, jnp.asarray(paired))
    np.testing.assert_array_equal(weight, 0)
    np.testing.assert_array_equal(alone.estimate, inferred(true, paired).estimate)
    whole, weight = correct_by_pairs(
        everybody, inferred(-true, np.ones(N)), inferred(-true, np.ones(N)), jnp.ones(N, bool)
    )
    np.testing.assert_array_equal(weight, 0)  # where everybody has true pictures, the others tell nothing
    np.testing.assert_array_equal(whole.estimate, everybody.estimate)


def test_each_class_has_its_share_of_the_draw():
    labels, weights = np.repeat([0, 1, 2], [60, 30, 13]), np.where(np.arange(103) == 102, 0.0, 1.0)
    drawn = [draw_subset(labels, weights, 17, seed) for seed in range(400)]
    assert {tuple(np.bincount(labels[chosen])) for chosen in drawn} == {(10, 5, 2)}  # of 102: exactly 10, 5 and 2
    assert all((np.diff(chosen) > 0).all() for chosen in drawn) and not any(102 in chosen for chosen in drawn)
    often = np.bincount(np.concatenate(drawn), minlength=103)[:102] / 400
    assert abs(often - 1 / 6).max() < 5 * np.sqrt(5 / 36 / 400)
    np.testing.assert_array_equal(draw_subset(np.stack([labels, labels], 1), np.ones(103), 103, 0), np.arange(103))
    assert len(draw_subset(labels, weights, 20, 0)) == 20  # remainders
