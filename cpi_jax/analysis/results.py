"""From what is on disk to results: importances, checks, files and pictures of a study, whole or as far as it is."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from cpi_jax.analysis import evaluate
from cpi_jax.analysis.chance import warn_generated
from cpi_jax.analysis.early_stopping import EarlyEnd
from cpi_jax.analysis.finished import are_there, digest_of, remember
from cpi_jax.analysis.real_images import REAL, describe_unscored, measure_real, score_real
from cpi_jax.classifiers.scorer import HostScorer, Scorer, to_logits
from cpi_jax.classifiers.scores import MULTICLASS, are_probabilities
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import csv_text, read_csv
from cpi_jax.generation.batch_checks import one_score
from cpi_jax.plan.make_plan import Plan, describe_variants, plan_part
from cpi_jax.plan.variants import find_codes
from cpi_jax.report.text import files, results
from cpi_jax.settings import Settings
from cpi_jax.statistics.metrics import OWN_METRICS
from cpi_jax.statistics.record import UNCHECKED, Importance
from cpi_jax.statistics.verdicts import worst
from cpi_jax.store.store import encode_image, write_atomically
from cpi_jax.store.workers import read_tallies
from cpi_jax.study import Study, sampled_examples
from cpi_jax.wording import counted

REFERENCE_PERMUTATIONS = 25  # DEPICT's published demo regenerates every example for each of 25 permutations a concept
_RESULTS = ("importance", "checks", "interactions", "subgroups", "ranking", "independence", "samples", "images/samples")


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a study found.

    Attributes:
      importance: signed importances with intervals, p-values, ranks and verdicts.
      table: the same as a tidy frame, with the oracle where the truth is planted.
      checks: effective generation and independent permutation, one row per comparison.
      interactions: of the pairs that were asked for; None where none was.
      subgroups: importances within each content of the subgroup column.
      stopped: why the draws ended before the most that were allowed; None where they did not.
      unfinished: of how much of the study all this is; None where it is of all.
      workdir: where the files are; None where nothing was kept.
      text: what `summary` says, but for the files.
    """

    importance: Importance
    table: pd.DataFrame
    checks: pd.DataFrame
    interactions: Importance | None
    subgroups: Mapping[str, Importance]
    stopped: str | None
    unfinished: str | None
    workdir: Path | None
    text: str = ""

    def summary(self) -> str:
        """What launch/explain.py prints: the ranking, the checks, what is claimed, and where the files are."""
        return self.text if self.workdir is None else f"{self.text}\n{files(self.workdir)}"

    def __repr__(self) -> str:
        verdicts = collections.Counter(self.checks.get("verdict", ()))
        notes = {
            "checks": ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items()) or "none",
            "stopped": self.stopped,
            "unfinished": self.unfinished,
            "subgroups": ", ".join(self.subgroups),
            "workdir": self.workdir,
        }
        lines = [f"{name}: {note}" for name, note in notes.items() if note]
        return "\n".join([repr(self.importance), *lines, "summary() says the rest"])


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
      message: how far the study is, in a sentence.
      ended: why this run ended before its share was done; empty where it did not.
      whole: whether nothing is left to generate.
      explanation: of what is done; None where it allows none or other workers are still to come.
      said: what was warned of before anything was generated.
    """

    message: str
    ended: str
    whole: bool
    explanation: Explanation | None
    said: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Part:
    """What of a study is complete: these examples in these draws, with their own plan and scores."""

    examples: Examples
    plan: Plan
    scores: Mapping[str, np.ndarray]
    unfinished: str | None
    rows: np.ndarray  # the examples' places among all


def conclude(
    study: Study,
    end: EarlyEnd,
    planted: tuple[Any, float] | None = None,
    ended: str = "",
    *,
    wanted: str = "any",
    seconds: float = 0.0,
) -> Outcome:
    """Statistics, checks and pictures of what is complete: of all draws that are, or else of the examples in the first.

    Args:
      study: read from its store.
      end: of its draws.
      planted: see `explain`.
      ended: why generating ended early, for the message.
      wanted: "any" results, those of a "whole" study only, or "none".
      seconds: that this run has spent, for the record.
    """
    done = study.count_done()
    stopped = end.written()
    draws = end.most_draws()
    left = draws * study.plan.num_variants - int(done[:draws].sum())
    message = f"{int(done[:draws].sum()):,} of {draws * study.plan.num_variants:,} images are done"
    message += f"; ended: {ended}" if ended else ""
    if wanted == "none" or (left and wanted == "whole"):
        return Outcome(message, ended, not left, None)
    part, reason = _complete_part(study, done[:draws])
    if part is None:
        return Outcome(f"{message}; {reason}", ended, not left, None)
    why = f"after {draws} of at most {study.settings.draws} draws: {stopped[1]}" if stopped else None
    with study.store.results() as folder:
        explanation = _explain_part(study, part, planted, why, folder, seconds)
    return Outcome(message, ended, not left, explanation)


def _complete_part(study: Study, done: np.ndarray) -> tuple[_Part | None, str]:
    """The part that statistics can be made of, or why there is none."""
    whole = done == study.plan.num_variants
    draws = len(done) if whole.all() else int(np.argmin(whole))
    if draws:
        unfinished = None if whole.all() else f"{draws} of {counted(len(done), 'draw')}"
        everybody = np.arange(len(study.examples))
        return _Part(study.examples, study.plan, study.read_scores(draws), unfinished, everybody), ""
    if not done[0]:
        return None, "no example is complete yet"
    scores = study.read_scores(1)
    missing = np.any([np.isnan(table[0]).any(-1) for table in scores.values()], axis=0)
    complete = np.ones(len(study.examples), bool)
    complete[study.plan.variants.example[missing]] = False
    if complete.sum() < 2:
        return None, f"only {counted(complete.sum(), 'example')} of {len(complete):,} complete yet"
    examples = study.examples.take(np.flatnonzero(complete))
    try:
        evaluate.validate_settings(examples, study.settings)
        plan = plan_part(study.plan, examples, complete, study.settings)
    except InputError as error:
        return None, f"of the {len(examples)} examples that are complete nothing can be said: {error}"
    at = find_codes(plan.codes, study.plan.codes)
    if (at < 0).any() or missing[at].any():
        return None, "a slot with many values is shuffled over all examples, and no draw is complete yet"
    scores = {name: table[:, at] for name, table in scores.items()}
    unfinished = f"{len(examples)} of {len(study.examples)} examples, one draw"
    return _Part(examples, plan, scores, unfinished, np.flatnonzero(complete)), ""


def _explain_part(study: Study, part: _Part, planted, stopped, folder: Path, seconds: float) -> Explanation:
    examples, plan, settings = part.examples, part.plan, study.settings
    alike = [one_score(name, table, "generated") for name, table in part.scores.items()]
    if any(alike) and not part.unfinished:
        raise InputError(next(filter(None, alike)))
    raw = score_real(study)
    about = _subject(study), [(name, scorer.task, scorer.probabilities) for name, scorer in study.scorers.items()]
    tables = (part.scores, raw, {"rows": study.rows})
    digest = digest_of(
        examples, tables, settings, planted, stopped, part.unfinished, study.warnings, study.hashes, about
    )
    if set(settings.statistics.metrics) <= set(OWN_METRICS) and are_there(folder, digest):
        _write_provenance(study, folder, part, seconds)
        return _read_results(folder)
    warnings = [*study.warnings, *evaluate.validate_outputs(examples, study.num_outputs["target"], settings)]
    unscored = describe_unscored(study, raw)
    warnings += unscored
    warnings += [warning for measured in measure_real(study, raw) for warning in measured.warnings(REAL)]
    raw = {name: scores[part.rows] for name, scores in raw.items()}

    def as_logits(of_scorers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, scores in of_scorers.items():
            warnings.extend(_warn_of_scores(name, scores, study.scorers[name]))
        return {name: to_logits(scores, study.scorers[name]) for name, scores in of_scorers.items()}

    tables, real = as_logits(part.scores), as_logits(raw)
    warnings += [*filter(None, alike), *_warn_of_pictures(part, tables["target"], settings)]
    if examples.images is not None:
        for i in sampled_examples(study):
            path = folder / "images" / f"real_{study.rows[study.plan.baseline[i]]}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode_image(study.examples.images[i], "png"))
    checks, verdicts = evaluate.check_study(plan, examples, real, tables, settings)
    if unscored:  # a failure that is not seen is no pass
        verdicts = {name: worst([verdict, UNCHECKED]) for name, verdict in verdicts.items()}
    found = evaluate.infer_study(plan, examples, tables["target"], settings)
    importance = evaluate.summarize_study(
        plan, examples, found, settings, verdicts, num_outputs=tables["target"].shape[-1]
    )
    importance = importance.replace(warnings=tuple(dict.fromkeys((*warnings, *importance.warnings))))
    pairs = evaluate.summarize_interactions(plan, examples, found, settings, verdicts)
    subgroups = evaluate.summarize_subgroups(plan, examples, tables["target"], settings, verdicts)
    table = importance.to_frame()
    if planted is not None:
        oracle = np.asarray(evaluate.planted_importance(plan, examples, *planted, settings))
        oracle = oracle[:, [plan.names.index(name) for name in importance.names]]
        table["planted_weight"] = table.concept.map(dict(zip(examples.slot_names, planted[0])))
        table["oracle"] = oracle.reshape(-1)
    where = None if study.store.remote else folder
    explanation = Explanation(importance, table, checks, pairs, subgroups, stopped, part.unfinished, where)
    _write_results(folder, explanation, plan)
    _write_provenance(study, folder, part, seconds)
    _write_samples(study, part, raw, folder)
    from cpi_jax.report.plots import plot_all  # only here: matplotlib takes a while to import

    plot_all(folder, "" if settings.output.figures == "png" else settings.output.figures)
    remember(
        folder,
        digest,
        [f"{name}.{kind}" for name in _RESULTS for kind in ("csv", "json", "png", settings.output.figures)],
    )
    return dataclasses.replace(explanation, text=results(folder))


def _read_results(folder: Path) -> Explanation:
    """What `_explain_part` wrote."""
    content = json.loads((folder / "importance.json").read_text(encoding="utf-8"))
    pairs = content["interactions"]
    return Explanation(
        Importance.from_json(content["importance"]),
        read_csv(folder / "importance.csv"),
        read_csv(folder / "checks.csv"),
        None if pairs is None else Importance.from_json(pairs),
        {name: Importance.from_json(record) for name, record in content["subgroups"].items()},
        content["stopped"],
        content["unfinished"],
        folder,
        results(folder),
    )


def _warn_of_pictures(part: _Part, scores: np.ndarray, settings: Settings) -> list[str]:
    """What the target's scores [D, V, C] of generated pictures are reason to warn of."""
    own = np.asarray(part.plan.baseline)
    out = list(warn_generated(scores[0, own], part.examples, settings))
    if (scores == scores[:, own[np.asarray(part.plan.variants.example)]]).all():
        out.append(
            "no permuted caption changes any score of the target: see whether the generator reads its captions, and "
            "whether the target looks at the pictures"
        )
    return out


