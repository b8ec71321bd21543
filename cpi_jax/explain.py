"""`explain`: the whole study in one call, from examples to a ranking with its checks, files and pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

from absl import logging

from cpi_jax.analysis.comparison import Comparison
from cpi_jax.analysis.early_stopping import EarlyStopping
from cpi_jax.analysis.explanation import Explanation
from cpi_jax.analysis.real_images import check_real, score_real
from cpi_jax.analysis.results import Outcome, build_results, describe_progress, read_results
from cpi_jax.captions.encoding import Tokenizer
from cpi_jax.classifiers.named import name_scorers
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.generator import Generator
from cpi_jax.errors import InputError
from cpi_jax.generation.recheck import recheck_finished
from cpi_jax.opening import open_study
from cpi_jax.settings import Settings
from cpi_jax.store.workers import Budget, Worker, hold
from cpi_jax.study import Study


@overload
def explain(
    examples: Examples,
    *,
    generator: Generator,
    tokenizer: Tokenizer,
    target: Scorer | HostScorer,
    detector: Scorer | HostScorer | None = None,
    settings: Settings = Settings(),
    workdir: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> Explanation: ...


@overload
def explain(
    examples: Examples,
    *,
    generator: Generator,
    tokenizer: Tokenizer,
    targets: Mapping[str, Scorer | HostScorer],
    detector: Scorer | HostScorer | None = None,
    settings: Settings = Settings(),
    workdir: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> Comparison: ...


def explain(
    examples: Examples,
    *,
    generator: Generator,
    tokenizer: Tokenizer,
    target: Scorer | HostScorer | None = None,
    targets: Mapping[str, Scorer | HostScorer] | None = None,
    detector: Scorer | HostScorer | None = None,
    settings: Settings = Settings(),
    workdir: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> Explanation | Comparison:
    """Ranks the concepts that a classifier relies on (DEPICT, arXiv 2407.14509).

    Runs outside jit: it checks values, generates what `workdir` does not hold yet, and writes the results there. The same
    call resumes a study that was stopped. More draws, more concepts or more examples extend it; other data or another
    model in the same folder is refused.

    Args:
      examples: captions in slots, labels, and the real images where there are any.
      generator: of the images, see `load_generator`.
      tokenizer: of its captions.
      target: the classifier to explain: one score an image, or one for each class or label.
      targets: in its place several by name, such as {"resnet": ..., "vit": ...}: all score the same pictures, and the
        differences of their importances come with intervals. One that is added later has its scores made then, from the
        same pictures, made again; those of the others stay.
      detector: scores every slot's concept; without it the independence check is left out.
      settings: of the study.
      workdir: where scores and results are kept, a folder or gs://bucket/path; None for a temporary one.
      config: recorded in the files beside the results.

    Returns:
      An `Explanation`; with `targets` a `Comparison`, which holds one for each.

    Raises:
      InputError: for anything that a study cannot be made of, or where `max_images` or `max_minutes` end it before
        anything can be said; one sentence that names the mend.

    Example:
      A painter stands for the generator: a dog is a bright left half, a cat a bright right one. The classifier looks left.

      >>> import tempfile
      >>> from types import SimpleNamespace
      >>> words = {",": 3, "dog": 4, "cat": 5, "nothing": 6}
      >>> tokenizer = SimpleNamespace(
      ...     bos_token_id=0, eos_token_id=1, pad_token_id=1, unk_token_id=2, model_max_length=8,
      ...     encode=lambda text, add_special_tokens: [words.get(w, 2) for w in text.replace(",", " ,").split()],
      ... )
      >>> def paint(params, token_ids, keys):  # images [B, 8, 2, 3]
      ...     halves = jnp.stack([(token_ids == words[w]).any(1) for w in ("dog", "cat")], axis=1)
      ...     return jnp.ones((1, 8, 1, 3)) * halves[:, None, :, None]
      >>> def look_left(params, images):  # a logit an image, [B, 1]
      ...     return images[:, :, :1].mean((1, 2, 3))[:, None] - 0.5
      >>> concepts = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 10, np.int8)
      >>> examples = cpi_jax.Examples(
      ...     ids=np.arange(40),
      ...     slots=[("dog" if d else "", "cat" if c else "") for d, c in concepts],
      ...     slot_names=("dog", "cat"),
      ...     concepts=concepts,
      ...     labels=concepts[:, 0].astype(np.int32),
      ... )
      >>> settings = cpi_jax.Settings(draws=1, empty="nothing", statistics=cpi_jax.Statistics(metrics=("accuracy",)))
      >>> how = {"generator": cpi_jax.Generator(None, paint), "tokenizer": tokenizer, "settings": settings}
      >>> folder, left = tempfile.mkdtemp(), cpi_jax.Scorer(None, look_left)
      >>> explanation = cpi_jax.explain(examples, target=left, workdir=folder, **how)
      >>> explanation.table[["concept", "importance"]].round(2)
        concept  importance
      0     dog        0.51
      1     cat        0.00
      >>> cpi_jax.read_study(folder).text == explanation.text  # at any time later
      True

      Another classifier looks right, where the cats are; both see the same pictures.

      >>> def look_right(params, images):
      ...     return images[:, :, 1:].mean((1, 2, 3))[:, None] - 0.5
      >>> both = {"left": left, "right": cpi_jax.Scorer(None, look_right, name="right")}
      >>> compared = cpi_jax.explain(examples, targets=both, **how)
      >>> compared.differences[["classifier", "against", "concept", "difference", "differs"]].round(2)
        classifier against concept  difference  differs
      0      right    left     dog       -0.51     True
      1      right    left     cat        0.00    False
    """
    scorers = name_scorers(target, targets, detector)
    with tempfile.TemporaryDirectory() if workdir is None else contextlib.nullcontext(workdir) as folder:
        study = open_study(
            examples, generator=generator, tokenizer=tokenizer, scorers=scorers, settings=settings, workdir=folder,
            config=config,
        )  # fmt: skip
        run = run_share(study)
    explanation = run.outcome.explanation
    if explanation is None:
        raise InputError(run.outcome.message)
    for warning in explanation.warnings:
        if warning not in run.warnings:
            logging.warning("%s", warning)
    return explanation.without_folder() if workdir is None else explanation


@dataclasses.dataclass(frozen=True)
class Run:
    """How a run ended.

    Attributes:
      outcome: how far the study is, and what it says.
      ended: why this run ended before its share was done; empty where it did not.
      warnings: what was said before anything was generated.
    """

    outcome: Outcome
    ended: str = ""
    warnings: tuple[str, ...] = ()


def run_share(study: Study, worker: Worker = Worker(), budget: Budget | None = None) -> Run:
    """Generates a worker's share and, where the study is then complete or has no other worker, makes its results.

    Before that, a few rows of a folder that holds some are scored again (`recheck_finished`), and the real images are
    scored (`check_real`). A finished study whose results are written is read, and nothing of it is evaluated.
    """
    started, stopping = time.monotonic(), EarlyStopping(study)
    budget = budget or study.new_budget()
    stopping.make_current()
    recheck_finished(study.batch_scorer, study.scores, stopping.most_draws())
    real = score_real(study)
    with hold(study.store, "results") as free:
        if free:
            outcome = read_results(study, stopping, seconds=time.monotonic() - started)
            if outcome.explanation is not None:
                return Run(outcome, warnings=study.warnings)
    warnings = (*study.warnings, *check_real(study, real))
    ended = study.generate(worker=worker, budget=budget, stopping=stopping)
    alone = worker.count == 1
    with hold(study.store, "results", wait=alone) as free:
        seconds = time.monotonic() - started
        if free:
            outcome = build_results(study, stopping, require_complete=not alone, ended=ended, seconds=seconds)
        else:  # another worker makes them
            outcome = describe_progress(study, stopping, ended)
    return Run(outcome, ended, warnings)
