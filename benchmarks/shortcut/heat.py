"""Where pixel-space methods see the two classifiers look: shares of heat on the garment and on the background."""

from __future__ import annotations

import time
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from benchmarks.shortcut.record import HeatMaps
from cpi_jax.baselines.concepts import HOWS, concept_shares
from cpi_jax.baselines.table import heat_maps
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.data.examples import Examples

MASKS = ("garment", "background")  # the tint's pixels are the garment's
SHOWN_HEAT = ("GradCAM", "LIME (median)")
BATCH = 50


def attributions(
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


def background_first(attribution: pd.DataFrame, classifier: str) -> int:
    part = attribution[attribution.classifier == classifier]
    return int((part.background.abs() > part.garment.abs()).sum())