def _warn_of_scores(name: str, scores: np.ndarray, scorer: Scorer | HostScorer) -> Iterator[str]:
    """What a scorer's scores [N, C] or [D, V, C] are reason to warn of."""
    if scores.min() >= 0 and scores.max() <= 1:
        yield from _warn_of_range(name, scores, scorer)
    if name == "detector" and scores.ndim == 3:
        yes = (to_logits(scores, scorer) > 0).reshape(-1, scores.shape[-1])
        if blind := np.flatnonzero(yes.all(0) | ~yes.any(0)).tolist():
            yield (
                "the detector gives one decision (score > 0, or not) for all images about concept "
                f"{', '.join(map(str, blind))}, counted from 0: what leaks into it cannot be seen"
            )


def _warn_of_range(name: str, scores: np.ndarray, scorer: Scorer | HostScorer) -> Iterator[str]:
    """What scores look like that all lie in [0, 1]."""
    if np.isin(scores, (0, 1)).all():
        yield f"every score of the {name} is 0 or 1, as decisions are: nothing says how sure it is"
    elif scorer.probabilities:
        return
    elif are_probabilities(scores):
        yield (
            f"the scores of the {name} lie in [0, 1] and sum to 1 for every image, as probabilities do, and are read as "
            "logits: say probabilities=True"
        )
    elif scorer.task == MULTICLASS and scores.shape[-1] > 1:
        yield (
            f"every score of the {name} lies in [0, 1] and is read as a logit, as those of an image do not sum to 1: where "
            "each is a probability of its own, give log p - log(1 - p)"
        )
    else:
        yield (
            f"every score of the {name} lies in [0, 1] and is read as a logit, a yes for every image; if it is a "
            "probability, say probabilities=True"
        )


