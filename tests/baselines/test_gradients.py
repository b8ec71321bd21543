import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.baselines.gradients import gradient, gradient_times_input
from cpi_jax.classifiers.scorer import Scorer

pytestmark = pytest.mark.usefixtures("strict")


def linear(params, images):
    return jnp.einsum("bhwc,hwco->bo", images, params)


def test_the_gradient_of_a_linear_model_is_its_weights():
    rng = np.random.default_rng(0)
    weights, images = rng.normal(size=(4, 5, 3, 2)), rng.random((3, 4, 5, 3))
    scorer, pixels = Scorer(jnp.asarray(weights, jnp.float32), linear), jnp.asarray(images, jnp.float32)
    expected = np.broadcast_to(weights[..., 1].sum(-1), (3, 4, 5))
    np.testing.assert_allclose(gradient(scorer, pixels, 1), expected, rtol=1e-5)
    heat = gradient_times_input(scorer, pixels, 1)
    np.testing.assert_allclose(heat, (images * weights[..., 1]).sum(-1), rtol=1e-4, atol=1e-6)
    # Another batch, other parameters and another output compile nothing.
    before = gradient._cache_size()
    np.testing.assert_allclose(
        gradient(scorer.replace(params=2 * scorer.params), 1 - pixels, 1), 2 * expected, rtol=1e-5
    )
    np.testing.assert_allclose(gradient(scorer, pixels, 0)[0], weights[..., 0].sum(-1), rtol=1e-4, atol=1e-6)
    assert gradient._cache_size() == before
