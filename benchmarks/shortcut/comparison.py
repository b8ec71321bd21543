"""Which of two classifiers takes a shortcut? Both on the same generated photographs, beside exact counterfactuals."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from scipy.stats import spearmanr

from benchmarks.shortcut.counterfactuals import counterfactual_scores, render_variants, variant_contents
from benchmarks.shortcut.photographs import ASSETS, SLOTS, SOURCE, make_fashion
from benchmarks.timed import run_timed
from cpi_jax.analysis.importances import infer_study, summarize_study
from cpi_jax.analysis.provenance import REFERENCE_PERMUTATIONS
from cpi_jax.analysis.validity import check_study
from cpi_jax.baselines.concepts import HOWS, concept_shares
from cpi_jax.baselines.table import heat_maps
from cpi_jax.classifiers.scorer import Scorer, load_resnet
from cpi_jax.cli.from_config import study_from_config
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError
from cpi_jax.generation.score_images import score_images
from cpi_jax.plan.describe import describe_variants
from cpi_jax.statistics.record import Importance
from cpi_jax.study import Study

CLASSIFIERS = ("biased", "balanced")
MASKS = ("garment", "background")  # the tint's pixels are the garment's
SHOWN_HEAT = ("GradCAM", "LIME (median)")
BATCH = 50
NONE = 0.005  # an importance smaller than this counts as none where ranks are compared: a sure classifier ties there


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Examples before and after each permutation.

    Attributes:
      title: which examples.
      said: captions of the pictures, [E][P]; the first column is the example's own.
      exact: the true composites, uint8 [E, P, H, W, 3].
      generated: what the generator drew.
      scores: of each classifier for both, float [E, P] by (classifier, "exact" or "generated").
    """

    title: str
    said: list[list[str]]
    exact: np.ndarray
    generated: np.ndarray
    scores: Mapping[tuple[str, str], np.ndarray]


