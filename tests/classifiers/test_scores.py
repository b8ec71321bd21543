"""What a classifier's function may return, and what its numbers mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.analysis.suspicious_scores import warn_of_scores
from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.classifiers.scorer import HostScorer, Scorer, read_as, read_as_labels, to_logits
from cpi_jax.errors import InputError
from cpi_jax.generation.score_images import score_images
from cpi_jax.opening import open_study
from cpi_jax.statistics.metrics import METRICS, stack_metrics
from tests.painter import FAST, flat_settings, painter, read_patches, scenes

HOSTS = "tests.classifiers.cases.hosts"
RNG = np.random.default_rng(0)
# Of one colour each, so that the shares of red and blue differ from image to image.
IMAGES = np.repeat(np.repeat(np.round(RNG.random((40, 4, 4, 3)) ** 2, 2), 4, 1), 4, 2).astype(np.float32)
LABELS = np.arange(40) % 2


def load(name, **fields):
    return load_scorer(module=f"{HOSTS}:{name}", **fields)


def logits(name, labels=LABELS, **fields):
    scorer = load(name, **fields)
    scores = scorer(IMAGES)
    return to_logits(scores, read_as_labels(scorer, labels, scores.shape[1]))


def test_probabilities_of_exclusive_classes_have_the_metrics_of_their_logits():
    plain, said = logits("two_logits"), logits("two_probs", probabilities=True)
    assert np.ptp(plain) > 20 and np.abs(said - plain).max() > 1  # log p is another shift of every row
    metrics = jax.jit(stack_metrics(tuple(METRICS[name] for name in METRICS if not name.startswith("top"))))
    found, wanted = (metrics(jnp.asarray(x), jnp.asarray(LABELS), jnp.ones(len(LABELS))) for x in (said, plain))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.ptp(wanted) > 1
    columns = np.stack([LABELS, 1 - LABELS], 1)  # two labels of their own: the logit of each
    both = logits("two_probs", columns, probabilities=True)
    most = -np.log(2.0**-24)  # 1 - p in float32
    np.testing.assert_allclose(both, np.minimum(2 * plain, most), rtol=1e-2)
    one = logits("one_prob", probabilities=True)
    np.testing.assert_allclose(one, np.minimum(logits("logit"), most), rtol=1e-2)


def test_classes_of_a_softmax_and_outputs_of_a_multi_label_classifier():
    one = logits("logit")
    blue = load("multi_label")(IMAGES)[:, 1:2]
    own = {"task": "multilabel"}
    np.testing.assert_array_equal(logits("multi_label", classes=(0,), **own), one)
    np.testing.assert_array_equal(
        logits("multi_label", np.eye(2, dtype=int)[LABELS], classes=(1, 0), **own), np.c_[blue, one]
    )
    p = logits("multi_label_p", classes=(0,), probabilities=True, **own)
    np.testing.assert_allclose(p, np.minimum(one, -np.log(2.0**-24)), rtol=1e-2)
    for fields in ({}, {"probabilities": True}):
        name = "two_probs" if fields else "two_logits"
        np.testing.assert_allclose(logits(name, classes=(1,), task="multiclass", **fields), one, rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match=r"say task='multiclass' .* or task='multilabel'"):
        load("multi_label", classes=(0,))
    with pytest.raises(InputError, match=r"no task 'multi-label' .*did you mean 'multilabel'"):
        load("multi_label", task="multi-label")
    with pytest.raises(InputError, match=r"each of the target's 3 outputs is a label of its own .*: say in `classes`"):
        read_as_labels(load("multi_label", **own), LABELS, 3)
    with pytest.raises(InputError, match=r"2 outputs exclude each other .*, and an example has 2 labels: name one"):
        read_as_labels(load("two_logits", task="multiclass"), np.eye(2, dtype=int)[LABELS], 2)


def test_numbers_that_are_no_probabilities_are_refused():
    with pytest.raises(
        InputError, match=r"hosts:logit is said to give probabilities, and one is .*: they lie in \[0, 1\]"
    ):
        logits("logit", probabilities=True)
    with pytest.raises(
        InputError, match="probabilities of classes that exclude each other, and those of one image sum to"
    ):
        logits("multi_label_p", np.arange(40) % 3, probabilities=True)
    with pytest.raises(InputError, match="probabilities of classes that exclude each other"):
        load("multi_label_p", probabilities=True, classes=(0,), task="multiclass")(IMAGES)
    with pytest.raises(InputError, match=r"lie in .0, 1. and sum to 1: they are no logits, say probabilities=True"):
        load("two_probs", classes=(1,), task="multiclass")(IMAGES)


@pytest.mark.parametrize(
    "name, labels, message",
    [
        ("one_prob", LABELS, "a yes for every image; if it is a probability, say probabilities=True"),
        (
            "two_probs",
            LABELS,
            "sum to 1 for every image, as probabilities do, and are read as logits: say probabilities=True",
        ),
        ("multi_label_p", np.arange(40) % 3, "do not sum to 1: where each is a probability of its own, give log p"),
        ("multi_label_p", np.eye(3, dtype=int)[np.arange(40) % 3], "if it is a probability, say probabilities=True"),
        ("two_logits", LABELS, ""),
    ],
)
def test_advice_is_what_the_scores_show(name, labels, message):
    scores = load(name)(IMAGES)
    scorer = read_as_labels(load(name), labels, scores.shape[1])
    said = list(warn_of_scores("target", scores, scorer))
    assert len(said) == bool(message) and all(message in text for text in said)
    assert "as decisions are" in next(warn_of_scores("target", np.round(np.clip(scores, 0, 1)), scorer))


def test_a_detector_that_never_decides_otherwise_is_named():
    scores = RNG.normal(0, 1, (2, 9, 3)).astype(np.float32)
    scores[..., 1] += 25  # as CLIP's cosines
    said = list(warn_of_scores("detector", scores, read_as(HostScorer(np.mean), "multilabel")))
    assert len(said) == 1 and "one decision (score > 0, or not) for all images about concept 1," in said[0]


class Tensor:
    """As PyTorch's: on a GPU, and wanting a gradient, numpy cannot read it."""

    def __init__(self, array, device="gpu", gradient=True):
        self.array, self.device, self.gradient = array, device, gradient

    def detach(self):
        return Tensor(self.array, self.device, False)

    def cpu(self):
        return Tensor(self.array, "cpu", self.gradient)

    def __array__(self, dtype=None, copy=None):
        if self.device != "cpu" or self.gradient:
            raise RuntimeError("call .detach().cpu()")
        return self.array


