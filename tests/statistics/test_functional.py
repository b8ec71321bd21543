"""I(w) against brute force over donors, shuffles and derivatives. Long, since all tests share few compiled shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.plan.enumeration import plan_variants
from cpi_jax.plan.variants import Lookup, ShuffledLookup, take_variants
from cpi_jax.statistics.exact_auroc import exact_auroc_importance
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.metrics import METRICS, auroc, stack_metrics
from cpi_jax.statistics.shuffles import shuffle_importance
from tests.statistics.test_metrics import BINARY, binary_oracle

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strict")]


def world(n=12, k=3, draws=2, seed=0, noise=0.3):
    """Concept columns as one-token slots, and a score table made by a model of the columns plus noise per row."""
    rng = np.random.default_rng(seed)
    concepts = jnp.asarray(rng.integers(0, 2, (n, k)), jnp.int32)
    features = jnp.asarray(np.eye(k, dtype=bool))
    variants, lookup = plan_variants(concepts[..., None], features, np.arange(n))
    rows = np.asarray(take_variants(concepts, features, variants))  # [V, K]
    weights = rng.normal(size=k).round(1)
    scores = (rows @ weights)[None] + noise * rng.normal(size=(draws, len(rows)))
    labels = jnp.asarray(rng.integers(0, 2, n), jnp.int32)
    return concepts, variants, lookup, jnp.asarray(scores, jnp.float32), labels


def by_brute_force(name, lookup, scores, labels, w, strata):
    """Every (recipient, donor) pair is a row of its own, with weight w_i w_k / W_i; strata [N, F]."""
    n, k = lookup.values.shape
    baseline, reach, value = (np.asarray(x) for x in (lookup.baseline, lookup.rows, lookup.values))
    labels, out = np.asarray(labels), np.zeros((len(scores), k))
    for d, s in enumerate(np.asarray(scores)):
        for j in range(k):
            values, truth, weight, kept = [], [], [], np.zeros(n)
            for i in range(n):
                others = [m for m in range(n) if m != i and strata[m, j] == strata[i, j]]
                total = sum(w[m] for m in others)
                if total == 0:
                    continue
                kept[i] = w[i]
                for m in others:
                    values.append(s[reach[i, j, value[m, j]]])
                    truth.append(labels[i])
                    weight.append(w[i] * w[m] / total)
            rows = np.array(truth), np.array(values), np.array(weight)
            if name == "average_precision":
                permuted = dealt_average_precision(labels, s[reach[:, j]], lookup.values[:, j], kept, strata[:, j])
            else:
                permuted = binary_oracle(name, *rows)
            out[d, j] = binary_oracle(name, labels, s[baseline], kept) - permuted
    return out


def dealt_average_precision(labels, scores, values, w, strata):
    """Its mean where every example receives the value of another one, drawn alone, by whole-number weights.

    For each positive's row, the distribution of the weight of positives and negatives that reach it is a convolution over
    the other examples.
    """
    n, m = scores.shape
    values, total, top = np.asarray(values), 0.0, int(w.sum()) + 1
    chance = np.zeros((n, m))
    for i in range(n):
        for k in range(n):
            if k != i and strata[k] == strata[i]:
                chance[i, values[k]] += w[k]
    chance /= np.maximum(chance.sum(1, keepdims=True), 1e-9)
    for i in np.flatnonzero(labels * w):
        for v in range(m):
            counts = np.zeros((top, top))  # [weight of positives, of negatives]
            counts[int(w[i]), 0] = 1
            for k in np.flatnonzero(w):
                if k != i:
                    q = chance[k][scores[k] >= scores[i, v]].sum()
                    moved = np.roll(counts, int(w[k]), axis=0 if labels[k] else 1)
                    counts = (1 - q) * counts + q * moved
            hits, other = np.indices(counts.shape)
            total += w[i] * chance[i, v] * (counts * hits / np.maximum(hits + other, 1)).sum()
    return total / (labels * w).sum()


STRATA = np.array([[0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 3], [0, 1, 0, 1] * 3, [0] * 12]).T  # the last of column 0 is alone


@pytest.mark.parametrize("case", ["plain", "bootstrap counts", "strata", "strata and counts"])
def test_equals_the_sum_over_every_recipient_and_donor(case):
    _, _, lookup, scores, labels = world()
    n = len(labels)
    w, strata = np.ones(n), None
    if "counts" in case:
        w = np.bincount(np.random.default_rng(1).integers(0, n, n), minlength=n).astype(float)
    if "strata" in case:
        strata = jnp.asarray(STRATA, jnp.int32)
    metric = stack_metrics(tuple(METRICS[name] for name in BINARY))
    got = importance(scores, labels, lookup, jnp.asarray(w, jnp.float32), metric, strata)
    for m, name in enumerate(BINARY):
        groups = np.zeros((n, 3)) if strata is None else STRATA
        expected = by_brute_force(name, lookup, scores, labels, w, groups)
        # Average precision takes E[1 / C] by a continued fraction.
        np.testing.assert_allclose(got[..., m], expected, atol=4e-3 if "average" in name else 3e-6, err_msg=name)


def test_one_column_of_scores_is_a_binary_classifier():
    _, _, lookup, scores, labels = world()
    one = importance(scores[..., None], labels, lookup, jnp.ones(12), auroc)
    np.testing.assert_array_equal(one, importance(scores, labels, lookup, jnp.ones(12), auroc))


def test_strata_for_all_features_are_those_of_each():
    _, _, lookup, scores, labels = world()
    column = jnp.asarray(STRATA[:, 0], jnp.int32)
    each = importance(scores, labels, lookup, jnp.ones(12), auroc, jnp.stack([column] * 3, axis=1))
    np.testing.assert_array_equal(importance(scores, labels, lookup, jnp.ones(12), auroc, column), each)


def test_multi_class_scores_and_labels():
    """The drop of a per-class metric is, class by class, that of the binary metric on one column."""
    _, _, lookup, scores, labels = world(n=20)
    both = jnp.stack([scores, -scores], axis=-1)
    truth = jnp.stack([labels, 1 - labels], axis=-1)
    got = importance(both, truth, lookup, jnp.ones(20), METRICS["auroc_per_class"])
    one = importance(scores, labels, lookup, jnp.ones(20), auroc)
    np.testing.assert_allclose(got, jnp.stack([one, one], axis=-1), atol=2e-6)
    classes = importance(both, 1 - labels, lookup, jnp.ones(20), METRICS["accuracy"])
    binary = importance(scores, labels, lookup, jnp.ones(20), METRICS["accuracy"])
    np.testing.assert_allclose(classes, binary, atol=2e-6)


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


def test_shuffles_converge():
    """Mean metrics: to (N - 1) / N of the functional, since a uniform shuffle has fixed points; AUROC: to the N! form."""
    _, _, lookup, scores, labels = world(n=10, draws=1)
    metric = stack_metrics((METRICS["neg_log_loss"], auroc))
    key, ones = jax.random.key(3), jnp.ones(10)
    drops = np.asarray(shuffle_importance(key, scores, labels, lookup, ones, metric, num_shuffles=20_000))[:, 0]
    functional = np.asarray(importance(scores, labels, lookup, ones, metric))[0]
    exact = np.stack([0.9 * functional[:, 0], np.asarray(exact_auroc_importance(scores, labels, lookup))[0]], axis=1)
    error = drops.std(0) / np.sqrt(len(drops))
    assert (np.abs(drops.mean(0) - exact) < 4 * error).all()
    # The tolerance tells them apart: the functional itself is not what shuffles converge to.
    assert (np.abs(drops.mean(0) - functional) > 4 * error).any(0).all()


def test_average_precision_is_its_mean_over_shuffles_with_few_positives():
    """10 positives of 160, where the average precision of all rows at once is half of what a permutation's is."""
    rng = np.random.default_rng(0)
    n, noise = 160, rng.normal(size=(160, 2))
    labels = jnp.asarray(np.arange(n) < 10, jnp.int32)
    values = jnp.asarray(rng.integers(0, 2, (n, 1)), jnp.int32)
    rows = jnp.where(jnp.arange(2)[None] == values, jnp.arange(n)[:, None], n + jnp.arange(n)[:, None])[:, None]
    lookup = Lookup(jnp.arange(n, dtype=jnp.int32), rows.astype(jnp.int32), values)
    scores = jnp.asarray((np.asarray(labels)[:, None] + noise).T.reshape(1, -1), jnp.float32)
    metric = METRICS["average_precision"]
    drops = shuffle_importance(jax.random.key(0), scores, labels, lookup, jnp.ones(n), metric, num_shuffles=2_000)
    got = float(importance(scores, labels, lookup, jnp.ones(n), metric)[0, 0])
    error = float(drops.std()) / np.sqrt(2_000)
    assert abs(got - float(drops.mean())) < 4 * error and error < 1.5e-3
    flat = importance(scores, labels, lookup, jnp.ones(n), lambda s, y, w: metric(s, y, w))
    assert abs(float(flat[0, 0]) - float(drops.mean())) > 8 * error  # which a plain function is


