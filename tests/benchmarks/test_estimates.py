import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.recovery.estimates import bottleneck_scores, estimate, population_importance, true_importance
from benchmarks.recovery.models import planted_models
from cpi_jax.baselines.oracle import oracle_importance, strata_of_others
from cpi_jax.errors import InputError
from cpi_jax.plan.enumeration import plan_variants
from cpi_jax.plan.variants import take_variants
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.metrics import auroc
from cpi_jax.statistics.significance import jackknife_interval

pytestmark = pytest.mark.usefixtures("strict")


def drop_by_pairs(scores, labels, weights, bias, j, strata):
    """Every donor's score in every recipient's place, each recipient with weight one."""
    values, truth, share = [], [], []
    used = []
    for i in range(len(scores)):
        donors = [k for k in range(len(scores)) if k != i and strata[k, j] == strata[i, j]]
        used.append(bool(donors))
        for k in donors:
            swapped = scores[i].copy()
            swapped[j] = scores[k, j]
            values.append(swapped @ weights + bias)
            truth.append(labels[i])
            share.append(1 / len(donors))
    own = scores @ weights + bias
    return roc_auc_score(labels[used], own[used]) - roc_auc_score(truth, values, sample_weight=share)


@pytest.mark.parametrize("conditional", [False, True])
def test_the_oracle_is_every_swap(conditional):
    rng = np.random.default_rng(1)
    models = planted_models(3, 3, seed=2)
    concepts = rng.integers(0, 2, (24, 3))
    scores = 1 / (1 + np.exp(-(6 * concepts - 3 + rng.normal(size=(24, 3)))))
    labels = models.labels(concepts, np.arange(24))
    strata = strata_of_others(concepts) if conditional else np.zeros((24, 3), int)
    found = true_importance(models, scores, labels, strata_of_others(concepts) if conditional else None)
    for m in range(3):
        expected = [drop_by_pairs(scores, labels[m], models.weights[m], models.bias[m], j, strata) for j in range(3)]
        np.testing.assert_allclose(found[m], expected, atol=2e-6)


def test_strata_agree_in_all_other_concepts():
    concepts = np.array([[0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 1, 0]])
    strata = strata_of_others(concepts)
    assert strata[0, 0] == strata[1, 0] != strata[2, 0]
    assert strata[0, 1] == strata[2, 1] != strata[1, 1]
    assert len(set(strata[:, 2])) == 3 and strata[1, 2] == strata[3, 2]


def table(seed=0, n=60, k=3):
    rng = np.random.default_rng(seed)
    concepts = rng.integers(0, 2, (n, k))
    variants, lookup = plan_variants(concepts[..., None], np.eye(k, dtype=bool), np.arange(n))
    rows = np.asarray(take_variants(jnp.asarray(concepts), jnp.eye(k, dtype=bool), variants))
    logits = 8 * rows - 4 + rng.normal(size=(2, *rows.shape))
    return concepts, lookup, rows, logits


def test_presence_itself_is_the_planted_importance():
    """With scores of two values the oracle is the functional of the enumerated values."""
    models = planted_models(4, 3, seed=3)
    concepts, lookup, rows, _ = table()
    labels = models.labels(concepts, np.arange(60))
    found = true_importance(models, concepts, labels)
    for m in range(4):
        scores = jnp.asarray(rows @ models.weights[m] + models.bias[m], jnp.float32)[None]
        expected = importance(scores, jnp.asarray(labels[m]), lookup, jnp.ones(60), auroc)[0]
        np.testing.assert_allclose(found[m], expected, atol=1e-6)


@pytest.mark.slow
def test_all_models_at_once_are_each_alone():
    models = planted_models(5, 3, seed=4)
    concepts, lookup, _, logits = table()
    labels = models.labels(concepts, np.arange(60))
    scores = bottleneck_scores(models, jnp.asarray(logits, jnp.float32))
    weights = jnp.asarray(np.arange(60) < 50, jnp.float32)
    found = estimate(scores, jnp.asarray(labels), lookup, weights)
    by_hand = 1 / (1 + np.exp(-logits)) @ models.weights[3] + models.bias[3]
    np.testing.assert_allclose(scores[3], by_hand, atol=1e-5)
    alone = infer(jax.random.key(1), scores[3], jnp.asarray(labels[3]), lookup, weights, auroc, num_repeats=2)
    low, high = jackknife_interval(alone.estimate, alone.standard_error, alone.degrees_of_freedom)
    np.testing.assert_allclose(found.value[3], alone.estimate, atol=1e-6)
    np.testing.assert_allclose(found.error[3], alone.standard_error, rtol=1e-4)
    np.testing.assert_allclose([found.low[3], found.high[3]], [low, high], atol=1e-5)


def test_one_class_has_no_oracle():
    with pytest.raises(InputError, match="no AUROC"):
        oracle_importance(np.eye(3), np.ones(3, int), lambda s: s.sum(-1))


@pytest.mark.slow
def test_the_population_is_what_large_samples_tend_to():
    models = planted_models(4, 3, seed=6)
    concepts = np.random.default_rng(0).integers(0, 2, (40_000, 3))
    labels = models.labels(concepts, np.arange(40_000))
    variants, lookup = plan_variants(concepts[..., None], np.eye(3, dtype=bool), np.arange(40_000))
    rows = np.asarray(take_variants(jnp.asarray(concepts), jnp.eye(3, dtype=bool), variants))
    found = population_importance(models)
    for m in range(4):
        scores = jnp.asarray(rows @ models.weights[m] + models.bias[m], jnp.float32)[None]
        sample = importance(scores, jnp.asarray(labels[m]), lookup, jnp.ones(40_000), auroc)[0]
        np.testing.assert_allclose(found[m], sample, atol=0.005)
    assert (found[0][models.weights[0] == 0] == 0).all() and found.max() > 0.05
