import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.recovery.readers import load_networks, load_trunk, side_by_side
from benchmarks.recovery.worlds import World, generate, named_concepts, with_leak, with_unet_noise
from cpi_jax.captions.slots import assemble, make_slots
from cpi_jax.classifiers.scorer import load_resnet
from cpi_jax.data.shapes import CONCEPTS, EMPTY, concept_slots, make_shapes
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.embedded import SHAPES_DETECTOR, SHAPES_GENERATOR
from cpi_jax.errors import InputError
from tests.catalogue import exact_shapes

pytestmark = pytest.mark.slow


def captions(tokenizer, concepts):
    return make_slots(tokenizer, concept_slots(concepts), length=32, empty=EMPTY)


def test_a_leak_names_the_other_concept_too_and_nothing_else():
    generator, tokenizer = load_generator(SHAPES_GENERATOR, steps=2)
    concepts = np.array([[i >> k & 1 for k in range(6)] for i in range(64)])
    token_ids = assemble(captions(tokenizer, concepts))
    phrases = captions(tokenizer, np.eye(6))
    np.testing.assert_array_equal(named_concepts(phrases, token_ids), concepts)
    # An "image" that shows which caption was asked for.
    echo = generator.replace(apply=lambda params, ids, keys: ids)
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


def test_what_a_run_left_is_not_generated_again(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.recovery.worlds._load", exact_shapes)
    world = World("few", num_examples=12, steps=2)
    reader, detector = side_by_side(load_trunk(), load_networks(2)), load_resnet(SHAPES_DETECTOR)
    first = generate(world, reader, detector, tmp_path, batch_size=42)
    assert first.images == 12 * 7 and first.seconds > 0 == first.earlier
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "few").rglob("c/*/*/*")}
    again = generate(world, reader, detector, tmp_path, batch_size=42)
    assert stored == {path: path.stat().st_mtime_ns for path in (tmp_path / "few").rglob("c/*/*/*")} != {}
    np.testing.assert_array_equal(again.scores, first.scores)
    assert again.earlier == again.seconds == pytest.approx(first.seconds, abs=0.1)
    with pytest.raises(InputError, match="another study"):
        generate(dataclasses.replace(world, leak=CONCEPTS[:2]), reader, detector, tmp_path)


def test_readers_stand_side_by_side_in_order():
    trunk, networks = load_trunk(), load_networks(3)
    images = jnp.asarray(make_shapes(4).images, jnp.float32) / 255
    both = side_by_side(trunk, networks)
    # Networks share one `apply`, and so one program.
    apart = [jax.jit(scorer.apply)(scorer.params, images) for scorer in (trunk, *networks)]
    np.testing.assert_allclose(jax.jit(both.apply)(both.params, images), jnp.concatenate(apart, axis=1), atol=1e-4)
