"""The recovery benchmark: known importances, ours and pixel-space explanations, side by side."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from scipy.stats import t as student
from tqdm import tqdm

from benchmarks.recovery.agreement import SCORES, agreement
from benchmarks.recovery.attributions import EXPLAINED, SIZE_OF_SIGNED, bottleneck_attributions
from benchmarks.recovery.estimates import (
    Estimates,
    bottleneck_scores,
    concept_scores,
    estimate,
    population_importance,
    true_importance,
)
from benchmarks.recovery.models import PlantedModels, planted_models
from benchmarks.recovery.readers import NETWORKS_SEED, NUM_NETWORKS, load_networks, load_trunk, side_by_side
from benchmarks.recovery.worlds import Table, World, generate
from cpi_jax.baselines.oracle import strata_of_others
from cpi_jax.baselines.table import baseline_table, heat_maps
from cpi_jax.classifiers.scorer import load_resnet
from cpi_jax.data.shapes import CONCEPTS, make_shapes
from cpi_jax.embedded import SHAPES_DETECTOR
from cpi_jax.errors import InputError
from cpi_jax.validation.ranges import validate_config

OURS = "concept permutation"
FAMILIES = {
    "GradCAM": ("GradCAM", "GradCAM (without relu)"),
    "LIME": ("LIME (mean)", "LIME (median)"),
    "gradient": ("gradient", "gradient x input"),
    "occlusion by mask": ("occlusion",),
}
NUM_CONCEPTS = len(CONCEPTS)
WRONG = 0.01  # growth of the mean error, in AUROC, from which a concept's importance counts as gone wrong
KINDS = ("plain", "conditional")  # of permutation


@dataclasses.dataclass(frozen=True)
class Gallery:
    """A network's heat maps to look at: images uint8 [I, H, W, 3], masks [I, K, H, W], heat [I, H, W] by method."""

    model: int
    images: np.ndarray
    masks: np.ndarray
    heat: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Recovery:
    """What the benchmark found.

    Attributes:
      headline: the numbers that the benchmark is judged by.
      methods: agreement of every method, the best variant of each, by group of models; mean over models with 95 % interval.
      variants: of every variant of every pixel-space method.
      robustness: agreement and coverage in every world, size and number of draws.
      faults: what became of each concept where the generator was spoilt on purpose, beside its verdict.
      generation: AUROC of trunk and detector on real and generated images: which step loses what.
      cost: images and seconds of every method.
      models: agreement of every model, one row per (group, model, method).
      truth: importances [M, K] by group; estimates: ours; shown: importances by each method's best variant.
      styles: of the models by group.
      gallery: heat maps to look at.
      facts: machine, time, what was run.
    """

    headline: dict[str, float]
    methods: pd.DataFrame
    variants: pd.DataFrame
    robustness: pd.DataFrame
    faults: pd.DataFrame
    generation: pd.DataFrame
    cost: pd.DataFrame
    models: pd.DataFrame
    truth: Mapping[str, np.ndarray]
    estimates: Mapping[str, Estimates]
    shown: Mapping[str, Mapping[str, np.ndarray]]
    styles: Mapping[str, Sequence[str]]
    gallery: Gallery
    facts: Mapping[str, Any]


