"""What anchoring keeps and what it gives, over settings of the sampler, on examples that the study does not use."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from cpi_jax.analysis.importances import infer_study, summarize_study
from cpi_jax.analysis.validity import check_detector
from cpi_jax.classifiers.named import DETECTOR
from cpi_jax.cli.from_config import examples_from_config, generator_from_config, scorers_from_config, settings_of
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.errors import InputError
from cpi_jax.generation.permuted_pixels import permuted_pixels, pixel_changes
from cpi_jax.generation.score_images import score_images
from cpi_jax.opening import open_study
from cpi_jax.plan.describe import stored_ids
from cpi_jax.settings import Settings
from cpi_jax.store.store import Store
from cpi_jax.study import Study

FEWEST = 8  # examples that say anything


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting of the sampler, tried.

    Attributes:
      skip: levels left out.
      guidance_scale: of the variants.
      follows: smallest AUROC of the detector for what a permuted caption says.
      shortfall: largest amount by which that lies below the detector's AUROC on real images.
      leak: largest change of a concept that was not permuted, in size.
      distance: root mean square difference of a regenerated picture to the real one, 0 to 255.
      beside: that of pictures with permuted captions to regenerated ones, beside the masks of what is permuted; NaN without
        masks.
      null: the concept whose importance is nearest to 0, to the first classifier.
      error: standard error of its importance.
    """

    skip: int
    guidance_scale: float
    follows: float
    shortfall: float
    leak: float
    distance: float
    beside: float
    null: str
    error: float


def try_settings(
    config: ConfigDict, skips: Sequence[int], scales: Sequence[float], num_examples: int, workdir: str | None
) -> Iterator[Trial]:
    """Makes the images of a few examples with each setting.

    Args:
      config: of the study.
      skips: to try.
      scales: of guidance, to try with each of them.
      num_examples: at most.
      workdir: the study's folder, whose examples are left out; None for none.

    Raises:
      InputError: for data without real images, a study without detector, or too few examples.
    """
    settings = dataclasses.replace(settings_of(config), draws=1)
    tried = {(skip, scale): _anchored(config, skip, scale) for skip in skips for scale in scales}
    examples = other_examples(examples_from_config(config), num_examples, workdir)
    scorers = scorers_from_config(config)
    if DETECTOR not in scorers:
        raise InputError(
            "name a detector (--config.detector.path): it says whether edited pictures follow their captions"
        )
    for (skip, scale), each in tried.items():
        generator, tokenizer = generator_from_config(each)
        with tempfile.TemporaryDirectory() as folder:
            study = open_study(
                examples, generator=generator, tokenizer=tokenizer, scorers=scorers, settings=settings,
                workdir=folder, readonly=True,
            )  # fmt: skip
            yield try_setting(study, settings, skip, scale)


def _anchored(config: ConfigDict, skip: int, scale: float) -> ConfigDict:
    """A study's configuration with another sampler.

    Raises:
      InputError: for a sampler that cannot be, before any is tried.
    """
    tried = ConfigDict(config.to_dict())
    tried.sampler.update({"anchor": "edit_friendly", "skip": skip, "guidance_scale": scale})
    SamplerSettings(**tried.sampler)
    return tried


def most_faithful(trials: Sequence[Trial], settings: Settings) -> Trial | None:
    """The trial whose pictures are closest to the real ones, of those that follow their captions and do not leak."""
    checks = settings.checks
    good = [t for t in trials if t.shortfall <= checks.generation_margin and t.leak <= checks.leak_margin]
    return min(good, key=lambda trial: trial.distance, default=None)


def other_examples(examples: Examples, num_examples: int, workdir: str | None) -> Examples:
    """At most so many examples that the study in a folder does not use.

    Raises:
      InputError: where too few are left.
    """
    which = np.arange(len(examples))
    if workdir and Path(workdir).exists() and (store := Store.open_existing(workdir)) is not None:
        used = set(store.variants()["example_id"].to_pylist())
        which = np.array([i for i, example in enumerate(stored_ids(examples.ids).to_pylist()) if example not in used])
    if len(which) < FEWEST:
        raise InputError(
            f"{len(which)} examples are left beside those of the study, and {FEWEST} are needed: name other data "
            "(--config.data.path, or data.start), so that the setting is not chosen by the examples that it is used for"
        )
    return examples.take(which[:num_examples])


def try_setting(study: Study, settings: Settings, skip: int, scale: float) -> Trial:
    """Makes all images of a small study, of which nothing is kept, and says what its anchoring keeps and gives."""
    images, scores = study.batch_scorer.render(np.arange(study.num_images))
    tables = {name: values[None] for name, values in scores.items()}
    pictures = study.examples.pixels()
    real = score_images(study.scorers, pictures)
    moved = check_detector(study.plan, study.examples, real[DETECTOR], tables[DETECTOR], settings).independence
    assert moved is not None  # there is a detector
    own, others = moved[moved.role == "permuted"], moved[moved.role == "other"]
    inferred = infer_study(study.plan, study.examples, tables[study.targets[0]], settings)
    found = summarize_study(study.plan, study.examples, inferred, settings)
    value, error = np.asarray(found.value)[0], np.asarray(found.error)[0]
    null = int(np.nanargmin(np.abs(value)))
    baseline = images[np.asarray(study.plan.baseline)].astype(np.float32)
    return Trial(
        skip=skip,
        guidance_scale=scale,
        follows=float(own.auroc_permuted_labels.min()),
        shortfall=float(own.shortfall.max()),
        leak=float(others.leak.abs().max()) if len(others) else 0.0,
        distance=float(np.sqrt(((baseline - pictures) ** 2).mean((1, 2, 3))).mean()),
        beside=_change_beside_masks(study, images),
        null=found.names[null],
        error=float(error[null]),
    )


def _change_beside_masks(study: Study, images: np.ndarray) -> float:
    if study.masks is None:
        return float("nan")
    variants, plan = np.arange(len(images)), study.plan
    masks, whole = permuted_pixels(plan, study.masks, variants)
    own = np.asarray(plan.baseline)[np.asarray(plan.variants.example)]
    _, beside = pixel_changes(images[whole], images[own[whole]], masks[whole])
    return float(np.nanmean(beside)) if np.isfinite(beside).any() else float("nan")
