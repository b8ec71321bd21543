import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from cpi_jax.importance.functional import donor_shares, importance
from cpi_jax.importance.metrics import METRICS, auroc
from cpi_jax.permutation import permute
from cpi_jax.variants import plan_variants, take_variants

pytestmark = pytest.mark.usefixtures("strict")


def world(n=12, k=3, draws=2, seed=0, noise=0.3):
    """Concept columns as one-token slots, and a score table made by a model of the columns plus noise per row."""
    rng = np.random.default_rng(seed)
    concepts = jnp.asarray(rng.integers(0, 2, (n, k)), jnp.int32)
    features = jnp.eye(k, dtype=bool)
    variants, lookup = plan_variants(concepts[..., None], features, np.arange(n))
    rows = take_variants(concepts, features, variants)  # [V, K]
    weights = jnp.asarray(rng.normal(size=k).round(1), jnp.float32)
    scores = (rows @ weights)[None] + noise * jnp.asarray(rng.normal(size=(draws, len(rows))), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 2, n), jnp.int32)
    return concepts, variants, lookup, scores, labels


def oracle(name, scores, labels, weights):
    """scikit-learn's metric, higher is better."""
    p = 1 / (1 + np.exp(-np.asarray(scores, float)))
    if name == "auroc":
        return sk.roc_auc_score(labels, scores, sample_weight=weights)
    if name == "accuracy":
        return sk.accuracy_score(labels, p > 0.5, sample_weight=weights)
    return -sk.log_loss(labels, p, sample_weight=weights)


def by_brute_force(name, concepts, lookup, scores, labels, w, strata):
    """Every (recipient, donor) pair is a row of its own, with weight w_i w_k / W_i."""
    n, k = concepts.shape
    baseline, reach, value = (np.asarray(x) for x in (lookup.baseline, lookup.rows, lookup.values))
    labels, out = np.asarray(labels), np.zeros((len(scores), k))
    for d, s in enumerate(np.asarray(scores)):
        for j in range(k):
            values, truth, weight, kept = [], [], [], np.zeros(n)
            for i in range(n):
                others = [m for m in range(n) if m != i and strata[m] == strata[i]]
                total = sum(w[m] for m in others)
                if total == 0:
                    continue
                kept[i] = w[i]
                for m in others:
                    values.append(s[reach[i, j, value[m, j]]])
                    truth.append(labels[i])
                    weight.append(w[i] * w[m] / total)
            out[d, j] = oracle(name, s[baseline], labels, kept) - oracle(name, values, truth, weight)
    return out


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("case", ["plain", "bootstrap counts", "strata"])
def test_equals_the_sum_over_every_recipient_and_donor(name, case):
    concepts, _, lookup, scores, labels = world()
    n = len(labels)
    w, strata = np.ones(n), np.zeros(n, int)
    if case == "bootstrap counts":
        w = np.bincount(np.random.default_rng(1).integers(0, n, n), minlength=n).astype(float)
    if case == "strata":
        strata = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 3])  # the last is alone
    got = importance(scores, labels, lookup, jnp.asarray(w, jnp.float32), METRICS[name], jnp.asarray(strata))
    expected = by_brute_force(name, concepts, lookup, scores, labels, w, strata)
    np.testing.assert_allclose(got, expected, atol=2e-6)


def test_a_linear_model_of_independent_concepts_has_importance_twice_its_explained_variance():
    """Squared error, y = w . c: exactly 2 w_j^2 Var(c_j), the variance with N - 1 (a metric of the user's own)."""

    def negative_squared_error(scores, labels, weights):
        return -jnp.sum(weights * (scores - labels) ** 2) / jnp.sum(weights)

    rng = np.random.default_rng(0)
    concepts = jnp.asarray(rng.integers(0, 2, (40, 3)), jnp.int32)
    variants, lookup = plan_variants(concepts[..., None], jnp.eye(3, dtype=bool), np.arange(40))
    w = jnp.array([2, -1, 0], jnp.int32)
    scores = (take_variants(concepts, jnp.eye(3, dtype=bool), variants) @ w).astype(jnp.float32)
    got = importance(scores[None], concepts @ w, lookup, jnp.ones(40), negative_squared_error)
    expected = 2 * np.array([2, -1, 0]) ** 2 * np.asarray(concepts).var(0, ddof=1)
    np.testing.assert_allclose(got[0], expected, rtol=1e-5)