def recover(config: ConfigDict, workdir: str | Path) -> Recovery:
    """Runs the benchmark; images that an earlier run left in `workdir` are not generated again.

    Args:
      config: see benchmarks/recovery/config.py.
      workdir: where the images' scores are kept.

    Raises:
      InputError: for numbers that do not fit together, or a workdir that holds another benchmark's images.
    """
    started = time.monotonic()
    _check(config)
    trunk, detector = load_trunk(), load_resnet(SHAPES_DETECTOR)
    networks = load_networks(config.num_networks)
    bottlenecks = planted_models(config.num_models, NUM_CONCEPTS, config.models_seed)
    planted = planted_models(config.num_networks, NUM_CONCEPTS, NETWORKS_SEED)

    main = World("main", num_examples=config.num_examples, draws=config.draws)
    worlds = [World(**world) for world in config.worlds]
    table = generate(main, side_by_side(trunk, networks), detector, workdir)
    tables = [generate(world, trunk, detector, workdir) for world in worlds]

    examples = make_shapes(config.num_examples, masks=True)
    used = range(config.headline_draws)
    everybody = np.ones(config.num_examples)
    truth, estimates, seconds = {}, {}, {}

    labels = bottlenecks.labels(examples.concepts, examples.ids)
    truth["bottleneck"] = true_importance(bottlenecks, concept_scores(table.real[:, :NUM_CONCEPTS]), labels)
    clock = time.monotonic()
    estimates["bottleneck"] = of_bottlenecks(table, bottlenecks, labels, used, everybody)
    seconds[OURS] = time.monotonic() - clock
    network_labels = planted.labels(examples.concepts, examples.ids)
    truth["network"] = true_importance(planted, examples.concepts, network_labels)
    estimates["network"] = of_networks(table, network_labels, used, everybody)

    key = jax.random.key(config.seed)
    sizes = {"num_segments": config.lime.num_segments, "num_samples": config.lime.num_samples}
    attributed, more = bottleneck_attributions(key, trunk, bottlenecks.weights, examples, **sizes)
    seconds |= more
    few = make_shapes(config.network_images, masks=True)
    found = {"bottleneck": attributed, "network": network_attributions(key, networks, few, sizes)}

    variants, models, shown = compare(found, truth, {group: np.asarray(e.value) for group, e in estimates.items()})
    methods = summarize_methods(models)

    few_examples = min(200, config.num_examples)
    robustness = pd.concat(
        [
            _sizes(table, bottlenecks, labels, truth["bottleneck"], config),
            _world_rows(table, "correlation 0", bottlenecks, few_examples, [0], kinds=KINDS),
            *(
                _world_rows(t, t.world.name, bottlenecks, kinds=KINDS if t.world.correlation else KINDS[:1])
                for t in tables
            ),
        ],
        ignore_index=True,
    )
    sized = robustness[(robustness.what == "size") & (robustness.examples == few_examples)]
    faults = [_faults(t, bottlenecks, table) for t in tables if t.world.leak or t.world.unet_noise]
    cost = _cost(table, used, seconds)
    headline = {
        "pearson_mean": _mean(methods, "bottleneck", OURS, "pearson"),
        "top1_rate": _mean(methods, "bottleneck", OURS, "top1"),
        "wins_over_gradcam": wins(models, "bottleneck", "GradCAM"),
        "wins_over_lime": wins(models, "bottleneck", "LIME"),
        "oracle_coverage": float(sized[sized.draws == len(used)].coverage.iloc[0]),
        "cnn_spearman_mean": _mean(methods, "network", OURS, "spearman"),
    }
    facts = {
        "machine": f"{os.cpu_count()} cores, {jax.local_device_count()} x {jax.local_devices()[0].device_kind}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "seconds": round(time.monotonic() - started + sum(t.earlier for t in (table, *tables))),
        "images": int(table.images + sum(t.images for t in tables)),
        "seconds_generating": round(table.seconds + sum(t.seconds for t in tables)),
        "num_examples": config.num_examples,
        "draws": len(used),
        "num_models": len(bottlenecks),
        "num_networks": len(networks),
        "network_images": config.network_images,
        "few_examples": few_examples,
        "world_examples": max((world.num_examples for world in worlds), default=0),
        **sizes,
    }
    return Recovery(
        headline=headline,
        methods=methods,
        variants=variants,
        robustness=robustness,
        faults=pd.concat(faults, ignore_index=True) if faults else pd.DataFrame(),
        generation=_generation(table),
        cost=cost,
        models=models,
        truth=truth,
        estimates=estimates,
        shown=shown,
        styles={"bottleneck": bottlenecks.styles, "network": planted.styles},
        gallery=_gallery(key, networks, planted, few, sizes, methods),
        facts=facts,
    )


