import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.segmentation import slic
from sklearn.linear_model import Ridge

from cpi_jax.baselines.lime import lime, paint_segments, ridge, segment_means, superpixels
from cpi_jax.classifiers.scorer import Scorer

pytestmark = pytest.mark.usefixtures("strict")
SIZES = {"num_segments": 6, "num_samples": 3000, "batch_size": 700}


def reds(params, images):
    """Two weighted sums of the reds, and the product of two of them."""
    sums = jnp.einsum("bhw,hwo->bo", images[..., 0], params)
    return jnp.concatenate([sums, images[:, 0, 0, :1] * images[:, 1, 0, :1]], axis=1)


def heat_maps(keys, scorer, images, hidden, segments, output, **sizes):
    return paint_segments(lime(keys, scorer, images, hidden, segments, **sizes)[..., output], segments)


def test_a_model_additive_over_superpixels_gives_its_coefficients():
    rng = np.random.default_rng(0)
    # Rows are the superpixels of the first image. The second has two of six: the columns that it lacks are silent.
    segments = np.repeat([[0, 1, 2, 3, 4, 5], [0, 4, 4, 4, 4, 4]], 6, axis=1).reshape(2, 6, 6)
    images, hidden = rng.random((2, 6, 6, 3)), np.broadcast_to(rng.random((2, 1, 1, 3)), (2, 6, 6, 3))
    weights = rng.normal(size=(6, 6, 2))
    scorer = Scorer(jnp.asarray(weights, jnp.float32), reds)
    pixels = (images - hidden)[..., 0] * weights[..., 1]
    expected = np.stack([np.bincount(s.ravel(), p.ravel(), minlength=6)[s] for s, p in zip(segments, pixels)])
    arguments = [jnp.asarray(x, jnp.float32) for x in (images, hidden)] + [jnp.asarray(segments, jnp.int32)]
    keys = jax.random.split(jax.random.key(0), 2)
    heat = heat_maps(keys, scorer, *arguments, 1, penalty=1e-3, **SIZES)
    np.testing.assert_allclose(heat, expected, atol=1e-4)
    # Another batch compiles nothing, and an image's map depends on its own key alone.
    before = lime._cache_size()
    turned = heat_maps(keys[::-1], scorer, *(x[::-1] for x in arguments), 1, penalty=1e-3, **SIZES)
    np.testing.assert_allclose(turned, heat[::-1], atol=1e-5)
    # A large penalty shrinks.
    shrunk = heat_maps(keys, scorer, *arguments, 1, penalty=1e3, **SIZES)
    assert 0.1 < np.abs(shrunk).sum() / np.abs(heat).sum() < 0.5
    # A product is not additive: its coefficients are those of the fit with the kernel's weights, as lime_image has them.
    product = np.asarray(heat_maps(keys, scorer, *arguments, 2, penalty=1e-3, **SIZES))
    for i, size in enumerate([6, 2]):
        shown = np.array([[z >> s & 1 for s in range(size)] for z in range(2**size)])
        kernel = np.sqrt(np.exp(-((1 - np.sqrt(shown.sum(1) / size)) ** 2) / 0.25**2))
        first, second = (np.where(shown[:, s], images[i, s, 0, 0], hidden[i, 0, 0, 0]) for s in (0, 1))
        by_kernel = Ridge(alpha=1e-6).fit(shown, first * second, sample_weight=kernel).coef_
        flat = Ridge(alpha=1e-6).fit(shown, first * second).coef_
        assert np.abs(by_kernel - flat).max() > 0.01
        np.testing.assert_allclose(product[i, :size, 0], by_kernel, atol=0.004)
    assert lime._cache_size() == before


def test_the_ridge_is_scikit_learns():
    rng = np.random.default_rng(0)
    x, y, w = rng.integers(0, 2, (30, 5)), rng.normal(size=(30, 2)), rng.random(30)
    expected = Ridge(alpha=0.7).fit(x, y, sample_weight=w).coef_.T
    got = ridge(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), jnp.asarray(w, jnp.float32), 0.7)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_superpixels_keep_to_flat_regions_and_to_their_number():
    image = np.zeros((32, 32, 3), np.float32)
    image[:, 16:] = (1, 0.5, 0)
    assert slic(image, n_segments=19, start_label=0).max() == 19  # one too many
    segments = superpixels(image[None], 19)[0]
    assert segments.dtype == np.int32 and set(segments.ravel()) == set(range(16))
    assert not set(segments[:, :16].ravel()) & set(segments[:, 16:].ravel())


def test_segment_means_by_hand():
    images = jnp.asarray([[[0.0, 0.2, 0.9], [0.4, 0.6, 0.3]]])[..., None] * jnp.ones(3)[None, None, None]
    segments = jnp.asarray([[[0, 0, 2], [0, 3, 2]]])
    got = segment_means(images, segments, 5)
    np.testing.assert_allclose(got[0, ..., 1], [[0.2, 0.2, 0.6], [0.2, 0.6, 0.6]], atol=1e-6)
