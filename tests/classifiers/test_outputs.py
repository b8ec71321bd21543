import jax
import numpy as np
import pytest

from cpi_jax.classifiers.outputs import find_classes, log_odds
from cpi_jax.errors import InputError

LOGITS = np.random.default_rng(0).normal(0, 3, (5, 7)).astype(np.float32)
P = np.exp(LOGITS.astype(float)) / np.exp(LOGITS.astype(float)).sum(1, keepdims=True)


@pytest.mark.parametrize("classes", [(2,), (0, 3, 6)])
def test_the_logit_is_that_of_the_softmax(classes, strict):
    p = P[:, list(classes)].sum(1)
    expected = np.log(p / (1 - p))[:, None]
    np.testing.assert_allclose(jax.jit(log_odds, static_argnums=1)(LOGITS, classes), expected, rtol=1e-4)
    np.testing.assert_allclose(log_odds(P.astype(np.float32), classes, True), expected, rtol=1e-4)


def test_rows_that_hold_no_probabilities_give_nan():
    rows = np.array([[0.2, 0.8, 0.0], [0.5, 0.5, 0.5], [-0.5, 0.5, 1.0]], np.float32)
    found = np.asarray(log_odds(rows, (1,), True))[:, 0]
    np.testing.assert_allclose(found, [np.log(4), np.nan, np.nan], rtol=1e-5)


def test_two_logits_give_their_difference():
    np.testing.assert_allclose(log_odds(LOGITS[:, :2], (1,))[:, 0], LOGITS[:, 1] - LOGITS[:, 0], rtol=1e-6)


def test_names_and_indices():
    assert find_classes(("tiger", 0), ("cat", "dog", "tiger")) == (2, 0)
    with pytest.raises(InputError, match=r"no class 'tigre' among cat, tiger; did you mean 'tiger'"):
        find_classes(("tigre",), ("cat", "tiger"))
    with pytest.raises(InputError, match="outputs have no names: give the index of 'cat'"):
        find_classes(("cat",), ())
    with pytest.raises(InputError, match="2 outputs are called 'crane'"):
        find_classes(("crane",), ("crane", "dog", "crane"))
    with pytest.raises(InputError, match="must be a tuple of outputs"):
        find_classes("crane", ("crane", "dog"))
    with pytest.raises(InputError, match="names output 1 twice"):
        find_classes((1, 2, "dog"), ("cat", "dog", "tiger"))
    with pytest.raises(InputError, match="names output 3, and the classifier has outputs 0 to 2"):
        find_classes((3,), (), 3)
    with pytest.raises(InputError, match="names output 9, and the classifier has outputs 0 to 6"):
        log_odds(LOGITS, (1, 9))
    with pytest.raises(InputError, match="names all 2 outputs"):
        log_odds(LOGITS[:, :2], (1, 0))
