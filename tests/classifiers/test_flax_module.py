import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.errors import InputError
from tests.classifiers import models

IMAGES = np.random.default_rng(0).random((2, 12, 12, 3)).astype(np.float32)


def redness(images):
    return images[..., 0].mean((1, 2))


def random(tree):
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: np.asarray(rng.uniform(0.5, 1.5, leaf.shape), np.float32), tree)


def save(folder, tree):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, tree)
    return folder


@pytest.fixture(scope="module")
def variables():
    module = models.Small()
    return random(jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.asarray(IMAGES), train=False)))


def test_a_module_with_batch_norm_scores_as_in_evaluation(tmp_path, variables):
    expected = models.Small().apply(variables, IMAGES - 0.5, train=False)
    path = save(tmp_path / "variables", variables)
    scorer = load_scorer(path, module="tests.classifiers.models:Small", mean=(0.5,) * 3)
    np.testing.assert_allclose(jax.jit(scorer.apply)(scorer.params, IMAGES), expected, rtol=1e-5)
    one = load_scorer(
        path,
        module="tests.classifiers.models:small",
        kwargs={"outputs": 3},
        classes=(2,),
        task="multiclass",
        mean=(0.5,) * 3,
    )
    odds = expected[:, 2] - jnp.logaddexp(expected[:, 0], expected[:, 1])
    np.testing.assert_allclose(one.apply(one.params, jnp.asarray(IMAGES))[:, 0], odds, rtol=1e-4)
    assert one.name != scorer.name  # another classifier in the eyes of a study


def test_a_train_state_and_parameters_alone(tmp_path, variables):
    state = {**variables, "step": np.int32(7), "opt_state": {"mu": np.zeros(3, np.float32)}}
    options = ocp.CheckpointManagerOptions()
    with ocp.CheckpointManager(tmp_path / "run", options=options) as manager:
        manager.save(7, args=ocp.args.StandardSave(state))
    module = "tests.classifiers.models:Small"
    found = load_scorer(tmp_path / "run" / "7", module=module).params
    jax.tree.map(np.testing.assert_array_equal, dict(found), variables)
    with pytest.raises(InputError, match=r"no orbax checkpoint at .*run; name one of its steps, such as .*run/7"):
        load_scorer(tmp_path / "run", module=module)
    flat = {"Dense_0": {"kernel": np.ones((432, 2), np.float32), "bias": np.arange(2, dtype=np.float32)}}
    path = save(tmp_path / "alone", flat)
    scorer = load_scorer(path, module="tests.classifiers.models:Flat")
    expected = IMAGES.sum((1, 2, 3))[:, None] + np.arange(2)
    np.testing.assert_allclose(scorer.apply(scorer.params, jnp.asarray(IMAGES)), expected, rtol=1e-5)
    with pytest.raises(InputError, match=r"Flat is not for images of \(6, 6\) px: .*shape"):
        scorer.apply(scorer.params, jnp.asarray(IMAGES[:, :6, :6]))
    with pytest.raises(InputError, match=r"Dense_0/kernel has shape \(432, 2\) in the checkpoint and \(300, 2\)"):
        load_scorer(path, module="tests.classifiers.models:Flat", crop=10)


def test_what_does_not_fit_is_named(tmp_path, variables):
    path = save(tmp_path / "params", {"params": variables["params"]})
    with pytest.raises(InputError, match="the checkpoint lacks batch_stats/BatchNorm_0/mean"):
        load_scorer(path, module="tests.classifiers.models:Small")
    with pytest.raises(InputError, match=r"the module has no params/BatchNorm_0/|checkpoint lacks"):
        load_scorer(path, module="tests.classifiers.models:Flat")
    for module, message in {
        "tests.classifiers.models": "must be package.module:name",
        "tests.classifiers.modles:Small": "there is no module tests.classifiers.modles",
        "tests.classifiers.models:Smal": "did you mean 'Small'",
        "tests.classifiers.models:NUMBER": "is a int, and a function is needed",
    }.items():
        with pytest.raises(InputError, match=message):
            load_scorer(path, module=module)
    with pytest.raises(InputError, match=r"is an orbax checkpoint: name its Flax module"):
        load_scorer(path)
    with pytest.raises(InputError, match="small cannot be called with nothing: missing a required argument: 'outputs'"):
        load_scorer(path, module="tests.classifiers.models:small")
    with pytest.raises(InputError, match="function of images: leave the path empty"):
        load_scorer(path, module="tests.classifiers.test_flax_module:redness")
    with pytest.raises(InputError, match="cannot be called with images: missing a required argument: 'mask'"):
        load_scorer(path, module="tests.classifiers.models:Masked")
    with pytest.raises(InputError, match=r"gives a ndarray, and a flax.linen.Module is needed"):
        load_scorer(path, module="numpy:zeros", kwargs={"shape": 1})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    module = models.Written()
    flags = {"is_training": False, "deterministic": True, "use_running_average": True}
    variables = random(jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.asarray(IMAGES), **flags)))
    path = save(tmp_path_factory.mktemp("written") / "variables", variables)
    return path, np.asarray(module.apply(variables, IMAGES, **flags))


