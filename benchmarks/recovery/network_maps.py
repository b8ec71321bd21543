"""Pixel-space explanations of the end-to-end networks, and some of their heat maps to look at."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.recovery.attributions import EXPLAINED, SIZE_OF_SIGNED
from benchmarks.recovery.models import PlantedModels
from benchmarks.recovery.record import Gallery
from cpi_jax.baselines.table import baseline_table, heat_maps


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


def make_gallery(key, networks, planted: PlantedModels, examples, sizes, methods: pd.DataFrame) -> Gallery:
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