def _write_results(workdir: Path, found: Explanation, plan: Plan) -> None:
    tables = {"importance": found.table, "checks": found.checks}
    if found.interactions is not None:
        tables["interactions"] = found.interactions.to_frame()
    if found.subgroups:
        frames = [record.to_frame().assign(subgroup=name) for name, record in found.subgroups.items()]
        tables["subgroups"] = pd.concat(frames, ignore_index=True)
    for name, table in tables.items():
        write_atomically(workdir / f"{name}.csv", csv_text(table))
    content = {
        "importance": json.loads(found.importance.to_json()),
        "interactions": None if found.interactions is None else json.loads(found.interactions.to_json()),
        "subgroups": {name: json.loads(record.to_json()) for name, record in found.subgroups.items()},
        "skipped": list(plan.skipped),
        "stopped": found.stopped,
        "unfinished": found.unfinished,
    }
    write_atomically(workdir / "importance.json", json.dumps(content, indent=2))


def _write_samples(study: Study, part: _Part, real: Mapping[str, np.ndarray], folder: Path) -> None:
    """images/samples.csv: what each picture that is kept says, and the target's score of it, as it came."""
    sampled = set(map(str, np.asarray(study.examples.ids)[sampled_examples(study)].tolist()))
    kept = np.array([str(i) in sampled for i in np.asarray(part.examples.ids).tolist()], bool)
    example = np.asarray(part.plan.variants.example)
    variants = np.flatnonzero(kept[example])
    if not len(variants):
        return
    said = describe_variants(part.plan, part.examples, study.settings, variants).to_pandas()

    def columns(prefix: str, scores: np.ndarray) -> dict[str, np.ndarray]:
        several = scores.shape[1] > 1
        output = scores.argmax(1)
        return {
            f"{prefix}score": scores[np.arange(len(scores)), output],
            f"{prefix}output": np.where(several, output, np.nan),
        }

    of_real = real["target"][example[variants]] if "target" in real else np.full((len(variants), 1), np.nan, np.float32)
    table = pd.DataFrame(
        {
            "row": study.rows[find_codes(part.plan.codes[variants], study.plan.codes)],
            "example": example[variants],
            **{name: said[name] for name in ("feature", "value", "caption")},
            **columns("", part.scores["target"][0, variants]),
            **columns("real_", of_real),
        }
    )
    (folder / "images").mkdir(exist_ok=True)
    write_atomically(folder / "images" / "samples.csv", csv_text(table))


