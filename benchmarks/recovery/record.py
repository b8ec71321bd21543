"""What the recovery benchmark found, as the page and the JSON read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.recovery.estimates import Estimates


@dataclasses.dataclass(frozen=True)
class Gallery:
    """A network's heat maps to look at: images uint8 [I, H, W, 3], masks [I, K, H, W], heat [I, H, W] by method."""

    model: int
    images: np.ndarray
    masks: np.ndarray
    heat: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Recovery:
    """What the benchmark found.

    Attributes:
      headline: the numbers that the benchmark is judged by.
      methods: agreement of every method, the best variant of each, by group of models; mean over models with 95 % interval.
      variants: of every variant of every pixel-space method.
      robustness: agreement and coverage in every world, size and number of draws.
      faults: what became of each concept where the generator was spoilt on purpose, beside its verdict.
      generation: AUROC of trunk and detector on real and generated images: which step loses what.
      cost: images and seconds of every method.
      models: agreement of every model, one row per (group, model, method).
      truth: importances [M, K] by group; estimates: ours; shown: importances by each method's best variant.
      styles: of the models by group.
      gallery: heat maps to look at.
      facts: machine, time, what was run.
    """

    headline: dict[str, float]
    methods: pd.DataFrame
    variants: pd.DataFrame
    robustness: pd.DataFrame
    faults: pd.DataFrame
    generation: pd.DataFrame
    cost: pd.DataFrame
    models: pd.DataFrame
    truth: Mapping[str, np.ndarray]
    estimates: Mapping[str, Estimates]
    shown: Mapping[str, Mapping[str, np.ndarray]]
    styles: Mapping[str, Sequence[str]]
    gallery: Gallery
    facts: Mapping[str, Any]
