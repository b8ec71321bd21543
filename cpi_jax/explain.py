"""`explain`: the whole study in one call, from examples to a ranking with its checks, files and pictures."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging

from cpi_jax.analysis import evaluate
from cpi_jax.analysis.early_stopping import EarlyEnd
from cpi_jax.analysis.real_images import check_real, say, score_real
from cpi_jax.analysis.results import Explanation, Outcome, conclude
from cpi_jax.captions.slots import Tokenizer
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles
from cpi_jax.diffusion.sampler import Generator
from cpi_jax.errors import InputError
from cpi_jax.generation.recheck import check_finished
from cpi_jax.plan.make_plan import warn_of_coverage
from cpi_jax.settings import Settings
from cpi_jax.store.store import Store
from cpi_jax.store.workers import Budget, Worker, hold
from cpi_jax.study import Study, generate, prepare


def explain(
    examples: Examples,
    *,
    generator: Generator,
    tokenizer: Tokenizer,
    target: Scorer | HostScorer,
    detector: Scorer | HostScorer | None = None,
    settings: Settings = Settings(),
    planted: tuple[Any, float] | None = None,
    workdir: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> Explanation:
    """Ranks the concepts that a classifier relies on (DEPICT, arXiv 2407.14509).

    Runs outside jit: it checks values, generates what `workdir` does not hold yet, and writes the results there. The same
    call resumes a study that was stopped. More draws, more concepts or more examples extend it; other data or another
    model in the same folder is refused.

    Args:
      examples: captions in slots, labels, and the real images where there are any.
      generator: of the images, see `load_generator`.
      tokenizer: of its captions.
      target: the classifier to explain: one score an image, or one for each class or label.
      detector: scores every slot's concept; without it the independence check is left out.
      settings: of the study.
      planted: weights and intercept of the logistic model that made the labels, where they are known.
      workdir: where scores and results are kept, a folder or gs://bucket/path; None for a temporary one.
      config: recorded in the files beside the results.

    Raises:
      InputError: for anything that a study cannot be made of, or where `max_images` or `max_minutes` end it before
        anything can be said; one sentence that names the mend.
    """
    if workdir is None:
        with tempfile.TemporaryDirectory() as folder:
            kwargs = {"planted": planted, "workdir": folder, "config": config}
            found = explain(
                examples, generator=generator, tokenizer=tokenizer, target=target, detector=detector,
                settings=settings, **kwargs,
            )  # fmt: skip
            return dataclasses.replace(found, workdir=None)
    scorers = {"target": target} | ({"detector": detector} if detector is not None else {})
    study = open_study(
        examples, generator=generator, tokenizer=tokenizer, scorers=scorers, settings=settings, workdir=workdir,
        config=config,
    )  # fmt: skip
    outcome = run_share(study, planted=planted)
    if outcome.explanation is None:
        raise InputError(outcome.message)
    for warning in outcome.explanation.importance.warnings:
        if warning not in outcome.said:
            logging.warning("%s", warning)
    return outcome.explanation


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
    """Plans a study and opens its folder; see `explain`. Nothing is generated; `readonly` does not change the folder."""
    evaluate.validate_settings(examples, settings)
    if isinstance(examples.images, ImageFiles) and not readonly:
        examples.images.validate()
    store = Store(workdir, readonly=readonly)
    study = prepare(examples, generator=generator, tokenizer=tokenizer, scorers=scorers, settings=settings, store=store)
    of_outputs = evaluate.validate_outputs(examples, study.num_outputs["target"], settings)
    study = dataclasses.replace(study, warnings=(*of_outputs, *warn_of_coverage(study.plan)))
    if not readonly:
        for warning in study.warnings:
            logging.warning("%s", warning)
        store.write("config.json", json.dumps(dict(config or {}), indent=2, default=list))
    return study


def run_share(
    study: Study,
    worker: Worker = Worker(),
    budget: Budget | None = None,
    planted: tuple[Any, float] | None = None,
) -> Outcome:
    """Generates a worker's share and, where the study is then complete or has no other worker, concludes it.

    Before that, the real images are scored (`check_real`), and a few rows of a folder that holds some are scored again
    (`check_finished`).
    """
    started, end = time.monotonic(), EarlyEnd(study)
    budget = budget or study.new_budget()
    for note in study.examples.notes:
        say(note)
    check_finished(study, end.most_draws())
    said = (*study.warnings, *check_real(study, score_real(study)))
    ended = generate(study, worker=worker, budget=budget, settled=end.decide, told=end.told)
    alone = worker.count == 1
    with hold(study.store, "results", wait=alone) as free:
        wanted = ("any" if alone else "whole") if free else "none"
        outcome = conclude(study, end, planted, ended, wanted=wanted, seconds=time.monotonic() - started)
    return dataclasses.replace(outcome, said=said)
