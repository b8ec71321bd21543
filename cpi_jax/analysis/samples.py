"""images/samples.csv: what each picture that is kept says, and the target's score of it, as it came."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cpi_jax.analysis.complete import CompletePart
from cpi_jax.files.csv_files import csv_text
from cpi_jax.files.writing import write_atomically
from cpi_jax.plan.describe import describe_variants
from cpi_jax.plan.hashes import find_codes
from cpi_jax.store.store import encode_image
from cpi_jax.study import Study


def write_real_samples(study: Study, folder: Path) -> None:
    """The real images of the examples whose generated ones are kept, where there are any."""
    if study.examples.images is None:
        return
    (folder / "images").mkdir(exist_ok=True)
    for i in study.sampled_examples:
        row = study.scores.rows[study.plan.baseline[i]]
        write_atomically(folder / "images" / f"real_{row}.png", encode_image(study.examples.images[i], "png"))


def write_samples(study: Study, part: CompletePart, real: Mapping[str, np.ndarray], folder: Path) -> None:
    """Writes samples.csv; `real` holds scores [N, C] of the real images by scorer, where they are known."""
    sampled = set(map(str, np.asarray(study.examples.ids)[study.sampled_examples].tolist()))
    kept = np.array([str(i) in sampled for i in np.asarray(part.examples.ids).tolist()], bool)
    example = np.asarray(part.plan.variants.example)
    variants = np.flatnonzero(kept[example])
    if not len(variants):
        return
    texts = describe_variants(part.plan, part.examples, study.settings, variants).to_pandas()

    def columns(prefix: str, scores: np.ndarray) -> dict[str, np.ndarray]:
        several = scores.shape[1] > 1
        output = scores.argmax(1)
        return {
            f"{prefix}score": scores[np.arange(len(scores)), output],
            f"{prefix}output": np.where(several, output, np.nan),
        }

    of_real = real["target"][example[variants]] if "target" in real else np.full((len(variants), 1), np.nan, np.float32)
    table = pd.DataFrame(
        {
            "row": study.scores.rows[find_codes(part.plan.codes[variants], study.plan.codes)],
            "example": example[variants],
            **{name: texts[name] for name in ("feature", "value", "caption")},
            **columns("", part.scores["target"][0, variants]),
            **columns("real_", of_real),
        }
    )
    (folder / "images").mkdir(exist_ok=True)
    write_atomically(folder / "images" / "samples.csv", csv_text(table))
