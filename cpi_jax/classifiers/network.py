"""A classifier as its files give it, and the scorer that a study makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from cpi_jax.classifiers.outputs import pick_classes
from cpi_jax.classifiers.preprocessing import Preprocessing, preprocess
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.classifiers.scores import MULTILABEL, are_probabilities
from cpi_jax.errors import InputError


class Network(NamedTuple):
    """A classifier as its files give it.

    Attributes:
      scorer: of preprocessed images; all outputs. Its task is what the files say, empty where they do not.
      preprocessing: what it wants of an image.
      class_names: of its outputs; none where the files do not say.
      num_outputs: scores an image; 0 where the files do not say.
    """

    scorer: Scorer | HostScorer
    preprocessing: Preprocessing = Preprocessing()
    class_names: tuple[str, ...] = ()
    num_outputs: int = 0


def as_scorer(network: Network, classes: tuple[int, ...], task: str, probabilities: bool) -> Scorer | HostScorer:
    """A scorer of images in [0, 1] of any size.

    Args:
      classes: outputs that the scores are about (`pick_classes`); none: all outputs are scores.
      task: "multiclass" or "multilabel"; empty: as the classifier's files say.
      probabilities: the classifier gives probabilities instead of logits.

    Raises:
      InputError: for another task than the files', or for classes where nothing says what the task is.
    """
    scorer, spec = network.scorer, network.preprocessing
    if task and scorer.task not in ("", task):
        raise InputError(f"the classifier's files say that its outputs are {scorer.task}, so task={task!r} cannot be")
    known, task = bool(scorer.task), task or scorer.task
    if classes and not task:
        raise InputError(
            "`classes` names some of several outputs: say task='multiclass' where the outputs exclude each other "
            "(a softmax), or task='multilabel' where each is a label of its own (a sigmoid each)"
        )
    own = task == MULTILABEL  # the scores are the outputs themselves
    if classes and not (own or probabilities or known) and network.num_outputs and isinstance(scorer, Scorer):
        _validate_logits(_scores_of_noise(scorer, spec))
    described = "".join(f" {x}" for x, default in ((spec, Preprocessing()), (classes, ())) if x != default)
    described += f" {MULTILABEL}" if classes and own else " probabilities" if classes and probabilities else ""
    name, still = f"{scorer.name}{described}", probabilities and (own or not classes)
    left = task if own or not classes else ""  # one logit is of no task
    arguments = (spec, classes, task, probabilities)
    if isinstance(scorer, HostScorer):
        inner = HostScorer(scorer.function, scorer.name, probabilities, task)
        return HostScorer(partial(_call, inner, *arguments) if described else scorer.function, name, still, left)
    if not described:
        return dataclasses.replace(scorer, probabilities=probabilities, task=task)
    names = scorer.outputs
    if classes:
        names = tuple(network.class_names[c] for c in classes) if own and network.class_names else ()
    return Scorer(scorer.params, partial(_apply, scorer.apply, *arguments), name, still, names, left)


def _apply(
    apply: Callable[[Any, jax.Array], jax.Array],
    spec: Preprocessing,
    classes: tuple[int, ...],
    task: str,
    probabilities: bool,
    params: Any,
    images: jax.Array,
) -> jax.Array:
    scores = apply(params, preprocess(images, spec))
    return pick_classes(scores, classes, task, probabilities) if classes else scores


def _call(
    scorer: HostScorer,
    spec: Preprocessing,
    classes: tuple[int, ...],
    task: str,
    probabilities: bool,
    images: np.ndarray,
) -> np.ndarray:
    if spec != Preprocessing():
        images = _on_cpu(_preprocess, images, spec)
    scores = scorer(images)
    if classes and task != MULTILABEL and not probabilities:
        _validate_logits(scores)
    return _on_cpu(pick_classes, scores, classes, task, probabilities) if classes else scores


_preprocess = jax.jit(preprocess, static_argnums=1)


def _scores_of_noise(scorer: Scorer, spec: Preprocessing) -> np.ndarray:
    images = np.random.default_rng(0).random((2, *spec.size_of(64, 64), 3), np.float32)
    return np.asarray(jax.jit(scorer.apply)(scorer.params, images))


def _validate_logits(scores: np.ndarray) -> None:
    """The log-odds of probabilities that are read as logits would no longer look like any."""
    if are_probabilities(scores):
        raise InputError(
            "the classifier's outputs lie in [0, 1] and sum to 1: they are no logits, say probabilities=True"
        )


def _on_cpu(function: Callable[..., jax.Array], *arguments: Any) -> np.ndarray:
    """Not in the queue of a GPU that generates; there, where JAX was told to leave CPUs alone."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        device = None
    with jax.default_device(device):
        return np.asarray(function(*arguments))
