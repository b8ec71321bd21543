import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.shapes import get_config
from cpi_jax import SHAPES_DETECTOR, SHAPES_TARGET, make_shapes
from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.classifiers.scorer import HostScorer, load_resnet, pick_outputs, save_resnet
from cpi_jax.cli.from_config import scorers_from_config
from cpi_jax.data.shapes import CONCEPTS
from cpi_jax.errors import InputError
from cpi_jax.store.identity import params_hash
from tests.classifiers.onnx_writer import channel_means
from tests.launching import ROOT

IMAGES = np.random.default_rng(0).random((5, 8, 6, 3)).astype(np.float32)
FUNCTION = "tests.classifiers.models:channels"


def test_our_own_folder_is_the_same_scorer_as_ever():
    assert params_hash(load_scorer(SHAPES_TARGET)) == params_hash(load_resnet(SHAPES_TARGET))
    plain, one = load_scorer(SHAPES_DETECTOR), load_scorer(SHAPES_DETECTOR, classes=(0,), resize=8)
    assert params_hash(one) != params_hash(plain)
    small = jax.image.resize(jnp.asarray(IMAGES), (5, 10, 8, 3), "bilinear")
    six = np.asarray(jax.jit(plain.apply)(plain.params, small))
    found = jax.jit(one.apply)(one.params, jnp.asarray(IMAGES))
    np.testing.assert_allclose(found, six[:, :1], rtol=1e-4)  # each output is trained as a label of its own
    with pytest.raises(InputError, match="its outputs are multilabel, so task='multiclass' cannot be"):
        load_scorer(SHAPES_DETECTOR, classes=(0,), task="multiclass")


def test_a_function_of_the_user():
    scorer = load_scorer(module=FUNCTION, mean=(0.5, 0.5, 0.0), std=(0.5, 1.0, 1.0))
    assert isinstance(scorer, HostScorer) and scorer.name.startswith(FUNCTION) and not scorer.probabilities
    means = IMAGES.mean((1, 2))
    np.testing.assert_allclose(scorer(IMAGES), (means - [0.5, 0.5, 0]) / [0.5, 1, 1], atol=1e-6)
    redness = load_scorer(module="tests.classifiers.models:redness", probabilities=True)
    np.testing.assert_array_equal(redness(IMAGES), IMAGES[..., :1].mean((1, 2)))
    assert redness.probabilities


def test_a_function_beside_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "my_classifier.py").write_text("def ones(images):\n    return images[:, 0, 0, 0] * 0 + 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_scorer(module="my_classifier:ones")(IMAGES).tolist() == [[1]] * 5


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), ("n", "h", "w", 3), (2, 3, 8, 6), ("n", 4, 4, 3)])
def test_an_onnx_file(tmp_path, shape):
    """Channels first or last, of any batch size or two, of any image size or one that images are resized to."""
    pytest.importorskip("onnxruntime")
    channel_means(tmp_path / "means.onnx", shape)
    scorer = load_scorer(tmp_path / "means.onnx", mean=(0.5, 0.5, 0.5))
    small = jax.image.resize(IMAGES, (5, 4, 4, 3), "bilinear") if 4 in shape else IMAGES
    np.testing.assert_allclose(scorer(IMAGES), np.asarray(small).mean((1, 2)) - 0.5, atol=1e-5)
    if 4 in shape:
        with pytest.raises(InputError, match=r"takes images of \(4, 4\) px, and resize and crop give \(2, 2\)"):
            load_scorer(tmp_path / "means.onnx", crop=2)(IMAGES)


