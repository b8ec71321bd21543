import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.captions.permutation import donors, permute

pytestmark = pytest.mark.usefixtures("strict")


def test_every_permutation_is_equally_likely():
    keys = jax.random.split(jax.random.key(0), 6000)
    draws = np.asarray(jax.vmap(lambda k: donors(k, jnp.zeros(3, jnp.int32)))(keys))
    counts = [np.all(draws == p, axis=1).sum() for p in itertools.permutations(range(3))]
    assert sum(counts) == 6000
    assert np.abs(np.array(counts) - 1000).max() < 4 * np.sqrt(6000 / 6 * 5 / 6)


def test_only_the_masked_slots_move_and_they_move_together():
    tokens = jnp.arange(50 * 4 * 2).reshape(50, 4, 2)
    moved = permute(jax.random.key(1), tokens, jnp.array([False, True, True, False]))
    np.testing.assert_array_equal(moved[:, [0, 3]], tokens[:, [0, 3]])
    source = (moved[:, 1, 0] - 2) // 8
    assert sorted(np.asarray(source)) == list(range(50)) and (source != jnp.arange(50)).any()
    np.testing.assert_array_equal(moved[:, 1:3], tokens[source, 1:3])


def test_strata_keep_to_themselves():
    strata = jnp.array([2, 0, 2, 1, 0, 2, 2])
    for key in jax.random.split(jax.random.key(2), 20):
        given = np.asarray(donors(key, strata))
        assert sorted(given) == list(range(7))
        np.testing.assert_array_equal(strata[given], strata)
    assert given[3] == 3  # alone in its stratum


def test_another_concept_compiles_nothing():
    tokens = jnp.arange(24).reshape(4, 3, 2)
    permute(jax.random.key(0), tokens, jnp.array([True, False, False]))
    before = permute._cache_size()
    permute(jax.random.key(1), tokens, jnp.array([False, False, True]))
    assert permute._cache_size() == before