def test_what_a_module_may_return(written):
    """Accepted, or refused in a sentence at once."""
    path, rows = written
    module = "tests.classifiers.models:Written"
    for returns, output, expected in (
        ("one", "", rows[:, :1]),
        ("tuple", "0", rows),
        ("tuple", "1", rows.sum(1, keepdims=True)),
        ("dict", "logits", rows),
        ("alone", "", rows),
    ):
        scorer = load_scorer(path, module=module, kwargs={"returns": returns}, output=output)
        np.testing.assert_allclose(scorer(jnp.asarray(IMAGES)), expected, rtol=1e-5)
        assert scorer.name.endswith(f"{f'output={output} ' if output else ''}returns={returns}")
    for returns, output, message in (
        ("tuple", "", r"name the logits in `output`, one of 0 \(float32\[2, 3\]\), 1 \(float32\[2\]\)"),
        ("dict", "logit", "no output of Written 'logit' .*did you mean 'logits'"),
        ("dict", "features", r"returned shape \(2, 64, 64, 3\) for 2 images"),
        ("dict", "more", "the output 'more' of Written is no array"),
        ("rows", "0", "Written returns one array, so there is no output '0'"),
        ("decision", "", "Written returned int32 where logits or probabilities are needed"),
        ("map", "", r"Written returned shape \(2, 64, 64, 3\) for 2 images"),
        ("text", "", "Written returns a str, and an array of logits is needed"),
    ):
        with pytest.raises(InputError, match=message):
            load_scorer(path, module=module, kwargs={"returns": returns}, output=output)


def test_outputs_of_a_module_that_classes_names(written):
    path, rows = written
    fields = {"module": "tests.classifiers.models:Written"}
    with pytest.raises(InputError, match="`classes` names output 3, and the classifier has outputs 0 to 2"):
        load_scorer(path, **fields, classes=(3,), task="multilabel")
    with pytest.raises(InputError, match=r"say task='multiclass' .* or task='multilabel'"):
        load_scorer(path, **fields, classes=(1,))
    own = load_scorer(path, **fields, classes=(2, 0), task="multilabel")
    np.testing.assert_allclose(own(jnp.asarray(IMAGES)), rows[:, [2, 0]], rtol=1e-5)
    fields |= {"kwargs": {"returns": "softmax"}, "classes": (1,), "task": "multiclass"}
    with pytest.raises(InputError, match="sum to 1: they are no logits, say probabilities=True"):
        load_scorer(path, **fields)
    odds = rows[:, 1] - np.logaddexp(rows[:, 0], rows[:, 2])
    np.testing.assert_allclose(
        load_scorer(path, **fields, probabilities=True)(jnp.asarray(IMAGES))[:, 0], odds, rtol=1e-3
    )


def test_modules_that_train_or_are_for_other_images(tmp_path, written):
    path, _ = written
    module = "tests.classifiers.models:Written"
    with pytest.raises(
        InputError, match=r"Written is called as in training .*; an attribute of the class is set in kwargs"
    ):
        load_scorer(path, module=module, kwargs={"training": True})
    with pytest.raises(InputError, match=r"Conv_0/kernel has shape .* for images \[B, H, W, 3\]"):
        load_scorer(path, module=module, kwargs={"channels_first": True})
    flat = {"Dense_0": {"kernel": np.ones((3, 1), np.float32), "bias": np.ones(1, np.float32)}}
    path = save(tmp_path / "flat", flat)
    with pytest.raises(InputError, match=r"Dropping is called as in training \(.*dropout"):
        load_scorer(path, module="tests.classifiers.models:Dropping")
    with pytest.raises(InputError, match=r"Grey cannot be called with images .* \(ValueError: one channel, please\)"):
        load_scorer(path, module="tests.classifiers.models:Grey")
    with pytest.raises(InputError, match=r"Modern is of flax.nnx, .* write a function of numpy images"):
        load_scorer(path, module="tests.classifiers.models:Modern")