def compare(
    found: Mapping[str, Mapping[tuple[str, str, str], np.ndarray]],
    truth: Mapping[str, np.ndarray],
    ours: Mapping[str, np.ndarray],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Holds every method against the truth; a family of pixel-space methods is given its best variant.

    Args:
      found: importances [M, K] by (method, explained, how), by group of models.
      truth: [M, K] by group.
      ours: [M, K] by group.

    Returns:
      Agreement of every variant, of every model by every family, and the importances by family and group.
    """
    variants, models, shown = [], [], {}
    for group, by_variant in found.items():
        scored = {v: score_models(value, truth[group]) for v, value in by_variant.items()}
        variants += [{"models": group, **_names(v), **frame[list(SCORES)].mean()} for v, frame in scored.items()]
        models.append(score_models(ours[group], truth[group]).assign(models=group, method=OURS, variant=""))
        shown[group] = {OURS: ours[group]}
        for family, members in FAMILIES.items():
            best = max((v for v in scored if v[0] in members), key=lambda v: scored[v].pearson.mean())
            models.append(scored[best].assign(models=group, method=family, variant=" / ".join(best)))
            shown[group][family] = by_variant[best]
    return pd.DataFrame(variants), pd.concat(models, ignore_index=True), shown


def of_bottlenecks(
    table: Table,
    models: PlantedModels,
    labels: np.ndarray,
    draws: Sequence[int],
    weights: np.ndarray,
    strata: np.ndarray | None = None,
) -> Estimates:
    """Our importances of every bottleneck, from some of the draws and examples of a world."""
    logits = jnp.asarray(table.scores[np.array(draws)][:, :, :NUM_CONCEPTS])
    return _estimate(table, bottleneck_scores(models, logits), labels, weights, strata)


def of_networks(table: Table, labels: np.ndarray, draws: Sequence[int], weights: np.ndarray) -> Estimates:
    """Our importances of every end-to-end network."""
    scores = jnp.moveaxis(jnp.asarray(table.scores[np.array(draws)][:, :, NUM_CONCEPTS:]), -1, 0)
    return _estimate(table, scores, labels, weights, None)


def _estimate(table: Table, scores, labels, weights, strata) -> Estimates:
    ((lookup, features),) = table.plan.lookups
    if tuple(features) != tuple(range(NUM_CONCEPTS)):
        raise ValueError(f"the concepts of {table.world.name} are not all there: {table.plan.skipped}")
    strata = None if strata is None else jnp.asarray(strata)
    found = estimate(scores, jnp.asarray(labels), lookup, jnp.asarray(weights, jnp.float32), strata)
    return jax.tree.map(np.asarray, found)


def network_attributions(key, networks, examples, sizes) -> dict[tuple[str, str, str], np.ndarray]:
    """Concept importances [M, K] of every network by every pixel-space method, by (method, explained, how)."""
    frames = []
    for network in tqdm(networks, desc="attributing", unit=" networks"):
        frames.append(baseline_table(key, network, examples, heat_maps(network, **sizes)))
    out = {}
    for (method, how), _ in frames[0].groupby(["method", "how"], sort=False):
        rows = [f[(f.method == method) & (f.how == how)].importance.to_numpy() for f in frames]
        out[method, EXPLAINED[0], how] = np.stack(rows)
        if how == "signed":
            out[method, EXPLAINED[0], SIZE_OF_SIGNED] = np.abs(out[method, EXPLAINED[0], how])
    return out


def _gallery(key, networks, planted: PlantedModels, examples, sizes, methods: pd.DataFrame) -> Gallery:
    """GradCAM and LIME, in their best variants, of the first network whose weights have both signs."""
    model = planted.styles.index("mixed-sign") if "mixed-sign" in planted.styles else 0
    strongest = np.argmax(np.abs(planted.weights[model]))
    chosen = np.flatnonzero((examples.concepts[:, strongest] > 0) & (examples.concepts.sum(1) >= 3))[:4]
    images = jnp.asarray(examples.images[chosen], jnp.float32) / 255
    draw, keys = heat_maps(networks[model], **sizes), jax.random.split(key, len(chosen))
    best = methods[methods.models == "network"].set_index("method").variant
    names = [best[family].split(" / ")[0] for family in ("GradCAM", "LIME")]
    heat = {name: np.asarray(draw[name](keys, images)) for name in names}
    return Gallery(model, examples.images[chosen], examples.masks[chosen], heat)


def score_models(values: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    """Agreement of every model, one row each."""
    return pd.DataFrame([agreement(v, t) for v, t in zip(values, truth)]).assign(model=np.arange(len(truth)))


def summarize_methods(models: pd.DataFrame) -> pd.DataFrame:
    """Mean of every score over models, half the width of its 95 % interval, and how often ours is ahead in Pearson."""
    rows = []
    for (group, method), part in models.groupby(["models", "method"], sort=False):
        row = {"models": group, "method": method, "variant": part.variant.iloc[0]}
        for name in SCORES:
            values = part[name].dropna()
            reach = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
            row |= {name: values.mean(), f"{name}_pm": reach}
        row["ours_ahead"] = np.nan if method == OURS else wins(models, group, method)
        rows.append(row)
    return pd.DataFrame(rows)


def wins(models: pd.DataFrame, group: str, method: str) -> int:
    """Models of which our Pearson correlation is above a method's."""
    part = models[models.models == group].pivot(index="model", columns="method", values="pearson")
    return int((part[OURS] > part[method]).sum())


def _mean(methods: pd.DataFrame, group: str, method: str, score: str) -> float:
    return float(methods[(methods.models == group) & (methods.method == method)][score].iloc[0])


def _names(variant: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("method", "explained", "how"), variant))


