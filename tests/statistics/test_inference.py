import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.statistics.functional import evaluate, importance, prepare
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.interactions import interactions
from cpi_jax.statistics.metrics import METRICS, auroc, stack_metrics
from cpi_jax.statistics.sampling_units import SamplingUnits, sampling_units
from cpi_jax.statistics.significance import (
    benjamini_hochberg,
    bootstrap_p,
    frequency_outranks,
    holm,
    jackknife_interval,
    jackknife_p,
    outranked,
    rank_interval,
    student_quantile,
    student_tail,
)
from cpi_jax.statistics.stopping import reason_to_stop
from tests.statistics.test_functional import world

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strict")]
ONE_GROUP = SamplingUnits(jnp.zeros(4, jnp.int32), 1)


METRIC = stack_metrics((auroc,))


def small(draws=2):
    """A study of 12 examples, one shape for many tests."""
    _, _, lookup, scores, labels = world(n=12, draws=draws)
    return lookup, scores, labels


def inferred(lookup, scores, labels, seed=0):
    return infer(jax.random.key(seed), scores, labels, lookup, jnp.ones(12), METRIC, num_repeats=2)


def test_standard_error_of_plain_auroc_is_delongs():
    """A feature whose permutation ties every score has permuted AUROC 1/2: the drop is the plain AUROC minus one half."""
    lookup, scores, labels = small(draws=1)
    row = int(np.setdiff1d(np.arange(scores.shape[1]), lookup.baseline)[0])
    estimates = inferred(lookup.replace(rows=jnp.full_like(lookup.rows, row)), scores, labels)
    s, y = np.asarray(scores[0])[np.asarray(lookup.baseline)], np.asarray(labels)
    wins = (s[y == 1][:, None] > s[y == 0][None]) + 0.5 * (s[y == 1][:, None] == s[y == 0][None])
    np.testing.assert_allclose(estimates.estimate[:, 0], wins.mean() - 0.5, atol=1e-6)
    parts = [wins.mean(1).var(ddof=1) / (y == 1).sum(), wins.mean(0).var(ddof=1) / (y == 0).sum()]
    np.testing.assert_allclose(estimates.standard_error[:, 0], np.sqrt(sum(parts)), rtol=1e-4)
    # Welch's degrees of freedom of the same two variances.
    df = sum(parts) ** 2 / (parts[0] ** 2 / ((y == 1).sum() - 1) + parts[1] ** 2 / ((y == 0).sum() - 1))
    np.testing.assert_allclose(estimates.degrees_of_freedom[:, 0], df, rtol=1e-3)


def test_influences_are_derivatives_in_the_counts_and_sum_to_zero():
    _, _, lookup, scores, labels = world(n=15)
    w = jnp.linspace(0.5, 2, 15)
    metric = stack_metrics((auroc, METRICS["neg_log_loss"]))
    estimates = infer(jax.random.key(0), scores, labels, lookup, w, metric, num_repeats=50)
    np.testing.assert_allclose(estimates.influence.sum(-1), 0, atol=2e-6)

    @jax.jit
    def evaluated(count):
        return evaluate(prepare(scores, labels, lookup, metric), lookup, w[:, None] * count)

    for i in (0, 9, 14):
        count = np.ones((15, 2), np.float32)
        count[i] = 1.02, 0.98
        high, low = np.moveaxis(evaluated(count), 2, 0)
        np.testing.assert_allclose(estimates.influence[..., i], (high - low) / 0.04, atol=2e-4)


