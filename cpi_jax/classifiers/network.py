"""A classifier as its files give it, and the scorer that a study makes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from cpi_jax.classifiers.outputs import log_odds
from cpi_jax.classifiers.preprocessing import Preprocessing, preprocess
from cpi_jax.classifiers.scorer import HostScorer, Scorer


class Network(NamedTuple):
    """A classifier as its files give it.

    Attributes:
      scorer: of preprocessed images; all outputs.
      preprocessing: what it wants of an image.
      class_names: of its outputs; none where the files do not say.
    """

    scorer: Scorer | HostScorer
    preprocessing: Preprocessing = Preprocessing()
    class_names: tuple[str, ...] = ()


def as_scorer(network: Network, classes: tuple[int, ...], probabilities: bool) -> Scorer | HostScorer:
    """A scorer of images in [0, 1] of any size.

    Args:
      network: the classifier.
      classes: outputs that one logit asks about (`log_odds`); none: all outputs are scores.
      probabilities: the classifier gives probabilities instead of logits.
    """
    scorer, spec = network.scorer, network.preprocessing
    said = "".join(f" {x}" for x, default in ((spec, Preprocessing()), (classes, ())) if x != default)
    said += " probabilities" if probabilities and classes else ""
    name, still = f"{scorer.name}{said}", probabilities and not classes
    if isinstance(scorer, HostScorer):
        return HostScorer(partial(_call, scorer, spec, classes, probabilities), name, still)
    if not said:
        return scorer.replace(probabilities=probabilities)
    apply = partial(_apply, scorer.apply, spec, classes, probabilities)
    return Scorer(scorer.params, apply, name, still, () if classes else scorer.outputs)


def _apply(apply: Callable, spec: Preprocessing, classes: tuple[int, ...], probabilities: bool, params, images):
    scores = apply(params, preprocess(images, spec))
    return log_odds(scores, classes, probabilities) if classes else scores


def _call(scorer: HostScorer, spec: Preprocessing, classes: tuple[int, ...], probabilities: bool, images: np.ndarray):
    if spec != Preprocessing():
        images = _on_cpu(_preprocess, images, spec)
    scores = scorer(images)
    return _on_cpu(log_odds, scores, classes, probabilities) if classes else scores


_preprocess = jax.jit(preprocess, static_argnums=1)


def _on_cpu(function: Callable, *arguments) -> np.ndarray:
    """Not in the queue of a GPU that generates; there, where JAX was told to leave CPUs alone."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        device = None
    with jax.default_device(device):
        return np.asarray(function(*arguments))
