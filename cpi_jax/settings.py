"""What a study does."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from cpi_jax.errors import InputError, require_known
from cpi_jax.validation.ranges import RANGES

INTERVALS = ("jackknife", "bootstrap")
ALTERNATIVES = ("greater", "two-sided")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a study does; every field has a working default. "Column" means one of `Examples.columns`.

    What numbers can be is said in cpi_jax/validation/ranges.py.

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
      figures: "png", or "svg" or "pdf" for figures of that kind besides.
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
      allow_worse_than_chance: whether a study goes on whose target or detector is worse than chance on the real images.
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
    figures: str = "png"
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
    allow_worse_than_chance: bool = False

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in RANGES:
                object.__setattr__(self, field.name, RANGES[field.name].check(field.name, value))
            elif isinstance(field.default, bool):
                if not isinstance(value, (bool, np.bool_)):
                    raise InputError(f"{field.name} must be True or False, not {value!r}")
            elif isinstance(field.default, str):
                if not isinstance(value, str):
                    raise InputError(f"{field.name} must be text, not {value!r}")
            elif field.name == "groups" or (field.name == "interactions" and value not in (("all",), ["all"])):
                object.__setattr__(self, field.name, _tuples(field.name, value))
            else:
                object.__setattr__(self, field.name, _names(field.name, value))
        if not self.metrics:
            raise InputError("name at least one metric; the first one ranks")
        if self.keep_images:
            require_known(self.keep_images, "kind of image", ("png", "jpeg"))
        require_known(self.interval, "interval", INTERVALS)
        require_known(self.alternative, "alternative", ALTERNATIVES)
        require_known(self.figures, "kind of figures", ("png", "svg", "pdf"))


def _tuples(field: str, value: Any) -> tuple[tuple[str, ...], ...]:
    if isinstance(value, (tuple, list)) and value and all(isinstance(name, str) for name in value):
        raise InputError(f"{field} must be {'pairs' if field == 'interactions' else 'tuples'}: ({tuple(value)!r},)")
    if not isinstance(value, (tuple, list)):
        raise InputError(f"{field} must be a tuple of tuples of names, not {value!r}")
    return tuple(_names(f"each of {field}", names) for names in value)


def _names(field: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, (tuple, list)):
        example = f": ({value!r},)" if isinstance(value, str) else " of names"
        raise InputError(f"{field} must be a tuple{example}, not {value!r}")
    if wrong := [name for name in value if not isinstance(name, str)]:
        raise InputError(f"{field} must hold names, not {wrong[0]!r}")
    return tuple(value)