def test_influences_of_a_cluster_are_the_sum_of_its_examples():
    lookup, scores, labels = small()
    clusters = jnp.array([0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4])
    together = infer(
        jax.random.key(0), scores, labels, lookup, jnp.ones(12), METRIC, None, clusters, num_clusters=5, num_repeats=2
    )
    u = np.asarray(inferred(lookup, scores, labels).influence)
    expected = np.stack([u[..., np.asarray(clusters) == c].sum(-1) for c in range(5)], axis=-1)
    np.testing.assert_allclose(together.influence, expected, atol=1e-6)
    se = np.sqrt((expected.mean(0) ** 2).sum(-1) * 5 / 4)
    np.testing.assert_allclose(together.standard_error, se, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(together.degrees_of_freedom[0], 4, rtol=1e-5)


def test_units_without_weight_are_no_cases():
    units = sampling_units(jnp.array([0, 1, 1, 0, 1]), jnp.array([1.0, 2, 0, 1, 1]), 2)
    np.testing.assert_array_equal(units.sizes, [2, 2])
    # 2 / 1 times the squares of each group.
    np.testing.assert_allclose(units.variances(jnp.array([1.0, 2, 0, 3, 4])), [2 * (1 + 9), 2 * (4 + 16)])


def test_share_of_draws_by_hand():
    lookup, scores, labels = small()
    estimates = inferred(lookup, scores, labels)
    u = np.asarray(estimates.influence)[:, :, 0]  # [2, F, N]
    within = ((u[0] - u[1]) ** 2 / 2).sum(-1) / 2
    expected = np.minimum(within / (u.mean(0) ** 2).sum(-1), 1)
    np.testing.assert_allclose(estimates.share_of_draws[:, 0], expected, rtol=1e-4)
    one = inferred(lookup, scores[:1], labels)
    assert np.isnan(one.share_of_draws).all()
    twice = inferred(lookup, jnp.stack([scores[0], scores[0]]), labels)
    np.testing.assert_allclose(twice.share_of_draws, 0, atol=1e-6)
    np.testing.assert_allclose(twice.standard_error, one.standard_error, rtol=1e-5)


def test_an_exact_null_is_exactly_nothing():
    _, variants, lookup, scores, labels = world(n=15)
    scores = scores[:, lookup.baseline][:, variants.example]
    metric = stack_metrics((auroc, METRICS["neg_log_loss"]))
    estimates = infer(jax.random.key(0), scores, labels, lookup, jnp.ones(15), metric, num_repeats=50)
    for x in (estimates.per_draw, estimates.influence, estimates.repeats[~jnp.isnan(estimates.repeats)]):
        assert (np.asarray(x) == 0).all()
    low, high = jackknife_interval(estimates.estimate, estimates.standard_error, estimates.degrees_of_freedom)
    assert (np.asarray(low) == 0).all() and (np.asarray(high) == 0).all()
    p = jackknife_p(estimates.estimate, estimates.standard_error, estimates.degrees_of_freedom)
    assert (np.asarray(p) == 1).all() and (np.asarray(bootstrap_p(estimates.repeats)) == 1).all()
    assert (np.asarray(estimates.share_of_draws) == 0).all()


def test_students_t_against_scipy():
    from scipy import stats

    df = jnp.array([4.0, 9, 30, 1e5])
    for p in (0.95, 0.975, 0.995):
        np.testing.assert_allclose(student_quantile(p, df), stats.t.ppf(p, np.asarray(df)), rtol=0.02)
        np.testing.assert_allclose(student_tail(student_quantile(p, df), df), 1 - p, rtol=1e-3)
    for t in (-2.0, 0.3, 2.5):
        np.testing.assert_allclose(student_tail(jnp.full(4, t), df), stats.t.sf(t, np.asarray(df)), rtol=0.01)


def test_p_values_by_hand():
    repeats = jnp.array([[0.1, -0.1], [0.2, 0.0], [-0.3, 0.4], [jnp.nan, 0.5]])
    np.testing.assert_allclose(bootstrap_p(repeats), [2 / 4, 3 / 5])
    np.testing.assert_allclose(bootstrap_p(repeats, "two-sided"), [2 * 2 / 4, 1])
    many = jnp.full(1, 1e6)
    np.testing.assert_allclose(jackknife_p(jnp.array([1.96]), jnp.ones(1), many), 0.025, atol=1e-4)
    np.testing.assert_allclose(jackknife_p(jnp.array([-1.96]), jnp.ones(1), many), 0.975, atol=1e-4)
    np.testing.assert_allclose(jackknife_p(jnp.array([-1.96]), jnp.ones(1), many, "two-sided"), 0.05, atol=2e-4)


def test_corrections_by_hand():
    p = jnp.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02], rtol=1e-5)
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, 0.04, 0.04, 0.02], rtol=1e-5)
    without = jnp.array([0.01, jnp.nan, 0.03])  # a test without a p-value takes none from the others
    np.testing.assert_allclose(benjamini_hochberg(without), [0.03, np.nan, 0.045], rtol=1e-5)
    np.testing.assert_allclose(holm(jnp.array([0.9, 0.8])), [1, 1])


