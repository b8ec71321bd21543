"""One door to every kind of classifier."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cpi_jax.checkpoints.orbax_folder import is_orbax
from cpi_jax.checkpoints.params_file import names_in, read_facts
from cpi_jax.classifiers.efficientnet import load_efficientnet
from cpi_jax.classifiers.flax_module import load_flax
from cpi_jax.classifiers.network import Network, as_scorer
from cpi_jax.classifiers.onnx_file import load_onnx
from cpi_jax.classifiers.outputs import find_classes
from cpi_jax.classifiers.preprocessing import Preprocessing
from cpi_jax.classifiers.scorer import HostScorer, Scorer, load_resnet
from cpi_jax.classifiers.scores import TASKS
from cpi_jax.classifiers.transformers_models import load_transformers
from cpi_jax.errors import InputError, require_known
from cpi_jax.files.location import download_by_hand, find_path
from cpi_jax.user_code import import_function

# Each kind's fields, beside those that all kinds have, and what reads it.
_KINDS: dict[str, tuple[tuple[str, ...], Callable[..., Network]]] = {
    "resnet": (("path",), lambda path: _load_ours(path)),
    "efficientnet": (("path",), load_efficientnet),
    "transformers": (("path", "prompts", "task"), load_transformers),
    "flax": (("module", "path", "kwargs", "preprocessing", "output"), load_flax),
    "onnx": (("path", "output"), load_onnx),
    "function": (("module",), lambda module: Network(HostScorer(import_function(module), module))),
}


def load_scorer(
    path: str | Path = "",
    *,
    kind: str = "",
    module: str = "",
    kwargs: Mapping[str, Any] | None = None,
    prompts: Sequence[str] = (),
    output: str = "",
    classes: Sequence[int | str] = (),
    task: str = "",
    probabilities: bool = False,
    resize: int | tuple[int, int] = 0,
    crop: int = 0,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    method: str = "",
) -> Scorer | HostScorer:
    """Reads a classifier of any kind as a function of images in [0, 1], of any size, to scores [B, C].

    Args:
      path: a folder of `save_resnet`, of launch/convert_efficientnet.py or of transformers; an orbax checkpoint; or an
        ONNX file.
      kind: "resnet", "efficientnet", "transformers", "flax", "onnx" or "function"; seen from what lies there by default.
      module: "package.module:name" of the Flax module whose checkpoint lies at the path; without a path, of a function of
        numpy images float32 [B, H, W, 3] in [0, 1] that returns scores [B, C] or [B].
      kwargs: of the Flax module.
      prompts: of CLIP, one a class.
      output: which array, where a Flax module returns a tuple or dict ("0", "logits") or an ONNX file has several outputs.
      classes: indices or names of outputs. Where outputs exclude each other the score is one logit, "is it one of these?"
        (`log_odds`); where each is a label of its own, the scores are the outputs named. By default all outputs are scores.
      task: "multiclass" where the outputs exclude each other (a softmax), "multilabel" where each is a label of its own (a
        sigmoid each); what the classifier's files say by default. A Flax module's, an ONNX file's or a function's say
        nothing, and `classes` then needs it.
      probabilities: the outputs are probabilities instead of logits.
      resize, crop, mean, std, method: of `Preprocessing`, in place of the classifier's own; mean and std in the unit of the
        images, of pixels in [0, 1].

    Returns:
      A `Scorer` where the classifier runs in JAX, a `HostScorer` for ONNX files and functions.

    Raises:
      InputError: for anything that a classifier cannot be made of.

    Example:
      >>> import cpi_jax, jax, jax.numpy as jnp
      >>> two_circles = cpi_jax.load_scorer(cpi_jax.SHAPES_DETECTOR, classes=(0, 2))  # of its six outputs
      >>> two_circles.task, jax.eval_shape(two_circles, jnp.zeros((3, 64, 64, 3))).shape
      ('multilabel', (3, 2))
    """
    for name, value in (("mean", mean), ("std", std), ("prompts", prompts)):
        if value is None or isinstance(value, (str, int, float)):
            raise InputError(f"{name} must be a tuple, not {value!r}")
    for name, value in (("module", module), ("output", output)):
        if not isinstance(value, str):
            raise InputError(f"{name} must be text, not {value!r}")
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"path must be a path, not {path!r}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise InputError(f"kwargs must be a dict of the module's arguments, not {kwargs!r}")
    path = find_path(path) if path else ""
    if task:
        require_known(task, "task", TASKS)
    if not isinstance(probabilities, bool):
        raise InputError(f"probabilities must be True or False, not {probabilities!r}")
    sides = tuple(resize) if isinstance(resize, (Sequence, np.ndarray)) and not isinstance(resize, str) else resize
    spec = {"resize": sides, "crop": crop, "mean": tuple(mean), "std": tuple(std), "method": method}
    given = {"path": path, "module": module, "kwargs": kwargs or {}, "prompts": tuple(prompts), "output": output}
    kind = kind or _find_kind(path, module)
    require_known(kind, "kind of classifier", tuple(_KINDS))
    fields, load = _KINDS[kind]
    if unused := [name for name, value in given.items() if value and name not in fields]:
        raise InputError(f"a classifier of kind {kind!r} has no {unused[0]}")
    given |= {"preprocessing": Preprocessing().override(**spec), "task": task}
    network = load(**{name: given[name] for name in fields})
    network = network._replace(preprocessing=network.preprocessing.override(**spec))
    return as_scorer(network, find_classes(classes, network.class_names, network.num_outputs), task, probabilities)


def _load_ours(path: str | Path) -> Network:
    """A network of `save_resnet`, for images of the size that it was trained on."""
    scorer = load_resnet(path)
    count = scorer.params["Dense_0"]["kernel"].shape[-1]
    return Network(scorer, Preprocessing(resize=int(read_facts(path).get("image_size", 0))), scorer.outputs, count)


def _find_kind(path: str | Path, module: str) -> str:
    if module:
        return "flax" if path else "function"
    if not path:
        raise InputError("name the classifier: its path, or as module a function")
    folder = Path(path)
    if folder.suffix == ".onnx":
        return "onnx"
    if not folder.exists():
        raise InputError(f"there is no classifier at {folder}{download_by_hand(str(folder))}")
    if (folder / "config.json").is_file():
        return "transformers"
    names = names_in(folder)
    if "head/kernel" in names:
        return "efficientnet"
    if names or not folder.is_dir():
        return "resnet"  # or says what is missing
    if is_orbax(folder):
        raise InputError(f"{folder} is an orbax checkpoint: name its Flax module, such as module='my_models:ResNet50'")
    raise InputError(f"{folder} holds no classifier of a known kind: a config.json, model.safetensors or a checkpoint")