MEAN = IMAGES.mean((1, 2, 3))


@pytest.mark.parametrize(
    "returned, problem",
    [
        (MEAN, ""),
        (MEAN[:, None, None], ""),
        (np.float16(MEAN)[:, None], ""),
        (MEAN.tolist(), ""),
        (jnp.asarray(MEAN), ""),
        (Tensor(MEAN), ""),
        (MEAN.argsort(), "returned int64 where logits or probabilities are needed"),
        (MEAN > 0.5, "returned bool where"),
        (MEAN + 0j, "returned complex128 where|returned complex64 where"),
        (MEAN.astype(str), "returned <U.* where"),
        (MEAN.mean(), r"returned shape \(\) for 40 images"),
        (MEAN[:3], r"returned shape \(3,\) for 40 images"),
        (MEAN.reshape(40, 1)[:, :0], r"returned shape \(40, 0\)"),
        (IMAGES[..., 0], r"returned shape \(40, 16, 16\)"),
        (None, "returned a NoneType, and the array of the scores alone is needed"),
        ((MEAN, MEAN), "returned a tuple"),
        ({"logits": MEAN}, "returned a dict"),
        ([[1.0], [1.0, 2.0]], "returned a list that numpy cannot read as an array"),
    ],
)
def test_what_a_host_function_may_return(returned, problem):
    scorer = HostScorer(lambda images: returned, name="mine")
    if problem:
        with pytest.raises(InputError, match=f"the host function mine ({problem})"):
            scorer(IMAGES)
    else:
        np.testing.assert_allclose(scorer(IMAGES)[:, 0], MEAN, rtol=1e-3)


