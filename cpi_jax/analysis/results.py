"""From what is on disk to results: importances, checks, files and pictures of a study, whole or as far as it is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cpi_jax.analysis.cases import validate_outputs
from cpi_jax.analysis.complete import CompletePart, find_complete_part
from cpi_jax.analysis.corrected import corrected_table
from cpi_jax.analysis.differences import difference_table
from cpi_jax.analysis.early_stopping import EarlyStopping
from cpi_jax.analysis.explanation import TABLES, Explanation, read_explanation, write_explanation
from cpi_jax.analysis.finished import are_there, digest_of, remember
from cpi_jax.analysis.gaps import gap_table, warn_of_gaps
from cpi_jax.analysis.importances import (
    infer_study,
    infer_subgroups,
    summarize_interactions,
    summarize_study,
    summarize_subgroups,
)
from cpi_jax.analysis.known_shares import share_table
from cpi_jax.analysis.provenance import describe_subject, write_provenance
from cpi_jax.analysis.real_images import describe_unscored, know, measure_real, score_real
from cpi_jax.analysis.samples import write_real_samples, write_samples
from cpi_jax.analysis.sign_tests import sign_test_table
from cpi_jax.analysis.single_pictures import flip_table, local_table, response_table
from cpi_jax.analysis.suspicious_scores import warn_of_pictures, warn_of_scores
from cpi_jax.analysis.true_pairs import describe_detected, read_pairs, score_pairs, true_scores
from cpi_jax.analysis.validity import check_study
from cpi_jax.classifiers.scorer import to_logits
from cpi_jax.errors import InputError
from cpi_jax.generation.batch_checks import one_score
from cpi_jax.report.text import describe_results
from cpi_jax.statistics.metrics import is_own
from cpi_jax.statistics.record import UNCHECKED
from cpi_jax.statistics.verdicts import worst
from cpi_jax.study import Study

_FILES = (
    "importance", "checks", "interactions", "subgroups", "ranking", "independence", "samples", "images/samples", "local",
    *TABLES,
)  # fmt: skip
_KINDS = {"csv", "json", "parquet", "png"}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How far a study is.

    Attributes:
      message: the same, in a sentence.
      whole: whether nothing is left to generate.
      explanation: of what is complete; None where it allows none, or it was asked for the whole alone.
    """

    message: str
    whole: bool
    explanation: Explanation | None = None


def build_results(
    study: Study, stopping: EarlyStopping, *, require_complete: bool = False, ended: str = "", seconds: float = 0.0
) -> Outcome:
    """Statistics, checks and pictures of what is complete: of all draws that are, or else of the examples in the first.

    They are written to the study's folder. Results that are there already, of the same scores and settings, are read.

    Args:
      study: read from its store.
      stopping: its rule.
      require_complete: whether there are results of a whole study alone.
      ended: why generating ended early, for the message.
      seconds: that this run has spent, for the record.

    Raises:
      InputError: where a scorer gave one score for all pictures, or numbers that cannot be.
    """
    with _opened(study, stopping, require_complete, ended, seconds) as (outcome, results_of):
        if results_of is None:
            return outcome
        explanation = results_of.read() or results_of.make()
    return dataclasses.replace(outcome, explanation=explanation)


def read_results(study: Study, stopping: EarlyStopping, *, seconds: float = 0.0) -> Outcome:
    """The results of a whole study that are in its folder already; without an explanation where there are none.

    Args:
      study: read from its store.
      stopping: its rule.
      seconds: that this run has spent, for the record.
    """
    if study.store.remote:
        return Outcome("", False)
    with _opened(study, stopping, require_complete=True, ended="", seconds=seconds) as (outcome, results_of):
        if results_of is None or (explanation := results_of.read()) is None:
            return outcome
    return dataclasses.replace(outcome, explanation=explanation)


def describe_progress(study: Study, stopping: EarlyStopping, ended: str = "") -> Outcome:
    """How far a study is, without its results; `ended` says why generating ended early."""
    num_draws = stopping.most_draws()
    total = num_draws * study.plan.num_variants
    left = total - int(study.scores.count_done(num_draws).sum())
    return Outcome(f"{total - left:,} of {total:,} images are done" + (f"; ended: {ended}" if ended else ""), not left)


@contextlib.contextmanager
def _opened(
    study: Study, stopping: EarlyStopping, require_complete: bool, ended: str, seconds: float
) -> Iterator[tuple[Outcome, _ResultsOf | None]]:
    """How far the study is, and the results of its complete part in its open folder."""
    outcome = describe_progress(study, stopping, ended)
    if require_complete and not outcome.whole:
        yield outcome, None
        return
    part, reason = find_complete_part(study, stopping.most_draws())
    if part is None:
        yield dataclasses.replace(outcome, message=f"{outcome.message}; {reason}"), None
        return
    with study.store.results() as folder:
        yield outcome, _ResultsOf(study, part, stopping.describe(), folder, seconds)


