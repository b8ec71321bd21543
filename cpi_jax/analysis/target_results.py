"""The results of one target: importances, checks, files and pictures, made of what is complete."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cpi_jax.analysis.cases import validate_outputs
from cpi_jax.analysis.chance import Measured
from cpi_jax.analysis.complete import CompletePart
from cpi_jax.analysis.corrected import corrected_table
from cpi_jax.analysis.differences import difference_table
from cpi_jax.analysis.explanation import TABLES, Explanation, read_explanation, write_explanation
from cpi_jax.analysis.finished import are_there, digest_of, forget, remember
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
from cpi_jax.analysis.shown_pictures import write_shown
from cpi_jax.analysis.sign_tests import sign_test_table
from cpi_jax.analysis.single_pictures import flip_table, local_table, response_table
from cpi_jax.analysis.suspicious_scores import warn_of_pictures, warn_of_scores
from cpi_jax.analysis.true_pairs import describe_detected, read_pairs, score_pairs, true_scores
from cpi_jax.analysis.validity import DetectorChecks, check_detector, check_target
from cpi_jax.classifiers.named import DETECTOR
from cpi_jax.classifiers.scorer import to_logits
from cpi_jax.errors import InputError
from cpi_jax.generation.batch_checks import one_score
from cpi_jax.report.page.page import NAME as REPORT
from cpi_jax.report.page.page import write_page
from cpi_jax.report.text import describe_results
from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.metrics import is_own
from cpi_jax.statistics.record import UNCHECKED
from cpi_jax.statistics.verdicts import worst
from cpi_jax.study import Study

_FILES = (
    "importance", "checks", "interactions", "subgroups", "ranking", "independence", "samples", "images/samples",
    "images/shown", "local", "report", *TABLES,
)  # fmt: skip
_KINDS = {"csv", "json", "parquet", "png", "html"}


class Shared:
    """What the results of all targets of a study have in common.

    Args:
      study: which one.
      part: of it that is complete.
      stopped: why its draws ended early; None where they did not.
      seconds: that this run has spent, for the record.

    Attributes:
      real: scores [N, C] of the study's real images by scorer, as far as they are known.
      pairs: true counterfactual pictures of some examples; None where none are given.
      of_pairs: scores [R, C] of these pictures by scorer, as far as they are known.
      alike: what to say of a scorer that gives all pictures one score, by name; empty where it does not.
      reusable: whether results can be known again: a metric that is not the package's own may be another next time.

    Raises:
      InputError: where a scorer gave one score for all pictures of a whole study.
    """

    def __init__(self, study: Study, part: CompletePart, stopped: str | None, seconds: float):
        self.study, self.part, self.stopped, self.seconds = study, part, stopped, seconds
        self.alike = {name: one_score(name, table, "generated") for name, table in part.scores.items()}
        if any(self.alike.values()) and not part.unfinished:
            raise InputError(next(filter(None, self.alike.values())))
        self.real = score_real(study)
        self.pairs = read_pairs(study.plan, study.examples, study.settings)
        self.of_pairs = score_pairs(study, self.pairs)
        self.reusable = all(map(is_own, {"auroc", *study.settings.statistics.metrics}))

    @functools.cached_property
    def measured(self) -> Mapping[str, Measured]:
        """What each scorer is worth on the real images."""
        return measure_real(self.study, self.real)

    @functools.cached_property
    def detector(self) -> DetectorChecks:
        """The checks by the detector."""
        part = self.part
        if DETECTOR not in self.study.scorers:
            return DetectorChecks()
        logits = self.logits(DETECTOR, part.scores[DETECTOR])
        return check_detector(part.plan, part.examples, self.real_logits(DETECTOR), logits, self.study.settings)

    def real_logits(self, name: str) -> np.ndarray | None:
        """Logits [N, C] of the real images of the complete part; None where they are not known."""
        return self.logits(name, self.real[name][self.part.rows]) if name in self.real else None

    def logits(self, name: str, scores: np.ndarray) -> np.ndarray:
        """Scores of a scorer as logits."""
        return to_logits(scores, self.study.scorers[name])


class TargetResults:
    """The results of one target, in a folder.

    Args:
      shared: by all targets of its study.
      name: of the target.
      folder: where its results are.

    Attributes:
      digest: of what they follow from.
    """

    def __init__(self, shared: Shared, name: str, folder: Path):
        self.shared, self.name, self.folder = shared, name, folder
        study, part = shared.study, shared.part
        self._own = [which for which in (name, DETECTOR) if which in study.scorers]
        scorers = [(which, study.scorers[which].task, study.scorers[which].probabilities) for which in self._own]
        scores, real, of_pairs = (
            {n: tables[n] for n in self._own if n in tables} for tables in (part.scores, shared.real, shared.of_pairs)
        )
        self.digest = digest_of(
            part.examples,
            (scores, real, of_pairs, {"rows": study.scores.rows, **_masks_of_samples(study)}),
            shared.pairs and shared.pairs.rows.tolist(),
            study.settings,
            shared.stopped,
            part.unfinished,
            study.warnings,
            [study.hashes[which] for which in ("generator", *self._own)],
            describe_subject(study, name),
            scorers,
        )

    @property
    def are_there(self) -> bool:
        """Whether the folder holds them already."""
        return self.shared.reusable and are_there(self.folder, self.digest)

    @functools.cached_property
    def inference(self) -> Inference:
        """Importances of all features, with repeats and influences."""
        part = self.shared.part
        return infer_study(part.plan, part.examples, self._logits, self.shared.study.settings)

    def read(self) -> Explanation:
        """What is in the folder."""
        self._write_provenance()  # before it is read, since it may be damaged
        return read_explanation(self.folder)

    def make(self) -> Explanation:
        """Evaluates and writes everything."""
        shared, name, logits = self.shared, self.name, self._logits
        study, part, settings = shared.study, shared.part, shared.study.settings
        examples, plan, num_outputs = part.examples, part.plan, logits.shape[-1]
        unscored = describe_unscored(study, name, shared.real)
        known = know(study, name, shared.real, shared.measured)
        noted, doubted = describe_detected(study, shared.pairs, shared.of_pairs)
        real = {which: of_images[part.rows] for which, of_images in shared.real.items()}
        true, without = true_scores(study, shared.pairs, shared.of_pairs, real, name)
        warnings = [
            *study.warnings,
            *validate_outputs(examples, num_outputs, settings),
            *unscored,
            *known.warnings,
            *self._warn_of(part.scores),
            *self._warn_of(real),
            *filter(None, [shared.alike[which] for which in self._own]),
            *warn_of_gaps(examples, settings),
            *warn_of_pictures(name, plan, examples, logits, settings),
            *doubted,
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_real_samples(study, self.folder)
        checks, verdicts = check_target(plan, examples, shared.real_logits(name), logits, settings, shared.detector)
        if unscored:  # a failure that is not seen is no pass
            verdicts = {feature: worst([verdict, UNCHECKED]) for feature, verdict in verdicts.items()}
        importance = summarize_study(plan, examples, self.inference, settings, verdicts, num_outputs=num_outputs)
        importance = dataclasses.replace(importance, warnings=tuple(dict.fromkeys((*warnings, *importance.warnings))))
        subgroups = infer_subgroups(plan, examples, logits, settings)
        local, left_out = local_table(plan, examples, logits, settings)
        explanation = Explanation(
            importance=importance,
            table=importance.to_frame(),
            checks=checks,
            interactions=summarize_interactions(plan, examples, self.inference, settings, verdicts),
            subgroups=summarize_subgroups(plan, examples, subgroups, settings, verdicts, num_outputs),
            stopped=shared.stopped,
            unfinished=part.unfinished,
            workdir=None if study.store.remote else self.folder,
            notes=(*known.notes, *noted, *filter(None, [left_out, without])),
            local=local,
            flips=flip_table(plan, examples, logits, settings),
            responses=response_table(plan, examples, logits, settings),
            gaps=gap_table(plan, examples, logits, settings, verdicts),
            differences=difference_table(plan, subgroups, settings, verdicts),
            shares=share_table(plan, examples, self.inference, logits, settings, verdicts),
            sign_tests=sign_test_table(plan, examples, logits, settings, verdicts),
            corrected=corrected_table(plan, examples, self.inference, logits, true, settings, verdicts),
        )
        write_explanation(self.folder, explanation, plan.skipped)
        self._write_provenance()
        write_samples(study, name, part, real.get(name), self.folder)
        logits_of = {which: shared.logits(which, part.scores[which]) for which in self._own}
        real_of = {which: of for which in self._own if (of := shared.real_logits(which)) is not None}
        write_shown(study, name, part, logits_of, real_of, self.folder)
        from cpi_jax.report.plots import write_figures  # only here: matplotlib takes a while to import

        figures = settings.output.figures
        write_figures(self.folder, "" if figures == "png" else figures)
        write_page({"": self.folder}, self.folder / REPORT)
        if shared.reusable:
            remember(self.folder, self.digest, [f"{n}.{k}" for n in _FILES for k in _KINDS | {figures}])
        else:
            forget(self.folder)
        return dataclasses.replace(explanation, text=describe_results(self.folder))

    @functools.cached_property
    def _logits(self) -> np.ndarray:
        return self.shared.logits(self.name, self.shared.part.scores[self.name])

    def _write_provenance(self) -> None:
        part, num_draws = self.shared.part, len(self.shared.part.scores[self.name])
        write_provenance(self.shared.study, self.name, self.folder, len(part.examples), num_draws, self.shared.seconds)

    def _warn_of(self, of_scorers: Mapping[str, np.ndarray]) -> Iterator[str]:
        for name in self._own:
            if name in of_scorers:
                yield from warn_of_scores(name, of_scorers[name], self.shared.study.scorers[name])


def _masks_of_samples(study: Study) -> dict[str, np.ndarray]:
    """The masks by which kept pictures are measured (`write_samples`)."""
    if study.masks is None or not (sampled := study.sampled_examples):
        return {}
    return {"masks": np.stack([study.masks[i] for i in sampled])}
