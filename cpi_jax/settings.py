"""What a study does. The fields of a configuration (configs/) are these, so that each is said once.

Each field says what it decides: the "scores" (then another value is another study), the "results" that follow from the
scores, or "nothing" of either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cpi_jax.errors import InputError, require_known
from cpi_jax.validation.choices import CHOICES
from cpi_jax.validation.ranges import RANGES


def _field(default: Any, decides: str = "results") -> Any:
    return dataclasses.field(default=default, metadata={"decides": decides})


@dataclasses.dataclass(frozen=True)
class _Validated:
    """Numbers, texts and names are validated when a record is made."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _validated(field, getattr(self, field.name)))


@dataclasses.dataclass(frozen=True)
class Statistics(_Validated):
    """What is computed from the scores. "Column" means one of `Examples.columns`.

    Attributes:
      metrics: names in `cpi_jax.METRICS`; the first one ranks.
      weights: column of sample weights; empty for equal ones.
      cluster: column of what was sampled (patients, scenes); empty for examples.
      subgroups: column by whose contents the importances are repeated; empty for none.
      gaps: column or concept between whose contents gaps of the target are measured (of two classes), and which concepts
        they come from; empty for none.
      known_shares: whether importances are also given as shares of the metric's distance from chance.
      local: whether the changes of every single picture's score and losses are written, too (local.parquet).
      num_bootstrap: bootstrap repeats.
      level: of the intervals.
      interval: "jackknife" (default: BUILD_NOTES.md has the measured coverage) or "bootstrap".
      alternative: of the p-values, "greater" (important) or "two-sided" (important or harmful).
      stop_width: draws end once every interval is narrower; 0 for never.
      stop_top_k: draws end once the k most important concepts are settled; 0 for never.
      stop_share_of_draws: draws end once they make up less than this share of the variance; 0 for never.

    Example:
      >>> statistics = cpi_jax.Statistics(metrics=("accuracy",), subgroups="sex")
      >>> statistics.metrics, statistics.interval
      (('accuracy',), 'jackknife')
    """

    metrics: tuple[str, ...] = _field(("auroc", "accuracy", "neg_log_loss"))
    weights: str = _field("")
    cluster: str = _field("")
    subgroups: str = _field("")
    gaps: str = _field("")
    known_shares: bool = _field(False)
    local: bool = _field(True)
    num_bootstrap: int = _field(1000)
    level: float = _field(0.95)
    interval: str = _field("jackknife")
    alternative: str = _field("greater")
    stop_width: float = _field(0.0)
    stop_top_k: int = _field(0)
    stop_share_of_draws: float = _field(0.0)

    def __post_init__(self):
        super().__post_init__()
        if not self.metrics:
            raise InputError("name at least one metric; the first one ranks")


@dataclasses.dataclass(frozen=True)
class Checks(_Validated):
    """How the validity checks judge.

    Attributes:
      generation_margin: largest difference of AUROC between real and generated images, for own captions either way, and
        for permuted captions how much less the detector may see of the permuted concept than on real images.
      leak_margin: largest AUROC change of a concept that is not permuted.
      allow_worse_than_chance: whether a study goes on whose target or detector is worse than chance on the real images.

    Example:
      >>> cpi_jax.Checks(leak_margin=0.05)
      Checks(generation_margin=0.03, leak_margin=0.05, allow_worse_than_chance=False)
    """

    generation_margin: float = _field(0.03)
    leak_margin: float = _field(0.03)
    allow_worse_than_chance: bool = _field(False, decides="nothing")


@dataclasses.dataclass(frozen=True)
class Compute(_Validated):
    """How the images are made, and for how long.

    Attributes:
      batch_size: images that each local device generates at once, so that scores are the same on any number of devices;
        0: as many as make it faster.
      unit_size: rows of the score table written at once.
      max_images: a run ends after so many, and the same command goes on; 0 for no limit.
      max_minutes: likewise.
      profile: whether a few batches are recorded for `jax.profiler` (folder profile/).

    Example:
      >>> cpi_jax.Compute(max_minutes=90).batch_size
      32
    """

    batch_size: int = _field(32, decides="nothing")
    unit_size: int = _field(128, decides="scores")  # the grid of their tables
    max_images: int = _field(0, decides="nothing")
    max_minutes: float = _field(0.0, decides="nothing")
    profile: bool = _field(False, decides="nothing")


