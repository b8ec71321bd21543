"""`explain`: the whole study in one call, from examples to a ranking with its checks, files and pictures."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from absl import logging

from cpi_jax import evaluate
from cpi_jax.captions import Tokenizer
from cpi_jax.classifiers.scorer import HostScorer, Scorer, to_logits
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.sampler import DiffusionParams, Generator
from cpi_jax.errors import InputError
from cpi_jax.report.plots import plot_all
from cpi_jax.store import Store, write_atomically
from cpi_jax.study import (
    Plan,
    Settings,
    captions_hash,
    make_plan,
    run,
    sampled_examples,
    score_images,
    variant_columns,
)

REFERENCE_PERMUTATIONS = 25  # DEPICT's published demo regenerates every example for each of 25 permutations a concept


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a study found.

    Attributes:
      importance: signed importances with intervals.
      table: the same as a tidy frame, with the oracle where the truth is planted and whether each check passed.
      checks: effective generation and independent permutation, one row per comparison.
      workdir: where the files are; None where nothing was kept.
    """

    importance: evaluate.Importance
    table: pd.DataFrame
    checks: pd.DataFrame
    workdir: Path | None


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
    call resumes a study that was stopped.

    Args:
      examples: captions in slots, labels, and the real images where there are any.
      generator: of the images, see `load_generator`.
      tokenizer: of its captions.
      target: the classifier to explain; one score per image.
      detector: scores every slot's concept; without it the independence check is left out.
      settings: of the study.
      planted: weights and intercept of the logistic model that made the labels, where they are known.
      workdir: where scores and results are kept; None for a folder that is removed afterwards.
      config: recorded in the files beside the results.

    Raises:
      InputError: for anything that a study cannot be made of; one sentence that names the mend.
    """
    if workdir is None:
        with tempfile.TemporaryDirectory() as folder:
            kwargs = {"planted": planted, "workdir": folder, "config": config}
            found = explain(
                examples, generator=generator, tokenizer=tokenizer, target=target, detector=detector,
                settings=settings, **kwargs,
            )  # fmt: skip
            return dataclasses.replace(found, workdir=None)
    started = time.monotonic()
    scorers = {"target": target} | ({"detector": detector} if detector is not None else {})
    hashes = {name: params_hash(f) for name, f in {"generator": generator, **scorers}.items()}
    plan = make_plan(examples, tokenizer, _caption_length(generator, tokenizer), settings)
    store = Store(workdir)
    store.claim(_identity(plan, settings, hashes))
    store.write_variants(variant_columns(plan, examples, settings))
    write_atomically(store.workdir / "config.json", json.dumps(dict(config or {}), indent=2, default=list))
    real = {}
    if examples.images is not None:
        for i in sampled_examples(plan):
            store.write_image(f"real_{plan.lookup.baseline[i]}", examples.images[i])
        real = {name: _logits(name, score_images(f, examples.images), f) for name, f in scorers.items()}

    tables = run(plan, examples, generator, scorers, store, settings)
    tables = {name: _logits(name, table, scorers[name]) for name, table in tables.items()}

    importance = evaluate.evaluate_importance(plan, examples.labels, tables["target"], settings)
    table = importance.to_frame()
    if planted is not None:
        oracle = np.asarray(evaluate.planted_importance(plan, examples, *planted, settings))
        table["planted_weight"] = np.tile([planted[0][examples.slot_names.index(n)] for n in plan.names], len(oracle))
        table["oracle"] = oracle.reshape(-1)
    checks = []
    truths = {"target": (("label",), examples.labels[:, None]), "detector": (examples.slot_names, examples.concepts)}
    for name in real:
        names, truth = truths[name]
        found = evaluate.evaluate_generation(plan, truth, real[name], tables[name])
        checks.append(evaluate.generation_table(names, name, found, settings.generation_margin))
    table["independent"] = "skipped"
    if detector is not None:
        independence = evaluate.evaluate_independence(plan, examples, tables["detector"])
        frame, verdicts = evaluate.independence_table(plan, examples, independence, settings)
        checks.append(frame)
        table["independent"] = table.concept.map(verdicts)
    checks = pd.concat(checks, ignore_index=True) if checks else pd.DataFrame(columns=["check"])

    _write_results(store, importance, table, checks, plan)
    _write_provenance(store, plan, examples, settings, hashes, time.monotonic() - started)
    plot_all(store.workdir)
    return Explanation(importance, table, checks, store.workdir)


def params_hash(function: Generator | Scorer | HostScorer) -> str:
    """A hash of a function's parameters and name; of a host function, its name.

    Raises:
      InputError: for a host function without a name.
    """
    if isinstance(function, HostScorer):
        if not function.name:
            raise InputError(
                "a host scorer needs a name, as in HostScorer(function, name='resnet50 v2'), to know its scores again"
            )
        return function.name
    digest = hashlib.sha256(function.name.encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(function.params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def _logits(name: str, scores: np.ndarray, scorer: Scorer | HostScorer) -> np.ndarray:
    """Checks what a scorer gave and turns it into logits."""
    if not np.isfinite(scores).all():
        i = int(np.argmax(~np.isfinite(scores).reshape(len(scores), -1).all(1)))
        raise InputError(f"the {name} gave a score that is not a finite number for real image {i}")
    if not scorer.probabilities and scores.min() >= 0 and scores.max() <= 1:
        logging.warning(
            "every score of the %s lies in [0, 1] and is read as a logit; if it is a probability, say probabilities=True",
            name,
        )
    return to_logits(scores, scorer)


def _caption_length(generator: Generator, tokenizer: Tokenizer) -> int:
    if isinstance(generator.params, DiffusionParams):
        return generator.params.unconditional.shape[0]
    return tokenizer.model_max_length


def _identity(plan: Plan, settings: Settings, hashes: Mapping[str, str]) -> dict[str, Any]:
    """What decides every score; draws, statistics and batch size do not."""
    return {
        "captions": captions_hash(plan.token_ids),
        "concepts": list(plan.names),
        "num_examples": len(plan.ids),
        "ids": hashlib.sha256(plan.ids.tobytes()).hexdigest()[:16],
        "seed": settings.seed,
        "unit_size": settings.unit_size,
        **{f"{name} weights or settings": value for name, value in hashes.items()},
    }


def _write_results(store: Store, importance, table: pd.DataFrame, checks: pd.DataFrame, plan: Plan) -> None:
    table.to_csv(store.workdir / "importance.csv", index=False)
    checks.to_csv(store.workdir / "checks.csv", index=False)
    content = {
        "concepts": list(importance.names),
        "metrics": list(importance.metrics),
        "per_draw": importance.per_draw.tolist(),
        "bootstrap_dropped": importance.dropped.tolist(),
        "skipped": list(plan.skipped),
        "table": table.to_dict("records"),
    }
    write_atomically(store.workdir / "importance.json", json.dumps(content, indent=2))


def _write_provenance(store, plan, examples, settings, hashes, seconds) -> None:
    packages = ("jax", "jaxlib", "flax", "diffusers", "transformers", "numpy", "tensorstore")
    path = store.workdir / "provenance.json"
    earlier = json.loads(path.read_text())["wall_seconds"] if path.exists() else []
    content = {
        "cpi_jax": version("cpi_jax"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "device": f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
        "seed": settings.seed,
        "hashes": dict(hashes),
        "wall_seconds": [*earlier, round(seconds, 1)],
        "draws": settings.draws,
        "images_generated": store.images_generated(),
        "images_reference_protocol": len(examples) * len(plan.names) * REFERENCE_PERMUTATIONS,
    }
    write_atomically(path, json.dumps(content, indent=2))