def test_ranks_by_hand():
    """Estimates 3, 1, .9 with independent errors of .1: the first leads, the others cannot be told apart."""
    influence = jnp.eye(3, 4) * 0.1
    above = outranked(jnp.array([3.0, 1.0, 0.9]), influence, ONE_GROUP.replace(group=jnp.zeros(4, jnp.int32)), 0.05)
    np.testing.assert_array_equal(above, [[0, 1, 1], [0, 0, 0], [0, 0, 0]])
    low, high = rank_interval(above)
    np.testing.assert_array_equal(low, [1, 2, 2])
    np.testing.assert_array_equal(high, [1, 3, 3])
    repeats = jnp.array([[3.0, 1, 1], [2, 1, 0], [0, 1, 5], [jnp.nan, 0, 0]])
    np.testing.assert_allclose(frequency_outranks(repeats)[:2], [[0.5, 2 / 3, 2 / 3], [1 / 3, 0.5, 0.5]], rtol=1e-6)
    one = outranked(jnp.ones(1), influence[:1], ONE_GROUP, 0.05)
    assert not one.any() and [int(x[0]) for x in rank_interval(one)] == [1, 1]


def test_rank_intervals_hold_together():
    """200 studies of five estimates with errors of their own: all true ranks are inside in at least 95 % but for chance."""
    rng = np.random.default_rng(0)
    truth = np.array([0.5, 0.3, 0.3, 0.1, 0.0])
    units = SamplingUnits(jnp.zeros(100, jnp.int32), 1)

    @jax.jit
    def ranks(estimate, influence):
        return rank_interval(outranked(estimate, influence, units, 0.05))

    covered = 0
    for _ in range(200):
        sample = truth[:, None] + rng.normal(size=(5, 100)) * 0.8
        influence = (sample - sample.mean(1, keepdims=True)) / 100
        low, high = ranks(jnp.asarray(sample.mean(1), jnp.float32), jnp.asarray(influence, jnp.float32))
        best = 1 + (truth[:, None] < truth[None]).sum(1)
        worst = 5 - (truth[:, None] > truth[None]).sum(1)
        covered += bool(((low <= best) & (worst <= high)).all())
    assert covered >= 184


def test_an_additive_model_has_no_interaction_in_a_linear_metric():
    """Squared error is additive over independent columns only in expectation; a metric linear in the scores always is."""

    def mean_score(scores, labels, weights):
        return jnp.sum(weights * scores * labels) / jnp.sum(weights)

    from cpi_jax.plan.enumeration import plan_variants
    from cpi_jax.plan.variants import take_variants

    rng = np.random.default_rng(3)
    concepts = jnp.asarray(rng.integers(0, 2, (25, 2)), jnp.int32)
    features = jnp.array([[True, False], [False, True], [True, True]])
    variants, lookup = plan_variants(concepts[..., None], features, np.arange(25))
    rows = take_variants(concepts, features, variants).astype(jnp.float32)
    labels = jnp.asarray(rng.integers(0, 2, 25), jnp.int32)
    additive, product = rows @ jnp.array([1.0, 2.0]), rows.prod(1)
    estimates = infer(jax.random.key(0), additive[None], labels, lookup, jnp.ones(25), mean_score, num_repeats=20)
    pair = interactions(estimates, [(0, 1, 2)])
    np.testing.assert_allclose(pair.estimate, 0, atol=1e-6)
    np.testing.assert_allclose(pair.repeats, 0, atol=1e-6)
    np.testing.assert_allclose(pair.influence, 0, atol=1e-6)
    estimates = infer(jax.random.key(0), product[None], labels, lookup, jnp.ones(25), mean_score, num_repeats=20)
    each = importance(product[None], labels, lookup, jnp.ones(25), mean_score)[0]
    np.testing.assert_allclose(interactions(estimates, [(0, 1, 2)]).estimate[0], each[2] - each[0] - each[1], rtol=1e-4)
    assert abs(float(each[2] - each[0] - each[1])) > 0.01


