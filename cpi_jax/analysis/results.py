"""From what is on disk to results: importances, checks, files and pictures of a study, whole or as far as it is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from cpi_jax.analysis.comparison import Comparison, read_comparison, remove_comparison, write_comparison
from cpi_jax.analysis.complete import find_complete_part
from cpi_jax.analysis.differences import target_difference_table
from cpi_jax.analysis.early_stopping import EarlyStopping
from cpi_jax.analysis.explanation import Explanation
from cpi_jax.analysis.finished import are_there, digest_of, forget, remember
from cpi_jax.analysis.target_results import Shared, TargetResults
from cpi_jax.classifiers.named import TARGET
from cpi_jax.report.page.page import NAME as REPORT
from cpi_jax.report.page.page import write_page
from cpi_jax.study import Study

FOLDER = "results"  # of several targets: comparison.json, what they differ in, and a folder for each


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How far a study is.

    Attributes:
      message: the same, in a sentence.
      whole: whether nothing is left to generate.
      explanation: of what is complete, a `Comparison` where the study has named several targets; None where it allows none,
        or it was asked for the whole alone.
    """

    message: str
    whole: bool
    explanation: Explanation | Comparison | None = None


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
        explanation = results_of.read() if results_of.are_there else results_of.make()
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
        if results_of is None or not results_of.are_there:
            return outcome
        return dataclasses.replace(outcome, explanation=results_of.read())


def describe_progress(study: Study, stopping: EarlyStopping, ended: str = "") -> Outcome:
    """How far a study is, without its results; `ended` says why generating ended early."""
    num_draws = stopping.most_draws()
    total = num_draws * study.plan.num_variants
    left = total - int(study.scores.count_done(num_draws).sum())
    return Outcome(f"{total - left:,} of {total:,} images are done" + (f"; ended: {ended}" if ended else ""), not left)


@contextlib.contextmanager
def _opened(
    study: Study, stopping: EarlyStopping, require_complete: bool, ended: str, seconds: float
) -> Iterator[tuple[Outcome, _Results | None]]:
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
        yield outcome, _Results(Shared(study, part, stopping.describe(), seconds), folder)


class _Results:
    """The results of the complete part of a study: of its target in the study's folder, or of several in folders of theirs.

    Args:
      shared: by all targets.
      folder: of the study.
    """

    def __init__(self, shared: Shared, folder: Path):
        names, self._shared, self._folder = shared.study.targets, shared, folder / FOLDER
        self._several = names != (TARGET,)
        self._targets = {
            name: TargetResults(shared, name, self._folder / name if self._several else folder) for name in names
        }
        digests = [(name, results.digest) for name, results in self._targets.items()]
        self._digest = digest_of(shared.part.examples, (), digests)

    @property
    def are_there(self) -> bool:
        """Whether all of them are."""
        compared = not self._several or are_there(self._folder, self._digest)
        return compared and all(results.are_there for results in self._targets.values())

    def read(self) -> Explanation | Comparison:
        """What the folders hold."""
        explanations = {name: results.read() for name, results in self._targets.items()}
        return read_comparison(self._folder, explanations) if self._several else explanations[TARGET]

    def make(self) -> Explanation | Comparison:
        """Evaluates and writes everything but what is there already."""
        remove_comparison(self._folder)  # of several, to which a study that has one now may return
        explanations = {
            name: results.read() if results.are_there else results.make() for name, results in self._targets.items()
        }
        if not self._several:
            return explanations[TARGET]
        study, plan = self._shared.study, self._shared.part.plan
        records = {name: own.importance for name, own in explanations.items()}
        verdicts = {name: dict(zip(record.names, record.verdicts)) for name, record in records.items()}
        inferences = {name: results.inference for name, results in self._targets.items()}
        differences = target_difference_table(plan, inferences, study.settings, verdicts)
        write_comparison(self._folder, list(explanations), differences)
        from cpi_jax.report.plots import write_target_differences  # only here: matplotlib is slow to import

        write_page({name: results.folder for name, results in self._targets.items()}, self._folder.parent / REPORT)
        figures = study.settings.output.figures
        write_target_differences(self._folder, "" if figures == "png" else figures)
        if self._shared.reusable:
            kinds = ("png", figures)
            remember(
                self._folder,
                self._digest,
                [
                    "comparison.json",
                    "target_differences.csv",
                    f"../{REPORT}",
                    *(f"target_differences.{kind}" for kind in kinds),
                ],
            )
        else:
            forget(self._folder)
        workdir = None if study.store.remote else self._folder.parent
        return dataclasses.replace(read_comparison(self._folder, explanations), workdir=workdir)
