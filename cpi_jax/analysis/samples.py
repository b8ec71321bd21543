"""images/samples.csv: what each picture that is kept says, and a target's score of it, as it came; and the pictures."""

from __future__ import annotations

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


def write_samples(study: Study, name: str, part: CompletePart, real: np.ndarray | None, folder: Path) -> None:
    """Writes samples.csv and, into another folder than the study's own, the pictures.

    Args:
      study: which one.
      name: of the target.
      part: of the study.
      real: its scores [N, C] of the real images, where they are known.
      folder: of its results.
    """
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

    of_real = np.full((len(variants), 1), np.nan, np.float32) if real is None else real[example[variants]]
    table = pd.DataFrame(
        {
            "row": study.scores.rows[find_codes(part.plan.codes[variants], study.plan.codes)],
            "example": example[variants],
            **{name: texts[name] for name in ("feature", "value", "caption")},
            **columns("", part.scores[name][0, variants]),
            **columns("real_", of_real),
        }
    )
    (folder / "images").mkdir(exist_ok=True)
    write_atomically(folder / "images" / "samples.csv", csv_text(table))
    for row in [] if folder == Path(study.store.location) else table["row"]:
        if (picture := study.store.read(f"images/variant_{row}.png")) is not None:
            write_atomically(folder / "images" / f"variant_{row}.png", picture)
