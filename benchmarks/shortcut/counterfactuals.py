"""True counterfactuals of garments on photographs: the pictures that a generator should have drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from benchmarks.shortcut.photographs import fashion_contents, render_fashion
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.generation.score_images import score_images
from cpi_jax.plan.variants import take_variants
from cpi_jax.study import Study


def variant_contents(study: Study) -> Int[np.ndarray, "v 3"]:
    """Tint, garment and background that the caption of each of a study's variants says, as `render_fashion` takes them."""
    contents = fashion_contents(study.examples.slots)
    return np.asarray(take_variants(jnp.asarray(contents), study.plan.masks, study.plan.variants))


def render_variants(study: Study, source: Any, rows: np.ndarray) -> UInt8[np.ndarray, "v h w 3"]:
    """The exact pictures of some variants: those of an example differ in nothing but what its captions say.

    Args:
      study: of `make_fashion`'s examples.
      source: that function's arguments; which split, folder and seed the pictures come from.
      rows: of the variants.
    """
    ids = np.asarray(study.examples.ids)[np.asarray(study.plan.variants.example)[rows]]
    where = {name: source[name] for name in ("split", "path", "seed")}
    return render_fashion(ids, variant_contents(study)[rows], **where)[0]


def counterfactual_scores(study: Study, source: Any, scorers: Mapping[str, Scorer]) -> dict[str, np.ndarray]:
    """Scores of the exact pictures of all variants, as one draw of a study has them: float32 [1, V, C] by scorer."""
    rows = np.arange(study.plan.num_variants)
    parts = [
        score_images(scorers, render_variants(study, source, part))
        for part in np.array_split(rows, len(rows) // 2048 + 1)
    ]
    return {name: np.concatenate([part[name] for part in parts])[None] for name in scorers}
