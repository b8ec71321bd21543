"""images/samples.csv: what each kept picture says, a target's score of it, as it came, and what changed in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cpi_jax.analysis.complete import CompletePart
from cpi_jax.files.csv_files import csv_text
from cpi_jax.files.writing import write_atomically
from cpi_jax.generation.permuted_pixels import permuted_pixels, pixel_changes
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

    Where the examples have masks, `change_inside` and `change_outside` say by how much a picture's pixels differ from those
    of the example's own caption (root mean squares, 0 to 255), in and beside the masks of what its caption exchanges.

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
    rows = study.scores.rows[find_codes(part.plan.codes, study.plan.codes)]
    (folder / "images").mkdir(exist_ok=True)
    for row in [] if folder == Path(study.store.location) else rows[variants]:
        if (picture := study.store.read(f"images/variant_{row}.png")) is not None:
            write_atomically(folder / "images" / f"variant_{row}.png", picture)
    table = pd.DataFrame(
        {
            "row": rows[variants],
            "example": example[variants],
            **{name: texts[name] for name in ("feature", "value", "caption")},
            **columns("", part.scores[name][0, variants]),
            **columns("real_", of_real),
            **({} if study.masks is None else _pixel_changes(study, part, variants, rows, folder / "images")),
        }
    )
    write_atomically(folder / "images" / "samples.csv", csv_text(table))


def _pixel_changes(
    study: Study, part: CompletePart, variants: np.ndarray, rows: np.ndarray, folder: Path
) -> dict[str, np.ndarray]:
    """Columns of what changed in kept pictures; NaN of a baseline, and of what is added, which has no mask."""
    assert study.masks is not None
    masks, whole = permuted_pixels(part.plan, study.masks[part.rows], variants)
    own = np.asarray(part.plan.baseline)[np.asarray(part.plan.variants.example)[variants]]
    pairs = [[folder / f"variant_{rows[variant]}.png" for variant in pair] for pair in zip(variants, own)]
    changes = np.full((2, len(variants)), np.nan)
    for n in np.flatnonzero(whole):
        if all(path.is_file() for path in pairs[n]):
            picture, baseline = (np.asarray(Image.open(path))[None] for path in pairs[n])
            changes[:, n] = np.stack(pixel_changes(picture, baseline, masks[n : n + 1]))[:, 0]
    return {"change_inside": changes[0], "change_outside": changes[1]}
