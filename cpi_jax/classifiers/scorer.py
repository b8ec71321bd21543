"""Scorers: what turns images into scores. The black-box classifier f is one, the concept detector h another."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cpi_jax.checkpoints.params_file import FILE, read_facts, read_params, write_params
from cpi_jax.classifiers.resnet import ResNet, resnet_logits
from cpi_jax.classifiers.scores import MULTICLASS, MULTILABEL, TASKS, as_rows, read_rows, validate_probabilities
from cpi_jax.errors import InputError, require_known


@struct.dataclass
class Scorer:
    """A pure function of images and its parameters; a pytree, an argument of jitted functions.

    Attributes:
      params: the function's parameters.
      apply: (params, images float32 [B, H, W, 3] in [0, 1]) -> scores [B, C] or [B]: logits, where positive means yes.
      name: tells functions with the same parameters apart; part of what identifies a study.
      probabilities: the scores are probabilities instead of logits.
      outputs: what the C scores are about; empty where nothing says so.
      task: "multiclass" where the outputs exclude each other (a softmax), "multilabel" where each is a label of its own (a
        sigmoid each); empty where nothing says so: a study then reads them as its labels are, [N] or [N, C].

    Example:
      >>> import cpi_jax, jax.numpy as jnp
      >>> redness = cpi_jax.Scorer(jnp.array([1.0, -0.5, -0.5]), lambda w, images: images.mean((1, 2)) @ w, "redness")
      >>> redness(jnp.zeros((2, 8, 8, 3)).at[0, ..., 0].set(1)).tolist()
      [[1.0], [0.0]]
    """

    params: Any
    apply: Callable[[Any, jax.Array], jax.Array] = struct.field(pytree_node=False)
    name: str = struct.field(pytree_node=False, default="")
    probabilities: bool = struct.field(pytree_node=False, default=False)
    outputs: tuple[str, ...] = struct.field(pytree_node=False, default=())
    task: str = struct.field(pytree_node=False, default="")

    def __call__(self, images: jax.Array) -> jax.Array:
        """Scores float32 [B, C].

        Raises:
          InputError: where the function does not return one row of logits or probabilities an image; while tracing.
        """
        scores = self.apply(self.params, images)
        return as_rows(scores, len(images), f"the classifier {self.name}".rstrip()).astype(jnp.float32)


class HostScorer:
    """A classifier outside JAX (PyTorch, ONNX, a web service): it is called on the host, outside jit.

    Args:
      function: numpy images float32 [B, H, W, 3] in [0, 1], of 8 bits -> scores [B, C] or [B]: logits, positive means yes.
        The images are the function's own, to be changed in place if it likes.
      name: names the model and its version; a study that is kept on disk needs it to know the model again.
      probabilities: the scores are probabilities instead of logits.
      task: as of `Scorer`.

    Example:
      >>> import cpi_jax, numpy as np
      >>> brightness = cpi_jax.HostScorer(lambda images: images.mean((1, 2, 3)) - 0.5, "brightness 1")
      >>> brightness(np.ones((2, 8, 8, 3), np.float32)).tolist()
      [[0.5], [0.5]]
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        name: str = "",
        probabilities: bool = False,
        task: str = "",
    ):
        self.function = function
        self.name = name
        self.probabilities = probabilities
        self.task = task

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Scores float32 [B, C].

        Raises:
          InputError: where the function does not return one row an image, or no probabilities where it is said to.
        """
        source = f"the host function {self.name}".rstrip()
        scores = read_rows(self.function(np.array(images, np.float32)), len(images), source)
        if self.probabilities:
            validate_probabilities(scores, self.task == MULTICLASS, source)
        return scores

    def try_out(self, shape: tuple[int, int, int, int]) -> int:
        """Scores two batches of noise of a shape.

        Returns:
          The number of outputs, C.

        Raises:
          InputError: where an image's score depends on its place or its companions in the batch, or on chance: rows in
            another order, batch norm or dropout as in training.
        """
        rng, kept = np.random.default_rng(0), -(-shape[0] // 2)
        images = 255 * rng.random((shape[0], 1, 1, 3), np.float32) * rng.random(shape, np.float32)
        others = np.concatenate([0.1 * images[kept:], images[:kept]])  # in other places, among dark ones
        before, after = (self(x.round() / np.float32(255)) for x in (images, others))
        off = np.abs(before[:kept] - after[len(after) - kept :]).max(0)
        allowed = 0.05 * np.ptp(before, 0) + 0.005 * np.abs(before).max(0)  # of 16 bits, or quantised by batch
        if (off > allowed).any():
            worst = int(np.argmax(off - allowed))
            raise InputError(
                f"the host function {self.name} gave an image another score (by {off[worst]:.3g}) among other images: "
                "is it in evaluation mode, without dropout, and are its rows in the order of the images?"
            )
        return before.shape[1]


def read_as(scorer: Scorer | HostScorer, task: str) -> Scorer | HostScorer:
    """The same scorer with its outputs read as `task` says."""
    if isinstance(scorer, Scorer):
        return dataclasses.replace(scorer, task=task)
    scorer = copy.copy(scorer)
    scorer.task = task
    return scorer


def read_as_labels(
    scorer: Scorer | HostScorer, labels: np.ndarray, num_outputs: int, called: str = "target"
) -> Scorer | HostScorer:
    """A target with its outputs read as the labels are.

    Args:
      labels: class index [N], or {0, 1} [N, C].
      num_outputs: scores an image.
      called: what messages call it.

    Raises:
      InputError: where the scorer says that its outputs are otherwise.
    """
    task = MULTILABEL if labels.ndim == 2 else MULTICLASS
    if scorer.task:
        require_known(scorer.task, "task of a classifier", TASKS)
    if num_outputs > 1 and scorer.task == MULTILABEL != task:
        raise InputError(
            f"each of the {called}'s {num_outputs} outputs is a label of its own (multilabel), and an example has one: "
            "say in `classes` of load_scorer (or of the config) which output it is about"
        )
    if num_outputs > 1 and scorer.task == MULTICLASS != task:
        raise InputError(
            f"the {called}'s {num_outputs} outputs exclude each other (multiclass), and an example has {labels.shape[1]} "
            "labels: name one column as the label, and in `classes` the outputs that mean it"
        )
    return read_as(scorer, task) if num_outputs > 1 else scorer


def to_logits(scores: np.ndarray, scorer: Scorer | HostScorer) -> np.ndarray:
    """Scores as logits: log p of classes that exclude each other, whose softmax is p, and else log p - log(1 - p).

    Probabilities are kept as far from 0 and 1 as float32 can say.

    Raises:
      InputError: for numbers that are no probabilities where the scorer is said to give them.
    """
    if not scorer.probabilities:
        return scores
    exclusive = scorer.task == MULTICLASS and scores.shape[-1] > 1
    validate_probabilities(scores, exclusive, f"the classifier {scorer.name}".rstrip())
    log_p = np.log(np.maximum(scores, np.finfo(np.float32).tiny))
    return log_p if exclusive else log_p - np.log1p(-np.minimum(scores, np.float32(1 - 2**-24)))


def pick_outputs(scorer: Scorer | HostScorer, names: Sequence[str]) -> Scorer | HostScorer:
    """The scores of these outputs, in this order; a scorer that does not say what its outputs are stays as it is.

    Raises:
      InputError: for an output that it does not have.
    """
    if not isinstance(scorer, Scorer) or not scorer.outputs or scorer.outputs == tuple(names):
        return scorer
    known = scorer.outputs
    for name in names:
        require_known(name, "concept that the detector was trained on", known)
    which = tuple(known.index(name) for name in names)
    described = f"{scorer.name} {', '.join(names)}"
    apply = partial(_picked, scorer.apply, which)
    return dataclasses.replace(scorer, apply=apply, name=described, outputs=tuple(names))


def _picked(
    apply: Callable[[Any, jax.Array], jax.Array], which: tuple[int, ...], params: Any, images: jax.Array
) -> jax.Array:
    return apply(params, images)[:, np.array(which)]


def save_resnet(folder: str | Path, params: Any, image_size: int = 0, outputs: Sequence[str] = ()) -> None:
    """Writes parameters as fp16 safetensors, named by their path.

    Args:
      folder: made where it is missing.
      params: of a `ResNet`.
      image_size: of the images that it was trained on; 0 for any.
      outputs: what its outputs are about.
    """
    facts = {"image_size": str(image_size), "outputs": json.dumps(list(outputs))}
    write_params(folder, params, np.float16, facts if image_size or outputs else None)


def load_resnet(folder: str | Path) -> Scorer:
    """Reads what `save_resnet` or launch/train_classifier.py wrote: a small residual network, a logit for each output.

    Raises:
      InputError: where there is none, or the file is damaged or another network's.

    Example:
      >>> import cpi_jax
      >>> detector = cpi_jax.load_resnet(cpi_jax.SHAPES_DETECTOR)
      >>> detector.task, detector.params["Dense_0"]["bias"].shape  # a sigmoid for each of six concepts
      ('multilabel', (6,))
    """
    params = read_params(folder)
    if not {"Conv_0", "Dense_0"} <= params.keys():
        raise InputError(f"{Path(folder) / FILE} does not hold a classifier that launch/train_classifier.py wrote")
    channels = []
    while f"Conv_{3 * len(channels)}" in params:
        channels.append(params[f"Conv_{3 * len(channels)}"]["kernel"].shape[-1])
    module = ResNet(num_outputs=params["Dense_0"]["kernel"].shape[-1], channels=tuple(channels))
    outputs = tuple(json.loads(read_facts(folder).get("outputs", "[]")))
    return Scorer(params, partial(resnet_logits, module), outputs=outputs, task=MULTILABEL)  # as it is trained
