import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.baselines.concepts import concept_importance, concept_shares
from cpi_jax.errors import InputError

pytestmark = pytest.mark.usefixtures("strict")

# Three images of 2x3 pixels; concept 0 is the left column, concept 1 the upper right pixel, concept 2 is nowhere.
HEAT = jnp.array([[[4, 0, -2], [-2, 1, 1]], [[0, 0, 0], [0, 0, 0]], [[0.1, 0, 1], [0.2, 0, 0.7]]], jnp.float32)
MASKS = np.zeros((3, 3, 2, 3), bool)
MASKS[:, 0, :, 0] = MASKS[:, 1, 0, 2] = True


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("absolute", [[0.6, 0.2, 0], [0, 0, 0], [0.15, 0.5, 0]]),
        ("signed", [[0.2, -0.2, 0], [0, 0, 0], [0.15, 0.5, 0]]),
        # Pixels above 15 % of the maximum: five in the first image, three in the last, where 0.1 stays below 0.15.
        ("thresholded", [[2 / 5, 1 / 5, 0], [0, 0, 0], [1 / 3, 1 / 3, 0]]),
    ],
)
def test_shares_by_hand(how, expected):
    got = concept_shares(HEAT, jnp.asarray(MASKS), how=how)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    # Only the images that show a concept count: 0 and 2 for the first, 0 and 1 for the second, none for the third.
    present = jnp.array([[1, 1, 0], [0, 1, 0], [1, 0, 0]], bool)
    mean = [(expected[0][0] + expected[2][0]) / 2, expected[0][1] / 2, np.nan]
    importance = concept_importance(HEAT, jnp.asarray(MASKS), present, how=how)
    np.testing.assert_allclose(importance, mean, atol=1e-6)


def test_an_unknown_way_is_refused():
    with pytest.raises(InputError, match="'squared'"):
        concept_shares(HEAT, jnp.asarray(MASKS), how="squared")


def test_a_second_batch_compiles_nothing():
    concept_shares(HEAT, jnp.asarray(MASKS), how="signed")
    before = concept_shares._cache_size()
    concept_shares(-HEAT, jnp.asarray(~MASKS), how="signed")
    assert concept_shares._cache_size() == before
