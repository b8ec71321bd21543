import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.errors import InputError
from cpi_jax.plan.enumeration import plan_variants
from cpi_jax.plan.variants import take_variants
from cpi_jax.statistics.bootstrap import bootstrap, bootstrap_weights, percentile_interval
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.metrics import accuracy, auroc

pytestmark = pytest.mark.usefixtures("strict")


def study(rng, n, draws=1):
    concepts = jnp.asarray(rng.integers(0, 2, (n, 2)), jnp.int32)
    variants, lookup = plan_variants(concepts[..., None], jnp.eye(2, dtype=bool), np.arange(n))
    signal = take_variants(concepts, jnp.eye(2, dtype=bool), variants)[:, 0].astype(jnp.float32)
    noise = rng.normal(size=(draws, len(signal))) + rng.normal(size=n)[np.asarray(variants.example)]
    scores = 1.5 * signal[None] + jnp.asarray(noise, jnp.float32)
    labels = jnp.asarray(rng.random(n) < 1 / (1 + np.exp(1 - 2 * np.asarray(concepts[:, 0]))), jnp.int32)
    return scores, labels, lookup


def test_weights_are_multinomial_counts():
    counts = np.asarray(jax.vmap(lambda k: bootstrap_weights(k, 20))(jax.random.split(jax.random.key(0), 4000)))
    assert (counts.sum(1) == 20).all()
    assert abs(counts.var() - 0.95) < 0.02  # 1 - 1/N
    assert abs(np.corrcoef(counts[:, 0], counts[:, 1])[0, 1] + 1 / 19) < 0.05


def test_clusters_are_drawn_whole():
    clusters = jnp.array([0, 1, 1, 2, 2, 2])
    for key in jax.random.split(jax.random.key(0), 20):
        counts = bootstrap_weights(key, 6, clusters, 3)
        drawn = counts[jnp.array([0, 1, 3])]
        np.testing.assert_array_equal(counts, drawn[clusters])
        assert drawn.sum() == 3
    with pytest.raises(InputError, match="say how many clusters there are: num_clusters"):
        bootstrap_weights(jax.random.key(0), 6, clusters)


def test_a_repeat_is_the_functional_at_its_counts():
    scores, labels, lookup = study(np.random.default_rng(0), 25, draws=3)
    w = jnp.linspace(0.5, 2, 25)
    repeats = bootstrap(jax.random.key(4), scores, labels, lookup, w, accuracy, num_repeats=7, batch_size=3)
    for b in range(7):  # three batches of three
        key = jax.random.fold_in(jax.random.key(4), b)
        once = importance(scores, labels, lookup, w * bootstrap_weights(key, 25), accuracy).mean(0)
        np.testing.assert_allclose(repeats[b], once, atol=1e-6)


@pytest.mark.slow
def test_spread_of_the_repeats_is_the_spread_over_studies():
    rng = np.random.default_rng(1)
    estimates, spreads = [], []
    for _ in range(60):
        scores, labels, lookup = study(rng, 150)
        estimates.append(np.asarray(importance(scores, labels, lookup, jnp.ones(150), auroc))[0])
        key = jax.random.key(0)
        spreads.append(np.asarray(bootstrap(key, scores, labels, lookup, jnp.ones(150), auroc, num_repeats=100)).std(0))
    between, within = np.std(estimates, axis=0), np.mean(spreads, axis=0)
    np.testing.assert_allclose(within / between, 1, atol=0.25)


def test_interval_is_the_percentiles_and_counts_lost_repeats():
    repeats = jnp.concatenate([jnp.arange(101.0)[:, None] / 100, jnp.full((5, 1), jnp.nan)])
    low, high, dropped = percentile_interval(repeats, 0.9)
    np.testing.assert_allclose([low[0], high[0]], [0.05, 0.95], rtol=1e-5)
    assert int(dropped) == 5


def test_resamples_without_a_class_are_counted():
    scores, labels, lookup = study(np.random.default_rng(2), 8)
    labels = jnp.zeros(8, jnp.int32).at[3].set(1)
    repeats = bootstrap(jax.random.key(0), scores, labels, lookup, jnp.ones(8), auroc, num_repeats=400)
    lost = int(percentile_interval(repeats)[2])
    assert abs(lost / 400 - (7 / 8) ** 8) < 0.1  # the one positive is not drawn
