"""The run of the recovery benchmark: known importances, ours and pixel-space explanations, side by side."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from benchmarks.recovery.attributions import bottleneck_attributions
from benchmarks.recovery.estimates import concept_scores, true_importance
from benchmarks.recovery.models import planted_models
from benchmarks.recovery.network_maps import make_gallery, network_attributions
from benchmarks.recovery.ranking_agreement import OURS, compare, mean_of, summarize_methods, wins
from benchmarks.recovery.readers import NETWORKS_SEED, NUM_NETWORKS, load_networks, load_trunk, side_by_side
from benchmarks.recovery.record import Recovery
from benchmarks.recovery.robustness import KINDS, rows_of_faults, rows_of_sizes, rows_of_world
from benchmarks.recovery.table_estimates import NUM_CONCEPTS, of_bottlenecks, of_networks
from benchmarks.recovery.worlds import Table, World, generate
from cpi_jax.classifiers.scorer import load_resnet
from cpi_jax.data.shapes import CONCEPTS, make_shapes
from cpi_jax.embedded import SHAPES_DETECTOR
from cpi_jax.errors import InputError
from cpi_jax.validation.ranges import validate_config


def recover(config: ConfigDict, workdir: str | Path) -> Recovery:
    """Runs the benchmark; images that an earlier run left in `workdir` are not generated again.

    Args:
      config: see benchmarks/recovery/config.py.
      workdir: where the images' scores are kept.

    Raises:
      InputError: for numbers that do not fit together, or a workdir that holds another benchmark's images.
    """
    started = time.monotonic()
    _validate(config)
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
            rows_of_sizes(table, bottlenecks, labels, truth["bottleneck"], config),
            rows_of_world(table, "correlation 0", bottlenecks, few_examples, [0], kinds=KINDS),
            *(
                rows_of_world(t, t.world.name, bottlenecks, kinds=KINDS if t.world.correlation else KINDS[:1])
                for t in tables
            ),
        ],
        ignore_index=True,
    )
    sized = robustness[(robustness.what == "size") & (robustness.examples == few_examples)]
    faults = [rows_of_faults(t, bottlenecks, table) for t in tables if t.world.leak or t.world.unet_noise]
    cost = _cost(table, used, seconds)
    headline = {
        "pearson_mean": mean_of(methods, "bottleneck", OURS, "pearson"),
        "top1_rate": mean_of(methods, "bottleneck", OURS, "top1"),
        "wins_over_gradcam": wins(models, "bottleneck", "GradCAM"),
        "wins_over_lime": wins(models, "bottleneck", "LIME"),
        "oracle_coverage": float(sized[sized.draws == len(used)].coverage.iloc[0]),
        "cnn_spearman_mean": mean_of(methods, "network", OURS, "spearman"),
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
        gallery=make_gallery(key, networks, planted, few, sizes, methods),
        facts=facts,
    )


def _validate(config: ConfigDict) -> None:
    validate_config(config)
    if not 1 <= config.headline_draws <= config.draws:
        raise InputError(f"headline_draws must lie between 1 and draws ({config.draws}), not {config.headline_draws}")
    if not 1 <= config.num_networks <= NUM_NETWORKS:
        raise InputError(f"num_networks must lie between 1 and {NUM_NETWORKS}, not {config.num_networks}")


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