def test_shuffles_converge_to_the_functional():
    """Mean metrics: (N - 1) / N of it, since a uniform shuffle has fixed points. Other donors are never the example."""
    _, _, lookup, scores, labels = world(n=10, draws=1)
    metric = METRICS["neg_log_loss"]
    got = importance(scores, labels, lookup, jnp.ones(10), metric)[0]
    keys = jax.random.split(jax.random.key(3), 20_000)
    s = scores[0]

    def by_shuffle(key, j):
        column = permute(key, lookup.values[..., None], jnp.arange(3) == j)[:, j, 0]
        rows = jnp.take_along_axis(lookup.rows[:, j], column[:, None], axis=1)[:, 0]
        return metric(s[lookup.baseline], labels, jnp.ones(10)) - metric(s[rows], labels, jnp.ones(10))

    for j in range(3):
        drops = np.asarray(jax.jit(jax.vmap(lambda k, j=j: by_shuffle(k, j)))(keys))
        error = drops.std() / np.sqrt(len(drops))
        assert abs(drops.mean() - 0.9 * float(got[j])) < 4 * error
        assert abs(drops.mean() - float(got[j])) > 4 * error or abs(float(got[j])) < 20 * error


def test_no_one_is_their_own_donor_and_singletons_leave():
    _, _, lookup, _, _ = world(n=6, k=1)
    w = jnp.array([1.0, 2, 0, 3, 1, 4])
    shares, kept = donor_shares(lookup, w, jnp.array([0, 0, 0, 1, 1, 2]))
    values = np.asarray(lookup.values[:, 0])
    # 0 receives from 1 alone (2 has no weight), whatever the weights; 5 is alone.
    np.testing.assert_array_equal(shares[0, 0], np.arange(2) == values[1])
    np.testing.assert_array_equal(shares[3, 0], np.arange(2) == values[4])
    np.testing.assert_array_equal(kept, [1, 2, 0, 3, 1, 0])


def test_a_concept_that_moves_no_score_has_importance_exactly_zero():
    concepts, variants, lookup, _, labels = world(n=30)
    scores = take_variants(concepts, jnp.eye(3, dtype=bool), variants)[:, 0].astype(jnp.float32)
    scores = scores + 0.1 * variants.example.astype(jnp.float32)
    got = np.asarray(importance(scores[None], labels, lookup, jnp.ones(30), auroc))[0]
    assert got[1] == 0 and got[2] == 0 and got[0] != 0


def test_runs_under_the_callers_jit_vmap_and_grad():
    _, _, lookup, scores, labels = world(n=15)
    w = jnp.ones(15)

    def total(w):
        return importance(scores, labels, lookup, w, auroc).sum()

    influence = jax.jit(jax.grad(total))(w)
    for i in (0, 5, 14):
        step = jnp.zeros(15).at[i].set(0.05)
        assert abs(float(influence[i]) - float(total(w + step) - total(w - step)) / 0.1) < 5e-3
    many = jax.jit(jax.vmap(total))(jnp.stack([w, 2 * w]))
    np.testing.assert_allclose(many, total(w), rtol=1e-5)  # scale of the weights does not matter


def test_equal_shapes_compile_once():
    before = importance._cache_size()
    for seed in range(3):
        # Same values in every world, so that the tables have the same shape.
        _, _, lookup, scores, labels = world(n=8, seed=0)
        scores = scores + seed
        importance(scores, labels[::-1], lookup, jnp.ones(8) + seed, auroc)
    assert importance._cache_size() == before + 1