def test_the_mean_over_all_permutations_of_auroc_by_enumeration():
    import itertools

    _, _, lookup, scores, labels = world(n=6, k=2, draws=2, seed=4)
    scores = scores.round(0)  # ties
    got = np.asarray(exact_auroc_importance(scores, labels, lookup))
    orders = np.array(list(itertools.permutations(range(6))))
    reach, values, own = (np.asarray(x) for x in (lookup.rows, lookup.values, lookup.baseline))
    every = jax.jit(jax.vmap(lambda row: auroc(row, labels, jnp.ones(6))))
    for d, score in enumerate(np.asarray(scores)):
        for j in range(2):
            rows = np.take_along_axis(reach[None, :, j], values[orders, j][..., None], axis=2)[..., 0]
            before, *after = np.asarray(every(score[np.concatenate([own[None], rows])]))
            assert abs(got[d, j] - (before - np.mean(after))) < 1e-6


def test_shuffles_within_strata_stay_there():
    _, _, lookup, scores, labels = world(n=12, draws=1)
    strata = jnp.asarray(STRATA, jnp.int32)
    metric = METRICS["neg_log_loss"]
    drops = shuffle_importance(
        jax.random.key(0), scores, labels, lookup, jnp.ones(12), metric, strata, num_shuffles=20_000
    )
    s, values = np.asarray(scores[0]), np.asarray(lookup.values)
    for j in range(3):
        loss = []
        for i in range(12):
            mates = [m for m in range(12) if STRATA[m, j] == STRATA[i, j]]  # oneself included
            rows = np.asarray(lookup.rows)[i, j, values[mates, j]]
            loss.append(np.log1p(np.exp(np.where(labels[i], -s[rows], s[rows]))).mean())
        before = np.log1p(np.exp(np.where(labels, -s[lookup.baseline], s[lookup.baseline]))).mean()
        error = float(drops[:, 0, j].std()) / np.sqrt(20_000)
        assert abs(float(drops[:, 0, j].mean()) - (np.mean(loss) - before)) < 4 * error


