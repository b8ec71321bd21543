import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.baselines.occlusion import background_color, occlusion
from cpi_jax.classifiers.scorer import Scorer

pytestmark = pytest.mark.usefixtures("strict")


def linear(params, images):
    return jnp.einsum("bhwc,hwco->bo", images, params)


def scene():
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 3, 4, 4), bool)
    masks[0, 0, :2, :2] = masks[1, 0, 2:, 2:] = masks[0, 1, 3, :2] = True  # image 1 lacks concept 1, nobody has 2
    return rng.random((2, 4, 4, 3)), masks, rng.normal(size=(4, 4, 3, 2))


def test_an_additive_model_gives_each_objects_contribution():
    images, masks, weights = scene()
    scorer = Scorer(jnp.asarray(weights, jnp.float32), linear)
    fill = np.array([0.2, 0.5, 0.9])
    pixels = np.einsum("bhwc,hwco->bhwo", images - fill, weights)
    expected = np.einsum("bhwo,bkhw->bko", pixels, masks)
    arguments = jnp.asarray(images, jnp.float32), jnp.asarray(masks)
    background = jnp.broadcast_to(jnp.asarray(fill, jnp.float32), (2, 1, 1, 3))
    drop = occlusion(scorer, *arguments, background)
    np.testing.assert_allclose(drop, expected, atol=1e-5)
    # A picture may lie behind, and a second batch compiles nothing.
    picture = jnp.broadcast_to(background, (2, 4, 4, 3))
    np.testing.assert_allclose(occlusion(scorer, *arguments, picture), expected, atol=1e-5)
    before = occlusion._cache_size()
    np.testing.assert_allclose(occlusion(scorer, *(x[::-1] for x in arguments), picture), expected[::-1], atol=1e-5)
    assert occlusion._cache_size() == before


def test_the_background_is_the_median_outside_every_mask():
    images, masks, _ = scene()
    masks[1] = True
    got = background_color(jnp.asarray(images, jnp.float32), jnp.asarray(masks))
    outside = ~(masks[0, 0] | masks[0, 1])
    np.testing.assert_allclose(got[0, 0, 0], np.median(images[0][outside], axis=0), rtol=1e-6)
    assert np.isnan(got[1]).all()  # nothing is left of image 1
