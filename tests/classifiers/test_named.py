"""Names of several classifiers: refused before anything is read or scored."""

import pytest

from cpi_jax.classifiers.named import name_scorers, validate_comparable, validate_names, validate_told_apart
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.errors import InputError

SCORER = Scorer(None, lambda params, images: images.mean((1, 2, 3)))


@pytest.mark.parametrize(
    "names, message",
    [
        (["a", "detector"], "a classifier is called 'detector', as the detector is: give it another name"),
        (["generator", "a"], "a classifier is called 'generator', as the generator is"),
        (["vit-b/16"], "a classifier is called 'vit-b/16', and its files are: use letters, digits and _"),
        (["", "a"], "a classifier is called '', and"),
        (["ResNet", "resnet"], "two classifiers are called 'ResNet' and 'resnet', which some disks take for one name"),
        ([], r"name the classifiers to explain, such as \{'a': ..., 'b': ...\}$"),
        (["target"], "one that is called 'target' is given as the target instead"),
    ],
)
def test_names_that_cannot_be(names, message):
    with pytest.raises(InputError, match=message):
        validate_names(names)
    with pytest.raises(InputError, match=message):
        name_scorers(None, dict.fromkeys(names, SCORER), None)


def test_target_or_targets():
    assert list(name_scorers(None, {"b": SCORER, "a": SCORER}, SCORER)) == ["b", "a", "detector"]
    assert list(name_scorers(SCORER, None, None)) == ["target"]
    assert list(name_scorers(None, {"target": SCORER, "b": SCORER}, None)) == [
        "target",
        "b",
    ]  # one that was alone before
    with pytest.raises(InputError, match="target and targets are given: give one classifier as target, or several by"):
        name_scorers(SCORER, {"a": SCORER}, None)
    with pytest.raises(InputError, match="no classifier is given"):
        name_scorers(None, None, None)


def test_classifiers_that_cannot_be_compared():
    validate_told_apart({"a": "1", "b": "2"})
    with pytest.raises(InputError, match="the classifiers a and c have the same weights and settings: leave one out"):
        validate_told_apart({"a": "1", "b": "2", "c": "1"})
    validate_comparable({"a": 3, "b": 3})
    with pytest.raises(
        InputError, match=r"the classifier a gives 1 scores an image and c gives 10: .* say in `classes`"
    ):
        validate_comparable({"a": 1, "b": 1, "c": 10})