def _subject(study: Study) -> dict[str, str]:
    """What a study is of, in the words of its configuration; of one without, the classifier's own name."""
    config = json.loads(study.store.read("config.json") or "{}")
    target, data = config.get("target") or {}, config.get("data") or {}
    said = {
        "target": target.get("module") or target.get("path") or study.scorers["target"].name,
        "data": data.get("path") or data.get("source", ""),
        "note": config.get("note", ""),
    }
    return {name: str(value) for name, value in said.items()}


def _write_provenance(study: Study, folder: Path, part: _Part, seconds: float) -> None:
    packages = ("jax", "jaxlib", "flax", "transformers", "numpy", "tensorstore")
    done = int(study.count_done().sum())
    counted_by_workers = int(sum(tally["images"] for tally in read_tallies(study.store).values()))
    path = folder / "provenance.json"
    earlier = []
    # None yet, or a damaged one, which is written anew.
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        earlier = list(json.loads(path.read_text(encoding="utf-8"))["wall_seconds"])
    content = {
        "cpi_jax": version("cpi_jax"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "device": f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
        **_subject(study),
        "seed": study.settings.seed,
        "hashes": dict(study.hashes),
        "wall_seconds": [*earlier, round(seconds, 1)],
        "examples": len(part.examples),
        "draws": len(part.scores["target"]),
        # Workers count what they made, also what a damaged chunk made them make again; one that is killed between writing
        # and counting has counted too little.
        "images_generated": max(done, counted_by_workers),
        "images_reference_protocol": len(study.examples)
        * sum(part.role != "pair" for part in study.plan.features)
        * REFERENCE_PERMUTATIONS,
    }
    write_atomically(path, json.dumps(content, indent=2))
