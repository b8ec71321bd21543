"""The embedded checkpoint and classifiers, against what they are for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.captions.slots import assemble, make_slots
from cpi_jax.classifiers.scorer import Scorer, load_resnet
from cpi_jax.data.shapes import CONCEPTS, EMPTY, concept_slots, make_shapes
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.generator import sample
from cpi_jax.embedded import SHAPES_DETECTOR, SHAPES_GENERATOR, SHAPES_TARGET
from cpi_jax.explain import explain
from cpi_jax.generation.score_images import score_images
from cpi_jax.settings import Settings, Statistics
from cpi_jax.statistics.metrics import auroc

HELD_OUT = 6_000_000


@pytest.fixture(scope="module")
def embedded():
    return load_generator(SHAPES_GENERATOR, steps=4, guidance_scale=1.0)


def test_classifiers_know_their_task():
    data = make_shapes(400, start=HELD_OUT, weights=(3.0, 0.0, -1.8, 2.4, 0.0, 1.2), bias=-2.4)
    concepts = jnp.asarray(data.concepts, jnp.int32)
    seen = jnp.asarray(score_images({"detector": load_resnet(SHAPES_DETECTOR)}, data.images)["detector"])
    assert float(jax.vmap(auroc, in_axes=(1, 1, None))(seen, concepts, jnp.ones(400)).min()) > 0.995
    score = score_images({"target": load_resnet(SHAPES_TARGET)}, data.images)["target"][:, 0]
    best = data.concepts @ np.array([3.0, 0, -1.8, 2.4, 0, 1.2])
    assert np.corrcoef(score, best)[0, 1] > 0.95


@pytest.mark.slow
def test_permuting_a_real_classifiers_concept_finds_what_it_relies_on(embedded):
    """The detector's own score of one concept as the target: that concept alone may matter."""
    generator, tokenizer = embedded
    detector = load_resnet(SHAPES_DETECTOR)
    target = Scorer(detector.params, lambda params, images: detector.apply(params, images)[:, 2:3])
    examples = make_shapes(80, start=HELD_OUT, weights=(0.0, 0.0, 8.0, 0.0, 0.0, 0.0), bias=-4.0)
    settings = Settings(
        draws=1, concepts=(CONCEPTS[2], CONCEPTS[5]), statistics=Statistics(num_bootstrap=200, metrics=("auroc",))
    )
    found = explain(examples, generator=generator, tokenizer=tokenizer, target=target, settings=settings)
    table = found.table.set_index("concept")
    assert table.importance[CONCEPTS[2]] > 0.4  # from nearly 1 to one half
    assert abs(table.importance[CONCEPTS[5]]) < 0.03
    assert table.ci_low[CONCEPTS[2]] > 0.3 > table.ci_high[CONCEPTS[5]]


@pytest.mark.slow
def test_images_are_the_same_whatever_the_batch(embedded):
    generator, tokenizer = embedded
    slots = make_slots(tokenizer, concept_slots(np.eye(6, dtype=int)[:4]), length=32, empty=EMPTY)
    keys = jax.random.split(jax.random.key(0), 4)
    ids = assemble(slots)
    whole = sample(generator, ids, keys)
    np.testing.assert_allclose(sample(generator, ids[2:3], keys[2:3]), whole[2:3], atol=1e-3)