class _ResultsOf:
    """The results of the complete part of a study, in a folder.

    Args:
      study: which one.
      part: of it.
      stopped: why its draws ended early; None where they did not.
      folder: where its results are.
      seconds: that this run has spent, for the record.
    """

    def __init__(self, study: Study, part: CompletePart, stopped: str | None, folder: Path, seconds: float):
        self.study, self.part, self.stopped, self.folder, self.seconds = study, part, stopped, folder, seconds
        self.num_draws = len(part.scores["target"])
        self._alike = [one_score(name, table, "generated") for name, table in part.scores.items()]
        if any(self._alike) and not part.unfinished:
            raise InputError(next(filter(None, self._alike)))
        self._real = score_real(study)
        self._pairs = read_pairs(study.plan, study.examples, study.settings)
        self._of_pairs = score_pairs(study, self._pairs)
        # The digest has the metrics' names alone: one that is not the package's own may be another function next time.
        self._same = all(map(is_own, {"auroc", *study.settings.statistics.metrics}))
        scorers = [(name, scorer.task, scorer.probabilities) for name, scorer in study.scorers.items()]
        self._digest = digest_of(
            part.examples,
            (part.scores, self._real, self._of_pairs, {"rows": study.scores.rows}),
            self._pairs and self._pairs.rows.tolist(),
            study.settings,
            stopped,
            part.unfinished,
            study.warnings,
            study.hashes,
            describe_subject(study),
            scorers,
        )

    def read(self) -> Explanation | None:
        """What is in the folder, where it is of the same."""
        if not (self._same and are_there(self.folder, self._digest)):
            return None
        self._write_provenance()  # before it is read, since it may be damaged
        return read_explanation(self.folder)

    def make(self) -> Explanation:
        """Evaluates and writes everything."""
        study, part, settings = self.study, self.part, self.study.settings
        examples, plan = part.examples, part.plan
        unscored = describe_unscored(study, self._real)
        known = know(study, self._real, measure_real(study, self._real))
        real = {name: scores[part.rows] for name, scores in self._real.items()}
        logits, real_logits = self._as_logits(part.scores), self._as_logits(real)
        noted, doubted = describe_detected(study, self._pairs, self._of_pairs)
        warnings = [
            *study.warnings,
            *validate_outputs(examples, study.num_outputs["target"], settings),
            *unscored,
            *known.warnings,
            *self._warn_of(part.scores),
            *self._warn_of(real),
            *filter(None, self._alike),
            *warn_of_gaps(examples, settings),
            *warn_of_pictures(plan, examples, logits["target"], settings),
            *doubted,
        ]
        true, without = true_scores(study, self._pairs, self._of_pairs, real, "target")
        write_real_samples(study, self.folder)
        checks, verdicts = check_study(plan, examples, real_logits, logits, settings)
        if unscored:  # a failure that is not seen is no pass
            verdicts = {name: worst([verdict, UNCHECKED]) for name, verdict in verdicts.items()}
        inference = infer_study(plan, examples, logits["target"], settings)
        num_outputs = logits["target"].shape[-1]
        importance = summarize_study(plan, examples, inference, settings, verdicts, num_outputs=num_outputs)
        importance = dataclasses.replace(importance, warnings=tuple(dict.fromkeys((*warnings, *importance.warnings))))
        subgroups = infer_subgroups(plan, examples, logits["target"], settings)
        local, left_out = local_table(plan, examples, logits["target"], settings)
        explanation = Explanation(
            importance=importance,
            table=importance.to_frame(),
            checks=checks,
            interactions=summarize_interactions(plan, examples, inference, settings, verdicts),
            subgroups=summarize_subgroups(plan, examples, subgroups, settings, verdicts, num_outputs),
            stopped=self.stopped,
            unfinished=part.unfinished,
            workdir=None if study.store.remote else self.folder,
            notes=(*known.notes, *noted, *filter(None, [left_out, without])),
            local=local,
            flips=flip_table(plan, examples, logits["target"], settings),
            responses=response_table(plan, examples, logits["target"], settings),
            gaps=gap_table(plan, examples, logits["target"], settings, verdicts),
            differences=difference_table(plan, subgroups, settings, verdicts),
            shares=share_table(plan, examples, inference, logits["target"], settings, verdicts),
            sign_tests=sign_test_table(plan, examples, logits["target"], settings, verdicts),
            corrected=corrected_table(plan, examples, inference, logits["target"], true, settings, verdicts),
        )
        write_explanation(self.folder, explanation, plan.skipped)
        self._write_provenance()
        write_samples(study, part, real, self.folder)
        from cpi_jax.report.plots import plot_all  # only here: matplotlib takes a while to import

        figures = settings.output.figures
        plot_all(self.folder, "" if figures == "png" else figures)
        if self._same:
            remember(self.folder, self._digest, [f"{n}.{k}" for n in _FILES for k in _KINDS | {figures}])
        return dataclasses.replace(explanation, text=describe_results(self.folder))

    def _write_provenance(self) -> None:
        write_provenance(self.study, self.folder, len(self.part.examples), self.num_draws, self.seconds)

    def _as_logits(self, of_scorers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: to_logits(scores, self.study.scorers[name]) for name, scores in of_scorers.items()}

    def _warn_of(self, of_scorers: Mapping[str, np.ndarray]) -> Iterator[str]:
        for name, scores in of_scorers.items():
            yield from warn_of_scores(name, scores, self.study.scorers[name])