def test_planned_shuffles_that_hold_every_donor_are_the_functional():
    """N - 1 rotations bring every other example as donor once: pair weights then give every pair its weight."""
    _, _, lookup, scores, labels = world(n=9)
    n = 9
    donors = (jnp.arange(n)[:, None] + jnp.arange(1, n)[None]) % n
    donors = jnp.broadcast_to(donors[:, None], (n, 3, n - 1)).astype(jnp.int32)
    value = lookup.values[donors, jnp.arange(3)[None, :, None]]
    shuffled = ShuffledLookup(lookup.baseline, jnp.take_along_axis(lookup.rows, value, axis=2), donors)
    metric = stack_metrics((auroc, METRICS["f1"], METRICS["neg_log_loss"]))
    for w in (jnp.ones(n), jnp.array([0.0, 2, 1, 1, 0, 3, 1, 1, 0])):
        exact = importance(scores, labels, lookup, w, metric)
        np.testing.assert_allclose(importance(scores, labels, shuffled, w, metric), exact, atol=2e-6)
    # A rotation that keeps an example in place gives it nothing.
    kept = shuffled.replace(
        rows=jnp.concatenate([shuffled.rows, jnp.broadcast_to(lookup.baseline[:, None, None], (n, 3, 1))], 2),
        donors=jnp.concatenate([donors, jnp.broadcast_to(jnp.arange(n)[:, None, None], (n, 3, 1))], 2),
    )
    got = importance(scores, labels, kept, jnp.ones(n), metric)
    np.testing.assert_allclose(got, importance(scores, labels, lookup, jnp.ones(n), metric), atol=2e-6)
    # The planned shuffles themselves, in their order.
    drops = shuffle_importance(jax.random.key(0), scores, labels, shuffled, jnp.ones(n), metric, num_shuffles=n - 1)
    np.testing.assert_allclose(
        drops.mean(0)[..., 2], importance(scores, labels, lookup, jnp.ones(n), metric)[..., 2], atol=2e-6
    )