@dataclasses.dataclass(frozen=True)
class Output(_Validated):
    """What is kept besides scores and results.

    Attributes:
      sampled_examples: examples whose images of the first draw are kept for the report.
      keep_images: "png" or "jpeg" keeps all images, in tar files; empty for none.
      figures: "png", or "svg" or "pdf" for figures of that kind besides.
      report_images: which pictures the page report.html holds: "none", "generated" ones, or "all", real ones too. Edits of
        real pictures are generated ones: where nobody may see the real ones, choose "none".

    Example:
      >>> cpi_jax.Output(figures="svg").sampled_examples
      6
    """

    sampled_examples: int = _field(6, decides="nothing")
    keep_images: str = _field("", decides="nothing")
    figures: str = _field("png", decides="nothing")
    report_images: str = _field("all", decides="nothing")


@dataclasses.dataclass(frozen=True)
class Settings(_Validated):
    """What a study does; every field has a working default, and what numbers can be is said in validation/ranges.py.

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
      within_masks: whether images that are anchored in real pictures differ from them within the masks of what is permuted
        alone (`Examples.masks`); where an object is to be added there is no mask, and its image may differ anywhere.
      mask_dilation: pixels by which masks are made larger.
      true_pairs: table of true counterfactual pictures of a random subset of the examples (launch/draw_pairs.py), by which
        importances are corrected; empty for none.
      separator: said between two concepts.
      empty: said when there is no concept.
      statistics, checks, compute, output: see there.

    Example:
      >>> settings = Settings(draws=4, statistics=Statistics(metrics=("auroc",)))
      >>> settings.statistics.level
      0.95
    """

    seed: int = _field(0, decides="scores")
    draws: int = _field(2)
    concepts: tuple[str, ...] = _field(())
    groups: tuple[tuple[str, ...], ...] = _field(())
    interactions: tuple[tuple[str, str], ...] | tuple[str] = _field(())
    condition_on: tuple[str, ...] = _field(())
    control: str = _field("", decides="scores")
    max_values: int = _field(8)
    num_shuffles: int = _field(25)
    max_interactions: int = _field(64)
    within_masks: bool = _field(False)  # enters the codes of the rows, as pictures do
    mask_dilation: int = _field(4)
    true_pairs: str = _field("")
    separator: str = _field(", ", decides="scores")
    empty: str = _field("an empty scene", decides="scores")
    statistics: Statistics = dataclasses.field(default_factory=Statistics)
    checks: Checks = dataclasses.field(default_factory=Checks)
    compute: Compute = dataclasses.field(default_factory=Compute)
    output: Output = dataclasses.field(default_factory=Output)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Settings:
        """Settings of plain values, those of the parts in mappings of their own, as a configuration has them.

        Raises:
          InputError: for a field that there is not, or a value that it cannot have.
        """
        parts = {name: _make(kind, name, fields[name]) for name, kind in _PARTS.items() if name in fields}
        return _make(cls, "the settings", {**fields, **parts})

    def deciding(self, *what: str) -> dict[str, Any]:
        """The fields that decide "scores", "results" or "nothing", by name, nested ones as "compute.unit_size"."""
        return {name: value for name, value, decides in _fields_of(self) if decides in what}


_PARTS = {"statistics": Statistics, "checks": Checks, "compute": Compute, "output": Output}


def _make(kind: type, name: str, fields: Any) -> Any:
    if not isinstance(fields, Mapping):
        raise InputError(f"{name} must hold fields, not {fields!r}")
    for key in fields:
        require_known(key, f"field of {name}", tuple(field.name for field in dataclasses.fields(kind)))
    return kind(**fields)


def _fields_of(record: Any, at: str = "") -> Iterator[tuple[str, Any, str]]:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from _fields_of(value, f"{at}{field.name}.")
        else:
            yield f"{at}{field.name}", value, field.metadata["decides"]


def _validated(field: dataclasses.Field, value: Any) -> Any:
    """A field's value as it is kept: a number of its range, a text, a tuple of names, or a nested record."""
    name, default = field.name, field.default
    if name in _PARTS:
        if not isinstance(value, _PARTS[name]):
            raise InputError(f"{name} must be a {_PARTS[name].__name__}, not {value!r}")
        return value
    if name in RANGES:
        return RANGES[name].validate(name, value)
    if isinstance(default, bool):
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"{name} must be True or False, not {value!r}")
    elif isinstance(default, str):
        if not isinstance(value, str):
            raise InputError(f"{name} must be text, not {value!r}")
        if name in CHOICES and value != default:
            require_known(value, *CHOICES[name])
    elif name == "groups" or (name == "interactions" and value not in (("all",), ["all"])):
        return _tuples(name, value)
    else:
        return _names(name, value)
    return value


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
