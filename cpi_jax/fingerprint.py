"""What tells one study from another: hashes of functions, and the fields that decide every score."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.diffusion.sampler import Generator
from cpi_jax.errors import InputError
from cpi_jax.settings import Settings


def params_hash(function: Generator | Scorer | HostScorer) -> str:
    """A hash of a function's parameters and name; of a host function, its name.

    Raises:
      InputError: for a host function without a name.
    """
    if isinstance(function, HostScorer):
        if not function.name:
            raise InputError(
                "a host scorer needs a name, as in HostScorer(function, name='resnet50 v2'), to know its scores again"
            )
        return function.name
    digest = hashlib.sha256(function.name.encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(function.params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def programs_hash(generator: Generator, scorers: Mapping[str, Scorer]) -> str:
    """A hash of what a batch computes, whatever the values of the parameters."""
    described = [[generator.name, *(f"{name} {scorer.name}" for name, scorer in scorers.items())]]
    described += [
        f"{jax.tree_util.keystr(path)} {np.shape(leaf)} {jax.dtypes.result_type(leaf)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(
            (generator.params, {n: s.params for n, s in scorers.items()})
        )
    ]
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]


def study_identity(slot_names: Sequence[str], settings: Settings, hashes: Mapping[str, str]) -> dict[str, Any]:
    """What decides every score, beside the examples' captions; draws, examples, concepts, statistics, batches do not."""
    return {
        "seed": settings.seed,
        "unit_size": settings.unit_size,
        "slots": list(slot_names),
        "separator": settings.separator,
        "empty": settings.empty,
        "control": settings.control,
        **{f"{name} weights or settings": value for name, value in hashes.items()},
    }