@dataclasses.dataclass(frozen=True)
class HeatMaps:
    """Photographs uint8 [E, H, W, 3] and heat maps [E, H, W] by (classifier, method)."""

    images: np.ndarray
    maps: Mapping[tuple[str, str], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was found of both classifiers.

    Attributes:
      importance: on the generated images, by classifier.
      oracle: on the true counterfactuals of the same examples, by classifier.
      table: both beside each other, one row per classifier and concept.
      generation: AUROC on real and on generated images, of the detector and of the classifiers.
      independence: whether permuted images follow their captions, and nothing else in them changes.
      attribution: shares of heat on the garment and on the background, by classifier, method and way to share.
      sheets: pictures of random examples and of the worst ones.
      heat: heat maps to look at.
      headline: what the study is judged by.
      facts: machine, time, what was run.
    """

    importance: Mapping[str, Importance]
    oracle: Mapping[str, Importance]
    table: pd.DataFrame
    generation: pd.DataFrame
    independence: pd.DataFrame
    attribution: pd.DataFrame
    sheets: list[Sheet]
    heat: HeatMaps
    headline: Mapping[str, Any]
    facts: Mapping[str, Any]


def compare(config: ConfigDict, workdir: str | Path) -> Comparison:
    """Runs the study; images that an earlier run left in `workdir` are not generated again.

    Args:
      config: see benchmarks/shortcut/config.py; its classifier is not asked for, both of `CLASSIFIERS` are explained.
      workdir: where the scores are kept.

    Raises:
      InputError: for anything that a study cannot be made of, or a workdir that holds another study.
    """
    started = time.monotonic()
    if config.data.source != SOURCE:
        raise InputError(f"counterfactuals can be made of the source of data {SOURCE}, not of {config.data.source!r}")
    first, second = CLASSIFIERS
    config.target.path = str(ASSETS / first)
    networks = {name: load_resnet(ASSETS / name) for name in CLASSIFIERS}
    study = study_from_config(config, workdir, others={second: networks[second]})
    if study.plan.names != SLOTS:
        raise InputError(
            f"both classifiers are compared by {', '.join(SLOTS)}, and what can be permuted here is "
            f"{', '.join(study.plan.names)}: leave concepts and groups empty, and take more examples"
        )
    as_stored = {first: "target", second: second}
    seconds, earlier = run_timed(study, "generating")
    if (done := int(study.scores.count_done(study.settings.draws).sum())) < study.num_images:
        raise InputError(
            f"{done:,} of {study.num_images:,} images are done, and the page needs all: run the same command again"
        )
    tables = study.scores.read(study.settings.draws)
    generated = {name: tables[as_stored[name]] for name in CLASSIFIERS} | {"detector": tables["detector"]}
    scorers = networks | {"detector": study.scorers["detector"]}
    real = score_images(scorers, study.examples.images)
    exact = counterfactual_scores(study, config.data, scorers)

    checks, importance = _explain(study, real, generated)
    _, oracle = _explain(study, real, exact)
    generation = pd.concat(checks.values()).query("check == 'effective generation'").drop_duplicates("concept")
    independence = checks[first].query("check == 'independent permutation'")
    table = _side_by_side(importance, oracle)
    few = make_fashion(**_arguments(config.data) | {"num_examples": config.heat_maps.num_examples, "masks": True})
    attribution, heat, costs = _attributions(networks, few, config)
    return Comparison(
        importance=importance,
        oracle=oracle,
        table=table,
        generation=generation,
        independence=independence,
        attribution=attribution,
        sheets=_sheets(study, config, generated["detector"], as_stored, networks),
        heat=heat,
        headline=_headline(table, generation),
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
            **{f"background_first_{name}": _background_first(attribution, name) for name in CLASSIFIERS},
            **{f"seconds_{name.split()[0].lower()}": round(value) for name, value in costs.items()},
        },
    )


def _arguments(data: ConfigDict) -> dict[str, Any]:
    return {name: value for name, value in data.to_dict().items() if name != "source"}


def _explain(study: Study, real, tables) -> tuple[dict[str, pd.DataFrame], dict[str, Importance]]:
    """Checks and importances of every classifier."""
    checks, importance = {}, {}
    for name in CLASSIFIERS:
        own = {"target": name, "detector": "detector"}
        frame, verdicts = check_study(
            study.plan,
            study.examples,
            {role: real[which] for role, which in own.items()},
            {role: tables[which] for role, which in own.items()},
            study.settings,
        )
        checks[name] = frame.assign(concept=frame.concept.str.replace("target: label", f"classifier: {name}"))
        found = infer_study(study.plan, study.examples, tables[name], study.settings)
        importance[name] = summarize_study(study.plan, study.examples, found, study.settings, verdicts)
    return checks, importance


def _side_by_side(importance: Mapping[str, Importance], oracle: Mapping[str, Importance]) -> pd.DataFrame:
    frames = []
    for name, found in importance.items():
        columns = {column: np.asarray(getattr(found, column))[0] for column in ("value", "ci_low", "ci_high", "rank")}
        columns |= {"oracle": np.asarray(oracle[name].value)[0], "oracle_error": np.asarray(oracle[name].error)[0]}
        frames.append(pd.DataFrame({"classifier": name, "concept": found.names, **columns, "verdict": found.verdicts}))
    table = pd.concat(frames, ignore_index=True)
    return table.assign(
        off=(table.value - table.oracle).abs(),
        inside=(table.ci_low <= table.oracle) & (table.oracle <= table.ci_high),
    )


def _headline(table: pd.DataFrame, generation: pd.DataFrame) -> dict[str, Any]:
    of = {name: table[table.classifier == name].set_index("concept") for name in CLASSIFIERS}
    biased, balanced = (of[name].loc["background"] for name in CLASSIFIERS)
    detected = generation[generation.concept.str.startswith("detector: ")]
    lost = generation[generation.concept.str.startswith("classifier: ")]
    return {
        "first_of_biased": of["biased"].value.idxmax(),
        "first_of_balanced": of["balanced"].value.idxmax(),
        "gap_between_background_intervals": float(biased.ci_low - balanced.ci_high),
        "largest_error": float(table.off.max()),
        "near_or_inside": int(((table.off <= 0.03) | table.inside).sum()),
        **{f"spearman_{name}": _rank_correlation(of[name].value, of[name].oracle) for name in CLASSIFIERS},
        "lowest_detector_auroc": float(detected.auroc_generated.min()),
        "largest_loss_of_auroc": float((lost.auroc_real - lost.auroc_generated).abs().max()),
    }


def _rank_correlation(value: pd.Series, truth: pd.Series) -> float:
    value, truth = (np.where(np.abs(x) < NONE, 0.0, x) for x in (value, truth))
    return float(spearmanr(value, truth).statistic)


def _attributions(
    networks: Mapping[str, Scorer], examples: Examples, config: ConfigDict
) -> tuple[pd.DataFrame, HeatMaps, dict[str, float]]:
    """Mean share of each method's heat on garment and background; masks cover the image, so that nothing is occluded."""
    masks = examples.masks[:, 1:]
    rows, shown, costs = [], {}, dict.fromkeys(SHOWN_HEAT, 0.0)
    key = jax.random.key(config.seed)
    sizes = {"num_segments": config.heat_maps.num_segments, "num_samples": config.heat_maps.num_samples}
    for name, network in networks.items():
        methods = {m: f for m, f in heat_maps(network, **sizes).items() if m.startswith(("GradCAM", "LIME"))}
        for method, function in methods.items():
            started, parts = time.monotonic(), []
            for start in range(0, len(examples), BATCH):
                places = jnp.arange(start, min(start + BATCH, len(examples)), dtype=jnp.uint32)
                images = jnp.asarray(examples.images[start : start + BATCH], jnp.float32) / 255
                parts.append(function(jax.vmap(jax.random.fold_in, (None, 0))(key, places), images))
            heat = jnp.concatenate(parts)
            for how in HOWS:
                shares = np.asarray(concept_shares(heat, jnp.asarray(masks), how=how)).mean(0)
                rows.append({"classifier": name, "method": method, "how": how, **dict(zip(MASKS, shares))})
            if method in SHOWN_HEAT:
                shown[name, method] = np.asarray(heat[: config.heat_maps.num_shown])
                costs[method] += time.monotonic() - started
    return pd.DataFrame(rows), HeatMaps(examples.images[: config.heat_maps.num_shown], shown), costs


def _background_first(attribution: pd.DataFrame, classifier: str) -> int:
    part = attribution[attribution.classifier == classifier]
    return int((part.background.abs() > part.garment.abs()).sum())


def _sheets(study: Study, config: ConfigDict, detector: np.ndarray, as_stored, networks) -> list[Sheet]:
    """Random examples and those whose images the detector finds least like their captions, with their worst variants."""
    said = variant_contents(study)
    of_slot = [np.flatnonzero(np.array(study.examples.concept_slots) == k) for k in range(len(SLOTS))]
    rows = np.arange(len(said))
    margin = np.min([detector[0, rows, of_slot[k][said[:, k]]] for k in range(len(SLOTS))], axis=0)
    example, feature = (np.asarray(x) for x in (study.plan.variants.example, study.plan.variants.feature))
    worst_of = np.full(len(study.examples), np.inf)
    np.minimum.at(worst_of, example, margin)
    rng = np.random.default_rng(config.seed)
    count = config.sheet_examples
    chosen = {
        "random": (rng.permutation(len(study.examples))[:count], rng.random(len(said))),
        "worst": (np.argsort(worst_of)[:count], margin),
    }
    sheets = []
    for title, (which, order) in chosen.items():
        shown = []
        for i in which:
            of_feature = [rows[(example == i) & (feature == f)] for f in range(len(study.plan.features))]
            shown.append([int(study.plan.baseline[i]), *(int(r[np.argmin(order[r])]) for r in of_feature)])
        sheets.append(_sheet(title, np.array(shown), study, config, as_stored, networks))
    return sheets


def _sheet(title: str, rows: np.ndarray, study: Study, config: ConfigDict, as_stored, networks) -> Sheet:
    flat = rows.reshape(-1)
    generated, found = study.batch_scorer().render(flat)
    exact = render_variants(study, config.data, flat)
    true = score_images(networks, exact)
    scores = {(name, "generated"): found[as_stored[name]] for name in CLASSIFIERS}
    scores |= {(name, "exact"): true[name] for name in CLASSIFIERS}
    captions = describe_variants(study.plan, study.examples, study.settings, flat)["caption"].to_numpy(
        zero_copy_only=False
    )
    return Sheet(
        title=title,
        said=captions.reshape(rows.shape).tolist(),
        exact=exact.reshape(*rows.shape, *exact.shape[1:]),
        generated=generated.reshape(*rows.shape, *generated.shape[1:]),
        scores={key: value[:, 0].reshape(rows.shape) for key, value in scores.items()},
    )