def _row(what: str, name: str, found: Estimates, truth: np.ndarray, **facts) -> dict[str, Any]:
    """One row of the robustness table."""
    error = np.where(found.error > 0, found.error, np.nan)
    inside = (found.low <= truth) & (truth <= found.high)
    scores = score_models(found.value, truth)[list(SCORES)].mean()
    standardized = (found.value - truth) / error
    return {
        "what": what,
        "name": name,
        **facts,
        **scores,
        "coverage": inside.mean(),
        "bias_per_error": np.nanmean(standardized),
        "rms_per_error": np.sqrt(np.nanmean(standardized**2)),
    }


def _sizes(
    table: Table, models: PlantedModels, labels: np.ndarray, whole: np.ndarray, config: ConfigDict
) -> pd.DataFrame:
    """Examples x draws, from one table: up to two disjoint blocks of examples and of draws each."""
    rows = []
    logits = table.real[:, :NUM_CONCEPTS]
    population = population_importance(models)
    for n in sorted({min(n, config.num_examples) for n in (50, 100, 200, 500)}):
        blocks = range(min(2, config.num_examples // n))
        inside = [np.arange(b * n, (b + 1) * n) for b in blocks]
        truths = [whole]
        if n < config.num_examples:
            truths = [true_importance(models, concept_scores(logits[i]), labels[:, i]) for i in inside]
        for d in sorted({min(d, config.draws) for d in (1, 2, 4, config.headline_draws)}):
            parts = []
            for i, truth in zip(inside, truths):
                weights = np.zeros(config.num_examples)
                weights[i] = 1
                for first in range(0, min(2, config.draws // d) * d, d):
                    found = of_bottlenecks(table, models, labels, range(first, first + d), weights)
                    name = f"{n} examples, {d} draw" + ("s" if d > 1 else "")
                    row = _row("size", name, found, truth, examples=n, draws=d)
                    inside_all = (found.low <= population) & (population <= found.high)
                    parts.append(row | {"population_coverage": inside_all.mean()})
            numbers = pd.DataFrame(parts)
            rows.append({**parts[0], **numbers.select_dtypes("number").mean()})
    return pd.DataFrame(rows)


def _world_rows(
    table: Table,
    name: str,
    models: PlantedModels,
    num_examples: int | None = None,
    draws: Sequence[int] | None = None,
    *,
    kinds: tuple[str, ...],
) -> pd.DataFrame:
    """Plain and conditional permutation in a world, each against its own oracle; of its first examples and some draws."""
    examples = table.examples
    n = num_examples or len(examples)
    draws = range(table.world.draws) if draws is None else draws
    labels = models.labels(examples.concepts, examples.ids)
    first = (np.arange(len(examples)) < n).astype(float)
    scores = concept_scores(table.real[:n, :NUM_CONCEPTS])
    strata = strata_of_others(examples.concepts)
    rows = []
    for kind in kinds:
        of_all, of_first = (None, None) if kind == "plain" else (strata, strata[:n])
        truth = true_importance(models, scores, labels[:, :n], of_first)
        found = of_bottlenecks(table, models, labels, draws, first, of_all)
        shown = name if kinds == KINDS[:1] else f"{name}, {kind}"
        # The checks are of all the table's examples and draws, and of plain permutation.
        checked = kind == "plain" and n == len(examples)
        flagged = {"flagged": _flagged(table) or "none"} if checked else {}
        rows.append(_row("world", shown, found, truth, examples=n, draws=len(draws), **flagged))
    return pd.DataFrame(rows)


def _check(config: ConfigDict) -> None:
    validate_config(config)
    if not 1 <= config.headline_draws <= config.draws:
        raise InputError(f"headline_draws must lie between 1 and draws ({config.draws}), not {config.headline_draws}")
    if not 1 <= config.num_networks <= NUM_NETWORKS:
        raise InputError(f"num_networks must lie between 1 and {NUM_NETWORKS}, not {config.num_networks}")


def _flagged(table: Table) -> str:
    return ", ".join(name for name, verdict in table.verdicts.items() if verdict == "fail")


def _faults(table: Table, models: PlantedModels, sound: Table) -> pd.DataFrame:
    """Errors of every concept's importances, beside those of a sound table on its first examples, and its verdict."""
    examples, n = table.examples, len(table.examples)
    labels = models.labels(examples.concepts, examples.ids)
    truth = true_importance(models, concept_scores(table.real[:, :NUM_CONCEPTS]), labels)
    found = of_bottlenecks(table, models, labels, [0], np.ones(n))
    all_labels = models.labels(sound.examples.concepts, sound.examples.ids)
    first = (np.arange(len(sound.examples)) < n).astype(float)
    reference = of_bottlenecks(sound, models, all_labels, [0], first)
    frame = pd.DataFrame(
        {
            "world": table.world.name,
            "concept": CONCEPTS,
            "error": np.abs(found.value - truth).mean(0),
            "error_of_sound": np.abs(reference.value - truth).mean(0),
            "missed": 1 - ((found.low <= truth) & (truth <= found.high)).mean(0),
            "missed_by_sound": 1 - ((reference.low <= truth) & (truth <= reference.high)).mean(0),
        }
    )
    wrong = frame.error - frame.error_of_sound > WRONG
    return frame.assign(wrong=wrong, verdict=[table.verdicts[name] for name in CONCEPTS])


def _generation(table: Table) -> pd.DataFrame:
    checks = table.checks
    by_concept = {"reader": "target: ", "detector": "detector: "}
    columns: dict[str, Any] = {"concept": CONCEPTS}
    for name, prefix in by_concept.items():
        part = checks[checks.concept.str.startswith(prefix)]
        columns |= {f"{name}_real": part.auroc_real.to_numpy(), f"{name}_generated": part.auroc_generated.to_numpy()}
    own = checks[checks.role == "permuted"].set_index("permuted").loc[list(CONCEPTS)]
    other = checks[checks.role == "other"].groupby("permuted")
    columns["follows"] = own.auroc_permuted_labels.to_numpy()
    for name in ("change", "leak"):
        columns[f"largest_{name}"] = other[name].apply(lambda x: x.abs().max()).loc[list(CONCEPTS)].to_numpy()
    return pd.DataFrame(columns).assign(verdict=[table.verdicts[name] for name in CONCEPTS])


def _cost(table: Table, used: range, seconds: Mapping[str, float]) -> pd.DataFrame:
    """Of all bottlenecks together: images generated and seconds."""
    share = len(used) / table.world.draws
    rows = [(OURS, round(table.images * share), table.seconds * share + seconds[OURS])]
    rows += [(name, 0, value) for name, value in seconds.items() if name != OURS]
    return pd.DataFrame(rows, columns=["method", "images_generated", "seconds"])
