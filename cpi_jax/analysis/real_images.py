"""The real images, scored before anything is generated: is the classifier better than chance on them?

A classifier whose classes are swapped, or a detector whose outputs are in another order, would otherwise be found out
after all generation, or never. The scores are kept in the store, so that no run scores the same images twice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Mapping

import numpy as np
from absl import logging

from cpi_jax.analysis.captions_alone import describe_captions_alone
from cpi_jax.analysis.chance import Measured, measure
from cpi_jax.classifiers.named import DETECTOR, TARGET
from cpi_jax.classifiers.recorded import RecordedScorer
from cpi_jax.classifiers.scorer import to_logits
from cpi_jax.data.images import ImageFiles
from cpi_jax.errors import InputError
from cpi_jax.generation.batch_checks import one_score
from cpi_jax.generation.recheck import read_sources
from cpi_jax.generation.score_images import score_images
from cpi_jax.store.identity import source_hash
from cpi_jax.store.workers import hold
from cpi_jax.study import Study
from cpi_jax.wording import scorer_called

REAL = "the real images"
_LOOKED_AT = 16  # images of a source of data that has no files


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of one target's study before anything is generated; its results say it again.

    Attributes:
      notes: how the data were read, what the scorers are worth on the real images, and what the captions alone tell.
      warnings: what of it speaks against the results.
    """

    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def check_real(study: Study, scores: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Says what is known, before anything is generated (`know`), and returns what of it are warnings.

    Raises:
      InputError: for a score that is none, one score for all images, or a scorer that is worse than chance unless
        `settings.checks.allow_worse_than_chance`.
    """
    measured = measure_real(study, scores)
    known = [know(study, name, scores, measured) for name in study.targets]
    for note in dict.fromkeys(note for of_target in known for note in of_target.notes):
        say(note)
    if (worse := [m for m in measured.values() if m.worse]) and not study.settings.checks.allow_worse_than_chance:
        raise InputError(f"{worse[0].say_worse(REAL)}, or go on with --config.checks.allow_worse_than_chance=True")
    warnings = tuple(dict.fromkeys(warning for of_target in known for warning in of_target.warnings))
    for warning in warnings:
        logging.warning("%s", warning)
    return warnings


def know(study: Study, name: str, scores: Mapping[str, np.ndarray], measured: Mapping[str, Measured]) -> Known:
    """What the data, a target and the detector on the real images, and the captions alone tell.

    Args:
      study: of the images.
      name: of the target.
      scores: of `score_real`; empty without images.
      measured: of `measure_real`.
    """
    own = [measured[which] for which in (name, DETECTOR) if which in measured]
    notes, warnings = list(study.examples.notes), [warning for m in own for warning in m.warnings(REAL)]
    if study.examples.images is None:
        notes.append(
            f"no real images: whether the {scorer_called(name)} is better than chance cannot be checked before pictures "
            "are generated"
        )
    notes += [f"on {len(study.examples):,} real images {m.describe()}" for m in own]
    logits = to_logits(scores[name], study.scorers[name]) if name in scores else None
    called = "classifier" if name == TARGET else scorer_called(name)
    line, given_away = describe_captions_alone(study.examples, study.settings, logits, called)
    return Known((*notes, *filter(None, [line])), (*warnings, *given_away))


def measure_real(study: Study, scores: Mapping[str, np.ndarray]) -> dict[str, Measured]:
    """What each scorer is worth on the real images, by name.

    Raises:
      InputError: for a score that is none, or one score for all images.
    """
    out = {}
    for name, of_images in scores.items():
        if (bad := ~np.isfinite(of_images).all(-1)).any():
            who = study.examples.ids[int(np.argmax(bad))]
            raise InputError(
                f"the {scorer_called(name)} gave a score that is not a finite number for the real image of example {who}"
            )
        if sentence := one_score(name, of_images, "real"):
            raise InputError(sentence)
        logits = to_logits(of_images, study.scorers[name])
        out[name] = measure(logits, name, study.examples, study.settings)
    return out


def score_real(study: Study) -> dict[str, np.ndarray]:
    """Scores [N, C] of the real images by scorer; empty without images. See `score_pictures`."""
    images = study.examples.images
    return {} if images is None else score_pictures(study, images, study.examples.ids)


def score_pictures(
    study: Study, images: np.ndarray | ImageFiles, ids: np.ndarray, kind: str = ""
) -> dict[str, np.ndarray]:
    """Scores [N, C] of pictures that were not generated by scorer, from the store where they are there.

    A `RecordedScorer` scores nothing: where its scores are not in the store, they are left out (`describe_unscored`).

    Args:
      study: whose scorers; the scores are kept unless its store is readonly.
      images: N pictures.
      ids: what tells them apart.
      kind: of pictures, for the files' names; empty for the examples' own.
    """
    store, names = study.store, list(study.scorers)
    of_images = identity_of(images, ids)
    # A report reads the scores of the source that scored the generated pictures, whatever is here now.
    sources = (read_sources(store) or {}) if store.readonly else {}
    files = {}
    for name in names:
        key = f"{study.hashes[name]} {sources.get(name) or source_hash(study.scorers[name])} {of_images}"
        files[name] = f"real_scores/{f'{name}-{kind}'.rstrip('-')}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"

    def read() -> dict[str, np.ndarray]:
        kept = {name: _read_array(study, name, file, len(images)) for name, file in files.items()}
        return {name: scores for name, scores in kept.items() if scores is not None}

    def score(kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        able = {n: study.scorers[n] for n in names if not isinstance(study.scorers[n], RecordedScorer)}
        return kept | score_images({n: able[n] for n in able if n not in kept}, images)

    scores = read()
    if len(scores) < len(names) and store.readonly:
        scores = score(scores)
    elif len(scores) < len(names):
        with hold(store, "real_images", wait=True):  # of several workers one scores them
            before = read()
            scores = score(before)
            for name in scores.keys() - before.keys():
                store.write_array(files[name], scores[name])
    return {name: scores[name] for name in names if name in scores}


def describe_unscored(study: Study, name: str, scores: Mapping[str, np.ndarray]) -> list[str]:
    """What of a target's and the detector's work on the real images is not known, since their code is not run."""
    if study.examples.images is None:
        return []
    return [
        f"the {scorer_called(which)}'s scores of these real images are not in the study's folder, so whether it does as "
        f"well on generated ones (effective generation) is not checked: --trust would run {scorer.module} on them"
        for which in (name, DETECTOR)
        if which not in scores and isinstance(scorer := study.scorers.get(which), RecordedScorer)
    ]


def _read_array(study: Study, name: str, file: str, number: int) -> np.ndarray | None:
    """Scores [N, C] in a file of the store; None where there is none, or none that can be read, with a warning."""
    scores = study.store.read_array(file)
    shape = (number, study.num_outputs[name])
    return scores if scores is not None and scores.shape == shape and scores.dtype == np.float32 else None


def identity_of(images: np.ndarray | ImageFiles, ids: np.ndarray) -> str:
    """A hash of ids and images: of pixels in memory; of files by size and time; of other sources by a few pictures."""
    digest = hashlib.sha256(repr(np.asarray(ids).tolist()).encode())
    if isinstance(images, ImageFiles):
        digest.update(f"{images.size} {len(images)}".encode())
        if images.root is not None:
            for row in images.rows.tolist():
                path = images.root / images.files[row]
                digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
        else:
            for i in np.unique(np.linspace(0, len(images) - 1, _LOOKED_AT).astype(int)).tolist():
                digest.update(images[i].tobytes())
    else:
        digest.update(repr(images.shape).encode() + np.ascontiguousarray(images).tobytes())
    return digest.hexdigest()


def say(line: str) -> None:
    """Says something that is no warning, before the progress bar."""
    print(line, file=sys.stderr, flush=True)