def test_onnx_files_that_cannot_be_used(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    with pytest.raises(InputError, match="there is no file"):
        load_scorer(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be opened by onnxruntime"):
        load_scorer(path)
    channel_means(path, ("n", 1, 8, 8))
    with pytest.raises(InputError, match="float images of three colours are needed"):
        load_scorer(path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"ONNX files need onnxruntime .*: pip install 'cpi_jax\[onnx\]'"):
        load_scorer(path)


def test_an_onnx_file_whose_first_output_is_the_decision():
    """Outputs label (int64) and probs, as scikit-learn writes them."""
    pytest.importorskip("onnxruntime")
    path = Path(__file__).parent / "cases" / "labelfirst.onnx"
    with pytest.raises(
        InputError, match=r"several outputs: name .* in `output`, one of label \(tensor\(int64\).*, probs"
    ):
        load_scorer(path)
    with pytest.raises(InputError, match=r"the output label of .* holds no logits or probabilities"):
        load_scorer(path, output="label")
    with pytest.raises(InputError, match=r"no output of labelfirst.onnx 'prob' .* did you mean 'probs'"):
        load_scorer(path, output="prob")
    with pytest.raises(InputError, match=r"`classes` names output 2, and the classifier has outputs 0 to 1"):
        load_scorer(path, output="probs", classes=(2,))
    scorer = load_scorer(path, output="probs", probabilities=True)
    assert scorer.name.endswith(" probs")
    found = scorer(IMAGES)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    one = load_scorer(path, output="probs", probabilities=True, classes=(1,), task="multiclass")
    np.testing.assert_allclose(one(IMAGES)[:, 0], np.log(found[:, 1] / found[:, 0]), rtol=1e-4)


def test_fields_that_do_not_belong_are_refused(tmp_path):
    for fields, message in (
        ({"path": tmp_path / "nowhere"}, "there is no classifier at"),
        ({"path": tmp_path}, "holds no classifier of a known kind"),
        ({"path": SHAPES_TARGET, "prompts": ("a", "b")}, "a classifier of kind 'resnet' has no prompts"),
        ({"path": SHAPES_TARGET, "output": "1"}, "a classifier of kind 'resnet' has no output"),
        ({"path": SHAPES_DETECTOR, "classes": (6,)}, "names output 6, and the classifier has outputs 0 to 5"),
        ({"path": SHAPES_TARGET, "kwargs": {"a": 1}}, "a classifier of kind 'resnet' has no kwargs"),
        ({"path": SHAPES_TARGET, "module": FUNCTION, "kind": "function"}, "kind 'function' has no path"),
        ({"path": SHAPES_TARGET, "kind": "keras"}, "no kind of classifier 'keras'"),
        ({"path": SHAPES_TARGET, "classes": ("cat",)}, "outputs have no names"),
        ({"path": SHAPES_TARGET, "method": "cubic"}, "did you mean 'bicubic'"),
        ({}, "name the classifier: its path, or as module a function"),
        ({"path": SHAPES_TARGET, "classes": (True,)}, "`classes` holds True, and indices or names"),
        ({"path": SHAPES_TARGET, "crop": True}, "crop = True must be whole pixels"),
        ({"path": SHAPES_TARGET, "crop": -1, "resize": 8}, "crop = -1 must be whole pixels"),
        ({"path": SHAPES_TARGET, "resize": 10**20}, "must be whole pixels up to 8,192"),
    ):
        with pytest.raises(InputError, match=message):
            load_scorer(**fields)


# Of no type that annotations allow, which are checked here and not at the user's.
ODD = """
from cpi_jax import SHAPES_TARGET, load_scorer, make_shapes
nan, path = float("nan"), SHAPES_TARGET
cases = [
    (lambda: load_scorer(5), "path must be a path, not 5"),
    (lambda: load_scorer(module=5), "module must be text, not 5"),
    (lambda: load_scorer(path, output=None), "output must be text, not None"),
    (lambda: load_scorer(path, kwargs=5), "kwargs must be a dict of the module's arguments, not 5"),
    (lambda: load_scorer(path, classes=(None,)), "`classes` holds None, and indices or names of outputs are needed"),
    (lambda: load_scorer(path, classes=(nan,)), "`classes` holds nan, and indices or names of outputs are needed"),
    (lambda: load_scorer(path, crop="x"), "resize = 0 and crop = 'x' must be whole pixels up to 8,192"),
    (lambda: load_scorer(path, resize=1e20), "resize = 1e+20 and crop = 0 must be whole pixels up to 8,192"),
    (lambda: load_scorer(path, resize=[5, None]), "resize = (5, None) and crop = 0 must be whole pixels up to 8,192"),
    (lambda: make_shapes(2, weights=None), "weights needs 6 numbers"),
    (lambda: make_shapes(2, weights="abcdef"), "weights needs 6 numbers"),
]
for use, message in cases:
    try:
        use()
    except ValueError as error:
        assert type(error).__name__ == "InputError" and str(error).startswith(message), error
    else:
        raise AssertionError(message)
"""


def test_odd_values_are_refused_in_a_sentence():
    done = subprocess.run([sys.executable, "-c", ODD], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_the_fields_of_a_config():
    config = get_config("tiny")
    assert {name: params_hash(scorer) for name, scorer in scorers_from_config(config).items()} == {
        "target": params_hash(load_resnet(SHAPES_TARGET)), "detector": params_hash(load_resnet(SHAPES_DETECTOR)),
    }  # fmt: skip
    config.detector.path = ""
    fields = {"path": "", "module": FUNCTION, "classes": (1,), "task": "multilabel", "mean": (0.1, 0.2, 0.3)}
    config.update_from_flattened_dict({f"target.{name}": value for name, value in fields.items()})
    (name, target), *none = scorers_from_config(config).items()
    assert name == "target" and not none
    assert target.name == load_scorer(**fields).name
    config.target.prompts = ("a", "b")
    with pytest.raises(InputError, match="target: a classifier of kind 'function' has no prompts"):
        scorers_from_config(config)
    config.target.module = ""
    with pytest.raises(InputError, match=r"--config.target.path must name the target, or"):
        scorers_from_config(config)


@pytest.mark.slow
def test_a_network_of_ours_resizes_to_what_it_was_trained_on(tmp_path):
    """As every image that is twice as large by repetition is the image itself after antialiased halving."""
    scorer = load_resnet(SHAPES_DETECTOR)
    save_resnet(tmp_path, scorer.params, image_size=64)
    small = jnp.asarray(make_shapes(2).images, jnp.float32) / 255
    large = small.repeat(2, 1).repeat(2, 2)
    found = load_scorer(tmp_path)
    np.testing.assert_allclose(found.apply(found.params, small), scorer.apply(scorer.params, small), atol=0.02)
    off = np.abs(found.apply(found.params, large) - scorer.apply(scorer.params, small)).max()
    assert off < 1.0 < np.abs(scorer.apply(scorer.params, large) - scorer.apply(scorer.params, small)).max()


def test_a_detector_gives_the_outputs_that_a_study_asks_for(tmp_path):
    scorer = load_resnet(SHAPES_DETECTOR)
    save_resnet(tmp_path, scorer.params, outputs=CONCEPTS)
    detector = load_scorer(tmp_path)
    assert detector.outputs == CONCEPTS
    images = jnp.asarray(make_shapes(2).images, jnp.float32) / 255
    chosen = pick_outputs(detector, (CONCEPTS[4], CONCEPTS[1]))
    expected = detector.apply(detector.params, images)[:, jnp.array([4, 1])]
    np.testing.assert_array_equal(chosen.apply(chosen.params, images), expected)
    assert pick_outputs(scorer, ("a", "b")) is scorer  # it does not say what its outputs are
    with pytest.raises(InputError, match=r"no concept that the detector was trained on 'red cirle'.*did you mean"):
        pick_outputs(detector, ("red cirle",))
