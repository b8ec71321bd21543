"""What a study does."""

from __future__ import annotations

import dataclasses

import numpy as np

from cpi_jax.errors import InputError, require_known
from cpi_jax.importance.metrics import METRICS
from cpi_jax.importance.summary import ALTERNATIVES, INTERVALS


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a study does; every field has a working default. "Column" means one of `Examples.columns`.

    Attributes:
      seed: of the noise, of planned shuffles, of the control and of the resampling.
      draws: noise draws per example, at most (see the `stop_` fields).
      concepts: names of the concepts to permute; empty for all.
      groups: concepts that are permuted jointly besides, each a tuple of names.
      interactions: pairs of concepts whose interaction is measured, or ("all",).
      condition_on: permute among examples that agree in these concepts and columns; ("all",) for all other concepts.
      control: a phrase that says nothing, such as "a photo"; a random half of the captions ends in it, and it is permuted
        as a negative control. Empty for none.
      max_values: a feature with at most so many values is computed over all of them, one with more by shuffles.
      num_shuffles: planned shuffles of a feature with more values.
      max_interactions: most pairs; each needs an image of every example whose two values both change.
      batch_size: images that each local device generates at once, so that scores are the same on any number of devices;
        0: as many as make it faster.
      unit_size: rows of the score table written at once.
      max_images: a run ends after so many, and the same command goes on; 0 for no limit.
      max_minutes: likewise.
      sampled_examples: examples whose images of the first draw are kept for the report.
      keep_images: "png" or "jpeg" keeps all images, in tar files; empty for none.
      profile: whether a few batches are recorded for `jax.profiler` (folder profile/).
      metrics: names in `cpi_jax.METRICS`; the first one ranks.
      weights: column of sample weights; empty for equal ones.
      cluster: column of what was sampled (patients, scenes); empty for examples.
      subgroups: column by whose contents the importances are repeated; empty for none.
      num_bootstrap: bootstrap repeats.
      level: of the intervals.
      interval: "jackknife" (default: BUILD_NOTES.md has the measured coverage) or "bootstrap".
      alternative: of the p-values, "greater" (important) or "two-sided" (important or harmful).
      stop_width: draws end once every interval is narrower; 0 for never.
      stop_top_k: draws end once the k most important concepts are settled; 0 for never.
      stop_share_of_draws: draws end once they make up less than this share of the variance; 0 for never.
      separator: said between two concepts.
      empty: said when there is no concept.
      generation_margin: largest difference of AUROC between real and generated images, for own captions either way, and
        for permuted captions how much less the detector may see of the permuted concept than on real images.
      leak_margin: largest AUROC change of a concept that is not permuted.
    """

    seed: int = 0
    draws: int = 2
    concepts: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    interactions: tuple[tuple[str, str], ...] | tuple[str] = ()
    condition_on: tuple[str, ...] = ()
    control: str = ""
    max_values: int = 8
    num_shuffles: int = 25
    max_interactions: int = 64
    batch_size: int = 32
    unit_size: int = 128
    max_images: int = 0
    max_minutes: float = 0.0
    sampled_examples: int = 6
    keep_images: str = ""
    profile: bool = False
    metrics: tuple[str, ...] = ("auroc", "accuracy", "neg_log_loss")
    weights: str = ""
    cluster: str = ""
    subgroups: str = ""
    num_bootstrap: int = 1000
    level: float = 0.95
    interval: str = "jackknife"
    alternative: str = "greater"
    stop_width: float = 0.0
    stop_top_k: int = 0
    stop_share_of_draws: float = 0.0
    separator: str = ", "
    empty: str = "an empty scene"
    generation_margin: float = 0.03
    leak_margin: float = 0.03

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple) and isinstance(value, str):
                raise InputError(f"{field.name} must be a tuple: ({value!r},), not {value!r}")
            if isinstance(field.default, (int, float)) and not isinstance(value, (int, float)):
                raise InputError(f"{field.name} must be a number, not {value!r}")
            if isinstance(field.default, int) and value != int(value):
                raise InputError(f"{field.name} must be a whole number, not {value}")
            if isinstance(field.default, float) and not 0 <= value <= (
                np.inf if field.name in ("stop_width", "max_minutes") else 1
            ):
                raise InputError(f"{field.name} must lie between 0 and 1, not {value:g}")
        if self.interactions and self.interactions != ("all",) and isinstance(self.interactions[0], str):
            raise InputError(f"interactions must be pairs: ({tuple(self.interactions)!r},)")
        for name in ("batch_size", "max_images", "sampled_examples"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, and is {getattr(self, name)}")
        for name in ("draws", "unit_size", "num_bootstrap", "max_values", "num_shuffles"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.level < 1:
            raise InputError(f"level must lie between 0 and 1, not {self.level}")
        if not self.metrics:
            raise InputError("name at least one metric; the first one ranks")
        for name in self.metrics:
            require_known(name, "metric", tuple(METRICS))
        if self.keep_images:
            require_known(self.keep_images, "kind of image", ("png", "jpeg"))
        require_known(self.interval, "interval", INTERVALS)
        require_known(self.alternative, "alternative", ALTERNATIVES)