def test_what_a_function_of_jax_may_return():
    """While tracing: before any image."""
    for function, shape in ((lambda p, x: x.mean((1, 2, 3)), (4, 1)), (lambda p, x: x.mean((1, 2)), (4, 3))):
        found = jax.eval_shape(Scorer(None, function), jax.ShapeDtypeStruct((4, 8, 8, 3), jnp.bfloat16))
        assert found.shape == shape and found.dtype == jnp.float32
    for function, message in (
        (lambda p, x: x.mean((1, 2)).argmax(-1), "the classifier f returned int32 where logits"),
        (lambda p, x: x.mean(), r"the classifier f returned shape \(\) for 4 images"),
    ):
        with pytest.raises(InputError, match=message):
            jax.eval_shape(Scorer(None, function, "f"), jax.ShapeDtypeStruct((4, 8, 8, 3), jnp.float32))


def test_a_function_owns_its_images_and_its_scores_are_copied():
    images, buffer = IMAGES.copy(), np.empty(len(IMAGES), np.float32)
    np.testing.assert_allclose(load("in_place")(images), load("clean")(images), atol=1e-5)
    np.testing.assert_array_equal(images, IMAGES)
    resized = {"resize": 8, "mean": (0.1,) * 3}  # images that JAX made
    np.testing.assert_allclose(load("in_place", **resized)(images), load("clean", **resized)(images), atol=1e-5)

    def reused(x):
        buffer[:] = x.mean((1, 2, 3))
        return buffer

    scorer = HostScorer(reused)
    first, _ = scorer(images), scorer(1 - images)
    np.testing.assert_allclose(first[:, 0], MEAN, rtol=1e-5)


def test_scores_that_depend_on_the_batch_are_refused():
    def as_in_training(x):
        x = x.mean((1, 2))
        return (x - x.mean(0)) / x.std(0)

    chance = np.random.default_rng(1)
    assert load("multi_label").try_out((8, 16, 16, 3)) == 3 and load("logit").try_out((1, 8, 8, 3)) == 1
    assert HostScorer(lambda x: x.mean((1, 2, 3)) + chance.normal(0, 1e-4, len(x))).try_out((8, 16, 16, 3)) == 1
    for function in (
        as_in_training,
        lambda x: np.sort(x.mean((1, 2, 3))),  # as threads that finish in another order
        lambda x: x.mean((1, 2, 3)) * chance.integers(0, 2, len(x)),
    ):
        with pytest.raises(InputError, match=r"the host function f gave an image another score .* evaluation mode"):
            HostScorer(function, "f").try_out((64, 8, 8, 3))


def test_in_a_study(tokenizer, tmp_path):
    """Outputs are read as the labels are; a function that changes its images leaves those of the detector as they were."""

    def darker(images):
        images *= 0.5
        return np.stack([images.mean((1, 2, 3)), 1 - images.mean((1, 2, 3))], 1)

    def detect(images):
        return np.asarray(read_patches(jnp.eye(6), images))

    def score(name, target):
        scorers = {"target": HostScorer(target, "f", probabilities=True), "detector": HostScorer(detect, "h")}
        settings = flat_settings(**(FAST | {"draws": 1}))
        parts = {"generator": painter(), "tokenizer": tokenizer, "scorers": scorers, "settings": settings}
        opened = open_study(scenes(20), **parts, workdir=tmp_path / name)
        assert [scorer.task for scorer in opened.scorers.values()] == ["multiclass", "multilabel"]
        images, scores = opened.batch_scorer.render(np.arange(9))
        return scores["detector"], score_images(opened.scorers, images)["detector"]

    generated, real = score("in place", darker)
    expected = score("copied", lambda images: darker(images.copy()))
    np.testing.assert_array_equal(generated, expected[0])
    np.testing.assert_array_equal(real, expected[1])
    np.testing.assert_array_equal(real, generated)
