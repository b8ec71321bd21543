"""The one door to a study: its data are validated, its captions planned, and its place in the store is found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from cpi_jax.analysis.cases import validate_metrics, validate_numbers_of_outputs, validate_outputs, validate_settings
from cpi_jax.analysis.true_pairs import read_pairs
from cpi_jax.captions.encoding import Tokenizer
from cpi_jax.classifiers.named import DETECTOR, validate_comparable, validate_told_apart
from cpi_jax.classifiers.scorer import HostScorer, Scorer, pick_outputs, read_as, read_as_labels
from cpi_jax.classifiers.scores import MULTILABEL
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles, at_size_of_generated, batches_of
from cpi_jax.data.masks import Masks, fit_masks, has_masks_of, validate_masked
from cpi_jax.diffusion.generator import Generator, find_caption_length, validate_within_masks
from cpi_jax.errors import InputError
from cpi_jax.generation.outputs import count_outputs
from cpi_jax.plan.coverage import warn_of_coverage
from cpi_jax.plan.describe import describe_variants, separator_of, stored_ids
from cpi_jax.plan.hashes import hash_texts
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.store.identity import params_hash, study_identity
from cpi_jax.store.in_use import note_in_use
from cpi_jax.store.plan_scores import PlanScores
from cpi_jax.store.store import Store
from cpi_jax.study import Study
from cpi_jax.wording import scorer_called


def open_study(
    examples: Examples,
    *,
    generator: Generator,
    tokenizer: Tokenizer,
    scorers: Mapping[str, Scorer | HostScorer],
    settings: Settings,
    workdir: str | Path,
    config: Mapping[str, Any] | None = None,
    readonly: bool = False,
) -> Study:
    """Plans a study and opens its folder: a new one, one to resume, or one to extend. Nothing is generated.

    Args:
      examples: captions in slots, labels, and the real images where there are any.
      generator: of the images.
      tokenizer: of its captions.
      scorers: the target, called "target", or several by their names (`name_scorers`); and "detector" where there is one.
      settings: what the study does.
      workdir: its folder, or gs://bucket/path.
      config: recorded in the folder.
      readonly: the folder is left as it is.

    Raises:
      InputError: for anything that a study cannot be made of, or a folder that holds another study; names the difference.
    """
    validate_settings(examples, settings)
    masks = _ready_to_edit(examples, generator, settings)
    if isinstance(examples.images, ImageFiles) and not readonly:
        examples.images.validate()
    store = Store(workdir, readonly=readonly)
    if DETECTOR in scorers:
        scorers = {**scorers, DETECTOR: pick_outputs(scorers[DETECTOR], examples.concept_names)}
    hashes = {name: params_hash(f) for name, f in {"generator": generator, **scorers}.items()}
    targets = [name for name in scorers if name != DETECTOR]
    validate_told_apart({name: hashes[name] for name in targets})
    identity = study_identity(examples.slot_names, settings, hashes["generator"])
    tables = {name: hashes[name] for name in scorers}
    if readonly or store.has_locks:  # before anything that takes time
        store.claim(identity, tables)
    pictures = _hash_pictures(examples, generator.source_size, masks) if generator.source_size else None
    plan = make_plan(examples, tokenizer, find_caption_length(generator, tokenizer), settings, pictures)
    num_outputs, size = count_outputs(generator, scorers, plan.slots.length, settings.compute.batch_size)
    if examples.images is not None:
        examples = dataclasses.replace(examples, images=at_size_of_generated(examples.images, *size))
    if masks is None and has_masks_of(examples, size):  # to say what changes beside them
        masks = fit_masks(examples, settings.mask_dilation, size)
    validate_comparable({name: num_outputs[name] for name in targets})
    validate_numbers_of_outputs(examples, num_outputs)
    scorers = {
        name: read_as(scorer, MULTILABEL)
        if name == DETECTOR
        else read_as_labels(scorer, np.asarray(examples.labels), num_outputs[name], scorer_called(name))
        for name, scorer in scorers.items()
    }
    count = num_outputs[targets[0]]
    validate_metrics(examples, count, settings)
    pairs = read_pairs(plan, examples, settings)
    if not readonly and not store.has_locks:  # there, nothing that is claimed gives way: not before all is validated
        store.claim(identity, tables)
    scores = PlanScores(store, _place(plan, examples, settings, store, num_outputs), identity)
    warnings = (*validate_outputs(examples, count, settings), *warn_of_coverage(plan))
    warnings += pairs.warnings if pairs else ()
    if not readonly:
        for warning in warnings:
            logging.warning("%s", warning)
        note_in_use(store, scorers)
        store.write("config.json", json.dumps(dict(config or {}), indent=2, default=list))
    return Study(examples, plan, scores, generator, scorers, settings, hashes, num_outputs, warnings, masks)


def _ready_to_edit(examples: Examples, generator: Generator, settings: Settings) -> Masks | None:
    """The masks within which images are edits of real pictures; None where they may be edited anywhere.

    Raises:
      InputError: for pictures or masks that are needed and not there, or do not fit.
    """
    if generator.source_size is None:
        if settings.within_masks:
            raise InputError("within_masks is of images that are edits of real pictures: set sampler.anchor")
        return None
    if settings.within_masks:
        validate_within_masks(generator)
    if examples.images is None:
        raise InputError(
            f"the generator edits each example's real picture, and example {examples.ids[0]} has none: name the images "
            "(data.image), or leave sampler.anchor empty"
        )
    height, width = generator.source_size
    given = examples.images.size if isinstance(examples.images, ImageFiles) else 0
    if given and (given if isinstance(given, tuple) else (given, given)) != (height, width):
        raise InputError(
            f"the generator edits pictures of {width} x {height} pixels, and data.image_size is {given}: leave it out"
        )
    if not settings.within_masks:
        return None
    masks = fit_masks(examples, settings.mask_dilation, (height, width))
    validate_masked(examples, masks)
    return masks


def _hash_pictures(examples: Examples, size: tuple[int, int], masks: Masks | None) -> np.ndarray:
    """A hash of each picture that images are anchored in, with its masks where they matter, uint64 [N]."""
    assert examples.images is not None  # `_ready_to_edit`
    batches = batches_of(at_size_of_generated(examples.images, *size), 64)
    codes = np.concatenate([hash_texts(picture.tobytes() for picture in batch) for batch in batches])
    if masks is not None:
        codes += hash_texts(np.packbits(masks[n]).tobytes() for n in range(len(masks)))
    return codes


def _place(
    plan: Plan,
    examples: Examples,
    settings: Settings,
    store: Store,
    num_outputs: Mapping[str, int],
) -> np.ndarray:
    """The rows of the plan's variants in the store."""
    _refuse_other_captions(plan, examples, store, separator_of(examples, settings))
    rows = store.place(plan.codes, lambda new: describe_variants(plan, examples, settings, new))
    store.open_tables(num_outputs, settings.draws, settings.compute.unit_size)
    return rows


def _refuse_other_captions(plan: Plan, examples: Examples, store: Store, separator: str) -> None:
    """An example that the store knows must still have the caption, and the picture, that it has there."""
    known = store.variants()
    if not known.num_rows:
        return
    own = [row for row, feature in enumerate(known["feature"].to_pylist()) if not feature]
    there = dict(zip(known["example_id"].take(own).to_pylist(), own))
    codes, texts = np.asarray(known["code"]), known["caption"]
    for i, (example, row) in enumerate(zip(stored_ids(examples.ids).to_pylist(), np.asarray(plan.baseline))):
        if example in there and codes[there[example]] != plan.codes[row]:
            there_too = known["picture"][there[example]].as_py() if "picture" in known.column_names else None
            if plan.pictures is not None and there_too != plan.pictures[i]:
                raise InputError(
                    f"{store.location} holds another study: the picture of example {example} that its images are edits of "
                    "was exchanged, or its masks were (within_masks, mask_dilation). Choose another --workdir"
                )
            caption = separator.join(text for text in examples.slots[i] if text)
            raise InputError(
                f"{store.location} holds another study: the caption of example {example} is "
                f"{str(texts[there[example]])!r} there and {caption!r} here (or other tokens). Choose another --workdir"
            )
