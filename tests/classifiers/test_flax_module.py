import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.errors import InputError
from tests.classifiers import models

IMAGES = np.random.default_rng(0).random((2, 12, 12, 3)).astype(np.float32)


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
        path, module="tests.classifiers.models:small", kwargs={"outputs": 3}, classes=(2,), mean=(0.5,) * 3
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
    with pytest.raises(InputError, match="cannot be called with images: missing a required argument: 'mask'"):
        load_scorer(path, module="tests.classifiers.models:Masked")
    with pytest.raises(InputError, match=r"gives a ndarray, and a flax.linen.Module is needed"):
        load_scorer(path, module="numpy:zeros", kwargs={"shape": 1})