def fake_study(values, errors, num_draws=3, draw_noise=0.0):
    """An `Inference` of three features with these estimates and standard errors over 1,000 units."""
    from cpi_jax.statistics.inference import Inference

    rng = np.random.default_rng(0)
    u = rng.normal(size=(1, 3, 1000)) + draw_noise * rng.normal(size=(num_draws, 3, 1000))
    u = u - u.mean(-1, keepdims=True)
    u = u / np.sqrt((u.mean(0) ** 2).sum(-1))[:, None] * np.array(errors)[:, None]
    per_draw = jnp.broadcast_to(jnp.array(values), (num_draws, 3))
    units = SamplingUnits(jnp.zeros(1000, jnp.int32), 1)
    return Inference(per_draw, jnp.zeros((2, 3)), jnp.asarray(u, jnp.float32), jnp.ones(()), units)


def test_rounding_is_no_importance():
    """An interaction of a concept that is not read, and the ranks of features that are the same, are zero and tied."""
    from cpi_jax.plan.enumeration import plan_variants
    from cpi_jax.plan.variants import take_variants
    from cpi_jax.statistics.summary import summarize

    rng = np.random.default_rng(0)
    concepts = jnp.asarray(rng.integers(0, 2, (100, 3)), jnp.int32)
    features = jnp.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 1]], bool)
    variants, lookup = plan_variants(concepts[..., None], features, np.arange(100))
    rows = take_variants(concepts, features, variants)
    of_example = jnp.asarray(rng.normal(size=100), jnp.float32)[variants.example]
    scores = (rows[:, 0] * 1.3 + of_example)[None]
    labels = jnp.asarray(rng.random(100) < 1 / (1 + np.exp(0.5 - concepts[:, 0])), jnp.int32)
    metric = stack_metrics((auroc, METRICS["accuracy"], METRICS["neg_log_loss"]))
    estimates = infer(jax.random.key(0), scores, labels, lookup, jnp.ones(100), metric, num_repeats=200)
    names = ("auroc", "accuracy", "log")
    pair = summarize(interactions(estimates, [(0, 1, 2)]), names=("0 x 1",), metrics=names, alternative="two-sided")
    np.testing.assert_array_equal(pair.value, 0)
    np.testing.assert_array_equal(pair.p, 1)
    np.testing.assert_array_equal(pair.p_bootstrap, 1)
    single = summarize(estimates, names=("0", "1", "0+1", "0+2"), metrics=names)
    assert (single.p[:, 0] < 0.2).all() and (single.p[:, 1] == 1).all()
    for m in range(3):  # 0, 0+1 and 0+2 are one thing
        assert len({(int(single.rank_low[m, f]), int(single.rank_high[m, f])) for f in (0, 2, 3)}) == 1


def test_reasons_to_stop():
    estimates = fake_study([0.3, 0.2, 0.0], [0.01, 0.01, 0.01])
    assert reason_to_stop(estimates, look=1, num_looks=4) is None
    assert "narrower than 0.05" in reason_to_stop(estimates, look=1, num_looks=4, width=0.05)
    assert reason_to_stop(estimates, look=1, num_looks=4, width=0.03) is None
    assert "the 2 most important concepts are settled" in reason_to_stop(estimates, look=1, num_looks=4, top_k=2)
    assert "draws make up 0% of the variance" in reason_to_stop(estimates, look=2, num_looks=4, share_of_draws=0.1)
    noisy = fake_study([0.3, 0.2, 0.0], [0.01, 0.01, 0.01], draw_noise=3.0)
    assert reason_to_stop(noisy, look=2, num_looks=4, share_of_draws=0.1) is None
    single = fake_study([0.3, 0.2, 0.0], [0.01, 0.01, 0.01], num_draws=1)
    assert reason_to_stop(single, look=1, num_looks=4, share_of_draws=0.1) is None


def test_error_is_spent_over_the_looks():
    """A lead of about 2.5 standard errors settles the top at one look of .05, and not at one of many."""
    estimates = fake_study([0.036, 0.0, -0.1], [0.01, 0.01, 0.001])
    assert reason_to_stop(estimates, look=1, num_looks=1, top_k=1) is not None
    assert reason_to_stop(estimates, look=1, num_looks=8, top_k=1) is None


def test_equal_shapes_compile_once():
    lookup, scores, labels = small()
    inferred(lookup, scores, labels)
    before = infer._cache_size()
    for seed in range(1, 3):
        inferred(lookup.replace(values=lookup.values[::-1]), scores + seed, labels[::-1], seed)
    assert infer._cache_size() == before
