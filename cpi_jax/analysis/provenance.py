"""provenance.json: with what a study was made, and what it took."""

from __future__ import annotations

import contextlib
import json
import platform
from importlib.metadata import version
from pathlib import Path

import jax

import cpi_jax
from cpi_jax.classifiers.named import TARGET
from cpi_jax.files.writing import write_atomically
from cpi_jax.store.workers import read_tallies
from cpi_jax.study import Study

REFERENCE_PERMUTATIONS = 25  # DEPICT's published demo regenerates every example for each of 25 permutations a concept
_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "tokenizers", "tensorstore")


def describe_subject(study: Study, name: str) -> dict[str, str]:
    """What a target's results are of, in the words of its configuration; of one without, the classifier's own name."""
    config = study.store.read_note("config.json") or {}
    data = config.get("data") or {}
    target = (config.get(TARGET) if name == TARGET else (config.get("classifiers") or {}).get(name)) or {}
    known_as = target.get("module") or target.get("path") or study.scorers[name].name
    subject = {
        "target": known_as if name == TARGET else f"{name} ({known_as})" if known_as else name,
        "data": data.get("path") or data.get("source", ""),
        "note": config.get("note", ""),
        "images": _describe_images(study),
    }
    return {name: str(value) for name, value in subject.items()}


def _describe_images(study: Study) -> str:
    """What the images are where they are not sampled from noise."""
    if study.generator.source_size is None:
        return ""
    within = ", within the masks of what is permuted" if study.settings.within_masks else ""
    return f"edits of the examples' real pictures{within}"


def write_provenance(study: Study, name: str, folder: Path, num_examples: int, num_draws: int, seconds: float) -> None:
    """Writes provenance.json.

    Args:
      study: which one.
      name: of the target.
      folder: of its results.
      num_examples, num_draws: that the results are of.
      seconds: that this run has spent.
    """
    done = int(study.scores.count_done(study.settings.draws).sum())
    counted_by_workers = int(sum(tally["images"] for tally in read_tallies(study.store).values()))
    path = folder / "provenance.json"
    earlier = []
    # None yet, or a damaged one, which is written anew.
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        earlier = list(json.loads(path.read_text(encoding="utf-8"))["wall_seconds"])
    content = {
        "cpi_jax": cpi_jax.__version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "device": f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
        **describe_subject(study, name),
        "seed": study.settings.seed,
        "hashes": dict(study.hashes),
        "wall_seconds": [*earlier, round(seconds, 1)],
        "examples": num_examples,
        "draws": num_draws,
        # Workers count what they made, also what a damaged chunk made them make again; one that is killed between writing
        # and counting has counted too little.
        "images_generated": max(done, counted_by_workers),
        "images_reference_protocol": len(study.examples)
        * sum(part.role != "pair" for part in study.plan.features)
        * REFERENCE_PERMUTATIONS,
    }
    write_atomically(path, json.dumps(content, indent=2))
