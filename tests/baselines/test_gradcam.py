import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.baselines.gradcam import Split, grad_cam, split_resnet
from cpi_jax.classifiers.resnet import ResNet
from cpi_jax.classifiers.scorer import Scorer, load_resnet, save_resnet
from cpi_jax.errors import InputError


def blocks(params, images):
    """Colours averaged over 2x2 blocks, minus one half: a feature map with both signs."""
    b, h, w, c = images.shape
    return images.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4)) - 0.5


def pooled(params, features):
    return features.mean((1, 2)) @ params


def bilinear_double(x):
    """[h, w] -> [2h, 2w]: weights 1/4 and 3/4 between the centres of pixels, the edges repeated."""
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        padded = np.concatenate([x[:1], x, x[-1:]])
        x = np.stack([0.25 * padded[:-2] + 0.75 * x, 0.75 * x + 0.25 * padded[2:]], 1).reshape(-1, *x.shape[1:])
        x = np.moveaxis(x, 0, axis)
    return x


@pytest.mark.usefixtures("strict")
def test_average_pooling_and_a_linear_head_give_the_class_activation_map():
    """alpha_k = w_k / (h w), so that the map is relu(sum_k w_k A_k) / (h w) (Selvaraju et al. 2017, section 3)."""
    rng = np.random.default_rng(0)
    weights, images = rng.normal(size=(3, 2)), rng.random((4, 6, 8, 3))
    split, params = Split(blocks, pooled), jnp.asarray(weights, jnp.float32)
    pixels = jnp.asarray(images, jnp.float32)
    a = images.reshape(4, 3, 2, 4, 2, 3).mean((2, 4)) - 0.5
    maps = np.maximum(a @ weights[:, 1], 0) / 12
    assert (maps == 0).any() and (maps > 0).any()
    expected = np.stack([bilinear_double(x) for x in maps])
    np.testing.assert_allclose(grad_cam(split, params, pixels, 1), expected, atol=1e-6)
    # Another batch and another output compile nothing.
    before = grad_cam._cache_size()
    np.testing.assert_allclose(grad_cam(split, params, pixels[::-1], 1), expected[::-1], atol=1e-6)
    other = np.maximum(a[0] @ weights[:, 0], 0) / 12
    np.testing.assert_allclose(grad_cam(split, params, pixels, 0)[0], bilinear_double(other), atol=1e-6)
    assert grad_cam._cache_size() == before


def test_the_parts_of_a_resnet_are_the_resnet(tmp_path):
    module = ResNet(num_outputs=2, channels=(8, 8))
    images = jax.random.uniform(jax.random.key(0), (3, 8, 8, 3))
    shapes = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
    rng = np.random.default_rng(0)
    save_resnet(tmp_path, jax.tree.map(lambda x: 0.3 * rng.normal(size=x.shape), shapes))
    scorer = load_resnet(tmp_path)
    split = split_resnet(scorer)

    @jax.jit
    def both(params, images):
        features = split.features(params, images)
        return features, split.head(params, features), scorer.apply(params, images)

    features, parts, whole = both(scorer.params, images)
    assert features.shape == (3, 2, 2, 8) and features.min() == 0 < features.max()
    assert np.std(whole, axis=0).min() > 0.01
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
    assert split_resnet(load_resnet(tmp_path)) is split  # nothing compiles again


def test_another_network_needs_a_split():
    with pytest.raises(InputError, match="give it a Split"):
        split_resnet(Scorer(None, pooled))