def test_equals_scikit_learns_permutation_importance_on_a_table():
    """The scorer applied to columns: every row of the table is the model's score of an example with one column changed."""
    from sklearn.inspection import permutation_importance
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    n, names = 60, ("accuracy", "neg_log_loss", "neg_brier", "auroc")
    x = rng.integers(0, 3, (n, 3))
    y = (rng.random(n) < 1 / (1 + np.exp(-(x @ [1.2, -0.6, 0] - 0.5)))).astype(int)
    model = LogisticRegression().fit(x, y)
    concepts = jnp.asarray(x, jnp.int32)
    variants, lookup = plan_variants(concepts[..., None], jnp.eye(3, dtype=bool), np.arange(n))
    rows = np.asarray(take_variants(concepts, jnp.eye(3, dtype=bool), variants))
    scores = jnp.asarray(model.decision_function(rows), jnp.float32)[None]
    labels = jnp.asarray(y, jnp.int32)
    metric = stack_metrics(tuple(METRICS[name] for name in names))
    ours = np.array(importance(scores, labels, lookup, jnp.ones(n), metric))[0] * (n - 1) / n
    ours[:, 3] = np.asarray(exact_auroc_importance(scores, labels, lookup))[0]
    scoring = ["accuracy", "neg_log_loss", "neg_brier_score", "roc_auc"]
    theirs = permutation_importance(model, x, y, scoring=scoring, n_repeats=150, random_state=0)
    for m, name in enumerate(scoring):
        drops = theirs[name].importances  # [F, R]
        error = drops.std(1) / np.sqrt(150)
        assert (np.abs(ours[:, m] - drops.mean(1)) < 4 * error + 1e-6).all(), name


def test_no_one_is_their_own_donor_and_singletons_leave():
    """0 and 1 are one stratum, with weight on both and on 3, 4; 5 is alone. Weights of the metric's rows tell all."""
    values = jnp.array([[0], [1], [1], [0], [1], [0]], jnp.int32)
    rows = jnp.where(
        jax.nn.one_hot(values, 2, dtype=bool), jnp.arange(6)[:, None, None], 6 + jnp.arange(6)[:, None, None]
    )
    lookup = Lookup(jnp.arange(6, dtype=jnp.int32), rows.astype(jnp.int32), values)
    w = jnp.array([1.0, 2, 0, 3, 1, 4])

    def weight_of_each_row(scores, labels, weights):
        return jnp.sum(weights[None] * (scores[None] == jnp.arange(12)[:, None]), axis=1)

    strata = jnp.array([0, 0, 0, 1, 1, 2])
    drops = importance(jnp.arange(12.0)[None], values[:, 0], lookup, w, weight_of_each_row, strata)[0, 0]
    # The drop of "weight on this row" is its weight in the baseline minus its weight among permuted rows.
    assert drops[:6].tolist() == [1, 2, 0, 3, 1, 0]  # nobody keeps their value; 5 leaves both terms
    assert drops[6:].tolist() == [-1, -2, 0, -3, -1, 0]


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
    tangent = jax.jit(lambda v: jax.jvp(total, (w,), (v,))[1])
    for i in (0, 5, 14):
        step = jnp.zeros(15).at[i].set(0.05)
        assert abs(float(influence[i]) - float(total(w + step) - total(w - step)) / 0.1) < 5e-3
        assert abs(float(tangent(step)) - 0.05 * float(influence[i])) < 1e-6  # forward mode too
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
