"""`explain`: the whole study in one call, from examples to a ranking with its checks, files and pictures."""

from __future__ import annotations

import dataclasses
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
from cpi_jax.fingerprint import params_hash, study_identity
from cpi_jax.importance.record import Importance
from cpi_jax.importance.stopping import reason_to_stop
from cpi_jax.plan import Plan, make_plan, variant_columns
from cpi_jax.report.plots import plot_all
from cpi_jax.settings import Settings
from cpi_jax.store import Store, write_atomically
from cpi_jax.study import run, sampled_examples, score_images

REFERENCE_PERMUTATIONS = 25  # DEPICT's published demo regenerates every example for each of 25 permutations a concept


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
      workdir: where the files are; None where nothing was kept.
    """

    importance: Importance
    table: pd.DataFrame
    checks: pd.DataFrame
    interactions: Importance | None
    subgroups: Mapping[str, Importance]
    stopped: str | None
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
      target: the classifier to explain: one score an image, or one for each class or label.
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
    evaluate.check_settings(examples, settings)
    plan = make_plan(examples, tokenizer, _caption_length(generator, tokenizer), settings)
    store = Store(workdir)
    store.claim(study_identity(plan, settings, hashes))
    store.write_variants(variant_columns(plan, examples, settings))
    write_atomically(store.workdir / "config.json", json.dumps(dict(config or {}), indent=2, default=list))
    real = {}
    if examples.images is not None:
        for i in sampled_examples(plan):
            store.write_image(f"real_{plan.baseline[i]}", examples.images[i])
        real = {name: _logits(name, score_images(f, examples.images), f) for name, f in scorers.items()}

    tables, stopped = _run_until_settled(plan, examples, generator, scorers, store, settings)

    checks, verdicts = _check(plan, examples, real, tables, settings)
    found = evaluate.infer_study(plan, examples, tables["target"], settings)
    importance = evaluate.summarize_study(plan, examples, found, settings, verdicts)
    for warning in importance.warnings:
        logging.warning("%s", warning)
    pairs = evaluate.summarize_interactions(plan, examples, found, settings, verdicts)
    subgroups = evaluate.summarize_subgroups(plan, examples, tables["target"], settings, verdicts)
    table = importance.to_frame()
    if planted is not None:
        oracle = np.asarray(evaluate.planted_importance(plan, examples, *planted, settings))
        oracle = oracle[:, [plan.names.index(name) for name in importance.names]]
        weights = dict(zip(examples.slot_names, planted[0]))
        table["planted_weight"] = table.concept.map(weights)
        table["oracle"] = oracle.reshape(-1)

    explanation = Explanation(importance, table, checks, pairs, subgroups, stopped, store.workdir)
    _write_results(store, explanation, plan)
    num_draws = importance.per_draw.shape[1]
    _write_provenance(store, plan, examples, settings, num_draws, hashes, time.monotonic() - started)
    plot_all(store.workdir)
    return explanation


def _run_until_settled(plan, examples, generator, scorers, store, settings) -> tuple[dict[str, np.ndarray], str | None]:
    """The tables as logits, and why the draws ended early."""

    def tables_of(draws: int) -> dict[str, np.ndarray]:
        tables = run(plan, examples, generator, scorers, store, dataclasses.replace(settings, draws=draws))
        return {name: _logits(name, table, scorers[name]) for name, table in tables.items()}

    rule = {
        "width": settings.stop_width,
        "top_k": settings.stop_top_k,
        "share_of_draws": settings.stop_share_of_draws,
    }
    for draws in range(1, settings.draws) if any(rule.values()) else ():
        tables = tables_of(draws)
        found = evaluate.ranking_metric(plan, evaluate.infer_study(plan, examples, tables["target"], settings))
        reason = reason_to_stop(found, look=draws, num_looks=settings.draws, level=settings.level, **rule)
        if reason is not None:
            logging.info("stopped after %d of at most %d draws: %s", draws, settings.draws, reason)
            return tables, f"after {draws} of at most {settings.draws} draws: {reason}"
    return tables_of(settings.draws), None


def _check(plan, examples, real, tables, settings) -> tuple[pd.DataFrame, dict[str, str]]:
    """Both checks as a table, and each feature's verdict."""
    frames, independence = [], None
    num_outputs = tables["target"].shape[-1]
    truths = {"target": examples.labels, "detector": examples.concepts}
    names = {
        "target": ("label",) if num_outputs == 1 else tuple(f"class {c}" for c in range(num_outputs)),
        "detector": tuple(examples.slot_names),
    }
    for name, scores in real.items():
        generated = tables[name][:, np.asarray(plan.baseline)]
        found = evaluate.evaluate_generation(examples, truths[name], scores, generated, settings)
        frames.append(evaluate.generation_table(names[name], name, found, settings, truths[name]))
    generation = pd.concat(frames, ignore_index=True) if frames else None
    if "detector" in tables:
        found = evaluate.evaluate_independence(plan, examples, tables["detector"], settings)
        frame, independence = evaluate.independence_table(plan, examples, found, settings)
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["check"])
    return table, evaluate.join_verdicts(plan, independence, generation)


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


def _write_results(store: Store, found: Explanation, plan: Plan) -> None:
    workdir = store.workdir
    found.table.to_csv(workdir / "importance.csv", index=False)
    found.checks.to_csv(workdir / "checks.csv", index=False)
    if found.interactions is not None:
        found.interactions.to_frame().to_csv(workdir / "interactions.csv", index=False)
    if found.subgroups:
        frames = [record.to_frame().assign(subgroup=name) for name, record in found.subgroups.items()]
        pd.concat(frames, ignore_index=True).to_csv(workdir / "subgroups.csv", index=False)
    content = {
        "importance": json.loads(found.importance.to_json()),
        "interactions": None if found.interactions is None else json.loads(found.interactions.to_json()),
        "subgroups": {name: json.loads(record.to_json()) for name, record in found.subgroups.items()},
        "skipped": list(plan.skipped),
        "stopped": found.stopped,
    }
    write_atomically(workdir / "importance.json", json.dumps(content, indent=2))


def _write_provenance(store, plan, examples, settings, num_draws, hashes, seconds) -> None:
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
        "draws": num_draws,
        "images_generated": store.images_generated(),
        "images_reference_protocol": len(examples)
        * sum(part.role != "pair" for part in plan.parts)
        * REFERENCE_PERMUTATIONS,
    }
    write_atomically(path, json.dumps(content, indent=2))
