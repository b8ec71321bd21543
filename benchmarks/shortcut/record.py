"""What was found of both classifiers, as the page and the JSON read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cpi_jax.statistics.record import Importance

CLASSIFIERS = ("biased", "balanced")


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Examples before and after each permutation.

    Attributes:
      title: which examples.
      said: captions of the pictures, [E][P]; the first column is the example's own.
      images: uint8 [E, P, H, W, 3] by kind: "true" composites, what was "generated", and the real pictures "edited".
      scores: of each classifier for all of them, float [E, P] by (classifier, kind).
    """

    title: str
    said: list[list[str]]
    images: Mapping[str, np.ndarray]
    scores: Mapping[tuple[str, str], np.ndarray]


@dataclasses.dataclass(frozen=True)
class HeatMaps:
    """Photographs uint8 [E, H, W, 3] and heat maps [E, H, W] by (classifier, method)."""

    images: np.ndarray
    maps: Mapping[tuple[str, str], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Findings:
    """What was found of both classifiers.

    Attributes:
      importance: on the generated images, by classifier.
      oracle: on the true counterfactuals of the same examples, by classifier.
      table: both beside each other, one row per classifier and concept.
      differences: of the importances of both, on the same generated images.
      gaps: of either classifier between backgrounds, and what of them comes from each concept; empty where not asked for.
      pairs: importances that the true counterfactuals of a few examples correct (`correct_by_subsets`).
      generation: AUROC on real and on generated images, of the detector and of the classifiers.
      independence: whether permuted images follow their captions, and nothing else in them changes.
      attribution: shares of heat on the garment and on the background, by classifier, method and way to share.
      sheets: pictures of random examples and of the worst ones.
      heat: heat maps to look at.
      headline: what the study is judged by.
      facts: machine, time, what was run.
    """

    importance: Mapping[str, Importance]
    oracle: Mapping[str, Importance]
    table: pd.DataFrame
    differences: pd.DataFrame
    gaps: pd.DataFrame
    pairs: pd.DataFrame
    generation: pd.DataFrame
    independence: pd.DataFrame
    attribution: pd.DataFrame
    sheets: list[Sheet]
    heat: HeatMaps
    headline: Mapping[str, Any]
    facts: Mapping[str, Any]
