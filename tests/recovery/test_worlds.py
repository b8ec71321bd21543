import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.captions import assemble, make_slots
from cpi_jax.data.shapes import CONCEPTS, EMPTY, concept_slots
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.sampler import Generator
from cpi_jax.embedded import SHAPES_GENERATOR
from cpi_jax.recovery.worlds import named_concepts, with_leak, with_unet_noise


def captions(tokenizer, concepts):
    return make_slots(tokenizer, concept_slots(concepts), length=32, empty=EMPTY)


def test_a_leak_names_the_other_concept_too_and_nothing_else():
    generator, tokenizer = load_generator(SHAPES_GENERATOR, steps=2)
    concepts = np.array([[i >> k & 1 for k in range(6)] for i in range(64)])
    token_ids = assemble(captions(tokenizer, concepts))
    phrases = captions(tokenizer, np.eye(6))
    np.testing.assert_array_equal(named_concepts(phrases, token_ids), concepts)
    # An "image" that shows which caption was asked for.
    echo = Generator(generator.params, lambda params, ids, keys: ids)
    leaky = with_leak(echo, tokenizer, (CONCEPTS[4], CONCEPTS[1]))
    expected = concepts.copy()
    expected[:, 1] |= concepts[:, 4]
    shown = jax.jit(leaky.apply)(leaky.params, token_ids, None)
    np.testing.assert_array_equal(shown, assemble(captions(tokenizer, expected)))
    assert leaky.name != echo.name


def test_noise_is_seeded_and_has_the_size_that_it_says():
    generator, _ = load_generator(SHAPES_GENERATOR, steps=2)
    one, same, other = (with_unet_noise(generator, 0.5, seed) for seed in (0, 0, 1))
    before, after = (jax.tree.leaves(g.params.networks["unet"]) for g in (generator, one))
    largest = max(range(len(before)), key=lambda i: before[i].size)
    noise = np.asarray(after[largest] - before[largest])
    assert abs(noise.std() / np.std(before[largest]) - 0.5) < 0.01
    assert all(jnp.array_equal(a, b) for a, b in zip(before, after) if a.ndim < 2)
    np.testing.assert_array_equal(noise, jax.tree.leaves(same.params.networks["unet"])[largest] - before[largest])
    assert not jnp.array_equal(after[largest], jax.tree.leaves(other.params.networks["unet"])[largest])
    assert one.params.networks["vae"] is generator.params.networks["vae"]
