"""The run: which of two classifiers takes a shortcut? Both on the same images, beside exact counterfactuals."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import jax
import pandas as pd
from ml_collections import ConfigDict

from benchmarks.shortcut.counterfactuals import counterfactual_scores
from benchmarks.shortcut.heat import attributions, background_first
from benchmarks.shortcut.pairs import correct_by_subsets
from benchmarks.shortcut.photographs import SLOTS, SOURCE, make_fashion
from benchmarks.shortcut.record import CLASSIFIERS, Findings
from benchmarks.shortcut.sheets import make_sheets
from benchmarks.shortcut.tables import checks_of, headline_of, importances, side_by_side
from benchmarks.timed import run_timed
from cpi_jax.analysis.comparison import Comparison
from cpi_jax.analysis.early_stopping import EarlyStopping
from cpi_jax.analysis.provenance import REFERENCE_PERMUTATIONS
from cpi_jax.analysis.results import build_results
from cpi_jax.classifiers.scorer import load_resnet
from cpi_jax.cli.config import STUDY_FIELDS
from cpi_jax.cli.from_config import study_from_config
from cpi_jax.errors import InputError


def compare(config: ConfigDict, workdir: str | Path) -> Findings:
    """Runs the study; images that an earlier run left in `workdir` are not generated again.

    Args:
      config: see benchmarks/shortcut/config.py.
      workdir: where the scores are kept.

    Raises:
      InputError: for anything that a study cannot be made of, or a workdir that holds another study.
    """
    started = time.monotonic()
    if config.data.source != SOURCE:
        raise InputError(f"counterfactuals can be made of the source of data {SOURCE}, not of {config.data.source!r}")
    if set(config.classifiers) != set(CLASSIFIERS):
        raise InputError(f"the page is about the classifiers {' and '.join(CLASSIFIERS)}: leave config.classifiers so")
    study = study_from_config(ConfigDict({name: config[name] for name in STUDY_FIELDS}), workdir)
    networks = {name: load_resnet(config.classifiers[name].path) for name in CLASSIFIERS}  # which heat maps can split
    if study.plan.names != SLOTS:
        raise InputError(
            f"both classifiers are compared by {', '.join(SLOTS)}, and what can be permuted here is "
            f"{', '.join(study.plan.names)}: leave concepts and groups empty, and take more examples"
        )
    seconds, earlier = run_timed(study, "generating")
    if (done := int(study.scores.count_done(study.settings.draws).sum())) < study.num_images:
        raise InputError(
            f"{done:,} of {study.num_images:,} images are done, and the page needs all: run the same command again"
        )
    found = build_results(study, EarlyStopping(study)).explanation
    assert isinstance(found, Comparison)
    importance = {name: found.explanations[name].importance for name in CLASSIFIERS}
    exact = counterfactual_scores(study, config.data, networks)
    oracle = importances(study, exact)
    checks = {name: checks_of(name, found.explanations[name].checks) for name in CLASSIFIERS}
    generation = pd.concat(checks.values()).query("check == 'effective generation'").drop_duplicates("concept")
    independence = checks[CLASSIFIERS[0]].query("check == 'independent permutation'")
    table = side_by_side(importance, oracle)
    pairs = correct_by_subsets(study, study.scores.read(study.settings.draws), exact, oracle, config.true_subsets)
    asked = [own.gaps.assign(classifier=name) for name, own in found.explanations.items() if own.gaps is not None]
    few = make_fashion(**_arguments(config.data) | {"num_examples": config.heat_maps.num_examples, "masks": True})
    attribution, heat, costs = attributions(networks, few, config)
    return Findings(
        importance=importance,
        oracle=oracle,
        table=table,
        differences=found.differences,
        gaps=pd.concat([pd.DataFrame(), *asked], ignore_index=True),
        pairs=pairs,
        generation=generation,
        independence=independence,
        attribution=attribution,
        sheets=make_sheets(study, config),
        heat=heat,
        headline=headline_of(table, generation) | {"fewest_held": int(pairs.held.min())},
        facts={
            "machine": f"{os.cpu_count()} cores, {jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
            "python": platform.python_version(),
            "jax": jax.__version__,
            "seconds": round(time.monotonic() - started + earlier),
            "seconds_generating": round(seconds),
            "images": study.num_images,
            "reference_images": len(study.examples) * len(SLOTS) * REFERENCE_PERMUTATIONS,
            "num_examples": len(study.examples),
            "draws": study.settings.draws,
            "correlation": config.data.correlation,
            "steps": config.sampler.steps,
            "guidance_scale": config.sampler.guidance_scale,
            "heat_examples": len(few),
            "num_segments": config.heat_maps.num_segments,
            "num_samples": config.heat_maps.num_samples,
            "background_area": float(few.masks[:, -1].mean()),
            "heat_variants": len(attribution) // len(CLASSIFIERS),
            **{f"background_first_{name}": background_first(attribution, name) for name in CLASSIFIERS},
            **{f"seconds_{name.split()[0].lower()}": round(value) for name, value in costs.items()},
        },
    )


def _arguments(data: ConfigDict) -> dict[str, Any]:
    return {name: value for name, value in data.to_dict().items() if name != "source"}
