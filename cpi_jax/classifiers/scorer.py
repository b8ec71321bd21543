"""Scorers: what turns images into scores. The black-box classifier f is one, the concept detector h another."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import struct

from cpi_jax.classifiers.params_file import FILE, read_facts, read_params, write_params
from cpi_jax.classifiers.resnet import ResNet, resnet_logits
from cpi_jax.errors import InputError, require_known


@struct.dataclass
class Scorer:
    """A pure function of images and its parameters; a pytree, an argument of jitted functions.

    Attributes:
      params: the function's parameters.
      apply: (params, images float32 [B, H, W, 3] in [0, 1]) -> scores float32 [B, C]: logits, where positive means yes.
      name: tells functions with the same parameters apart; part of what identifies a study.
      probabilities: the scores are probabilities instead of logits.
      outputs: what the C scores are about; empty where nothing says so.
    """

    params: Any
    apply: Callable[[Any, jax.Array], jax.Array] = struct.field(pytree_node=False)
    name: str = struct.field(pytree_node=False, default="")
    probabilities: bool = struct.field(pytree_node=False, default=False)
    outputs: tuple[str, ...] = struct.field(pytree_node=False, default=())


class HostScorer:
    """A classifier outside JAX (PyTorch, ONNX, a web service): it is called on the host, outside jit.

    Args:
      function: numpy images float32 [B, H, W, 3] in [0, 1], of 8 bits -> scores [B, C] or [B]: logits, positive means yes.
      name: names the model and its version; a study that is kept on disk needs it to know the model again.
      probabilities: the scores are probabilities instead of logits.
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], name: str = "", probabilities: bool = False):
        self.function = function
        self.name = name
        self.probabilities = probabilities

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Scores float32 [B, C].

        Raises:
          InputError: where the function does not return one row an image.
        """
        scores = np.asarray(self.function(images), np.float32)
        if scores.ndim not in (1, 2) or len(scores) != len(images):
            raise InputError(
                f"the host function returned shape {scores.shape} for {len(images)} images, not one row each"
            )
        return scores.reshape(len(images), -1)


def to_logits(scores: np.ndarray, scorer: Scorer | HostScorer) -> np.ndarray:
    """Scores as logits; probabilities are kept 1e-6 away from 0 and 1."""
    if not scorer.probabilities:
        return scores
    p = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def pick_outputs(scorer: Scorer | HostScorer, names: Sequence[str]) -> Scorer | HostScorer:
    """The scores of these outputs, in this order; a scorer that does not say what its outputs are stays as it is.

    Raises:
      InputError: for an output that it does not have.
    """
    known = getattr(scorer, "outputs", ())
    if not known or known == tuple(names):
        return scorer
    for name in names:
        require_known(name, "concept that the detector was trained on", known)
    which = tuple(known.index(name) for name in names)
    said = f"{scorer.name} {', '.join(names)}"
    return Scorer(scorer.params, partial(_picked, scorer.apply, which), said, scorer.probabilities, tuple(names))


def _picked(apply: Callable, which: tuple[int, ...], params: Any, images: jax.Array) -> jax.Array:
    return apply(params, images)[:, np.array(which)]


def save_resnet(folder: str | Path, params: Any, image_size: int = 0, outputs: Sequence[str] = ()) -> None:
    """Writes parameters as fp16 safetensors, named by their path.

    Args:
      folder: where.
      params: of a `ResNet`.
      image_size: of the images that it was trained on; 0 for any.
      outputs: what its outputs are about.
    """
    facts = {"image_size": str(image_size), "outputs": json.dumps(list(outputs))}
    write_params(folder, params, np.float16, facts if image_size or outputs else None)


def load_resnet(folder: str | Path) -> Scorer:
    """Reads what `save_resnet` wrote.

    Raises:
      InputError: where there is none.
    """
    params = read_params(folder)
    if not {"Conv_0", "Dense_0"} <= params.keys():
        raise InputError(f"{Path(folder) / FILE} does not hold a classifier that launch/train_classifier.py wrote")
    channels = []
    while f"Conv_{3 * len(channels)}" in params:
        channels.append(params[f"Conv_{3 * len(channels)}"]["kernel"].shape[-1])
    module = ResNet(num_outputs=params["Dense_0"]["kernel"].shape[-1], channels=tuple(channels))
    outputs = tuple(json.loads(read_facts(folder).get("outputs", "[]")))
    return Scorer(params, partial(resnet_logits, module), outputs=outputs)
