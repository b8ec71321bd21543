"""The public functions inside a caller's own transformations."""

import re
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import cpi_jax
from cpi_jax.generation import sharding
from tests.painter import painter, reader, scenes

EXAMPLES = scenes(16)
KEY = jax.random.key(5)


def world(tokenizer):
    slots = cpi_jax.make_slots(tokenizer, EXAMPLES.slots, length=32, empty="an empty scene")
    features = jnp.eye(6, dtype=bool)
    variants, lookup = cpi_jax.plan_variants(slots.tokens, features, EXAMPLES.ids)
    ids = cpi_jax.assemble(slots.replace(tokens=cpi_jax.take_variants(slots.tokens, features, variants)))
    return slots, variants, lookup, ids


def test_the_curated_names_exist():
    assert all(hasattr(cpi_jax, name) for name in cpi_jax.__all__)
    assert sorted(set(cpi_jax.__all__)) == sorted(cpi_jax.__all__)
    assert sorted(dir(cpi_jax)) == sorted((*cpi_jax.__all__, "__version__"))


def test_the_version_is_said_once():
    root = Path(__file__).parents[1]
    assert re.fullmatch(r"\d+\.\d+\.\d+", cpi_jax.__version__)
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]
    assert f"\nversion: {cpi_jax.__version__}\n" in (root / "CITATION.cff").read_text()


def test_a_whole_study_is_one_pure_function(tokenizer):
    """From captions to bootstrap repeats within the caller's jit, then vmapped over study keys."""
    slots, variants, lookup, _ = world(tokenizer)
    generator, scorers = painter(), {"f": reader(np.array([[3.0, 0, -2, 0.5, 0, 0]]).T)}
    labels, ones = jnp.asarray(EXAMPLES.labels), jnp.ones(16)
    example_ids = jnp.asarray(cpi_jax.noise_ids(EXAMPLES.ids))

    def study(key, generator, scorers, slots):
        features = jnp.eye(6, dtype=bool)
        ids = cpi_jax.assemble(slots.replace(tokens=cpi_jax.take_variants(slots.tokens, features, variants)))
        keys = cpi_jax.noise_keys(key, 0, example_ids[variants.example])
        scores = cpi_jax.score_batch(generator, scorers, ids, keys)[0]["f"].T
        value = cpi_jax.importance(scores, labels, lookup, ones, cpi_jax.auroc).mean(0)
        repeats = cpi_jax.bootstrap(key, scores, labels, lookup, ones, cpi_jax.auroc, num_repeats=20)
        return value, repeats

    run = jax.jit(study)
    value, repeats = run(KEY, generator, scorers, slots)
    np.testing.assert_array_equal(value[jnp.array([1, 4, 5])], 0)  # f does not read these
    assert float(value[0]) > 0.1 and repeats.shape == (20, 6)
    keys = jax.random.split(KEY, 3)
    many, many_repeats = jax.jit(jax.vmap(study, in_axes=(0, None, None, None)))(keys, generator, scorers, slots)
    for i in range(3):
        one, one_repeats = run(keys[i], generator, scorers, slots)
        np.testing.assert_allclose(many[i], one, atol=1e-5)
        np.testing.assert_allclose(many_repeats[i], one_repeats, atol=1e-5)


def test_permuted_captions_are_scored_in_one_call(tokenizer):
    """DEPICT's protocol as research code would write it: shuffles vmapped over keys, straight to scores."""
    slots, *_ = world(tokenizer)
    detector = {"h": reader(np.eye(6))}
    mask = jnp.arange(6) == 2

    @jax.jit
    def permuted(key):
        moved = cpi_jax.permute(key, slots.tokens, mask)
        ids = cpi_jax.assemble(slots.replace(tokens=moved))
        noise = cpi_jax.noise_keys(KEY, 0, jnp.arange(16, dtype=jnp.uint32))
        return cpi_jax.score_batch(painter(), detector, ids, noise)[0]["h"] > 0

    seen = np.asarray(jax.vmap(permuted)(jax.random.split(KEY, 4)))
    others = np.arange(6) != 2
    for draw in seen:
        np.testing.assert_array_equal(draw[:, others], EXAMPLES.concepts[:, others] == 1)
        assert draw[:, 2].sum() == EXAMPLES.concepts[:, 2].sum()
    assert (seen[:, :, 2] != (EXAMPLES.concepts[:, 2] == 1)).any()


def test_another_caption_seed_or_classifier_compiles_nothing(tokenizer):
    *_, ids = world(tokenizer)

    def step(generator, scorers, ids, examples):
        return cpi_jax.score_batch(generator, scorers, ids, cpi_jax.noise_keys(KEY, 0, examples))

    run = sharding.split_rows(step, sharding.local_mesh(), num_replicated=2, num_split=2)
    for i in range(3):
        rows, examples = ids[i * 8 : i * 8 + 8], jnp.arange(8, dtype=jnp.uint32) + i
        scores, images = run(painter((i, 5)), {"h": reader(np.eye(6) + i)}, rows, examples)
    assert run._cache_size() == 1 and scores["h"].shape == (8, 6)
    assert images.dtype == jnp.uint8 and images.shape == (8, 8, 12, 3)
