"""Images that are kept: those of a few examples for the report, and all of them in tar files where that is asked for."""

from __future__ import annotations

import io
import tarfile

import jax
import numpy as np

from cpi_jax.plan.record import Plan
from cpi_jax.settings import Output
from cpi_jax.store.plan_scores import PlanScores
from cpi_jax.store.store import encode_image


class KeptImages:
    """Writes what is to be kept of the images of a run.

    Args:
      plan: of the study.
      scores: where its variants are; the images lie in the same store, by the rows of the tables.
      output: what is kept.
    """

    def __init__(self, plan: Plan, scores: PlanScores, output: Output):
        self._store, self._rows, self._kind = scores.store, scores.rows, output.keep_images
        sampled = np.isin(plan.variants.example, sampled_examples(plan, scores, output))
        self._sampled = set(np.flatnonzero(sampled).tolist())
        self._waiting: list[tuple[int, bytes]] = []  # for the next tar file

    def add(self, draw: int, variants: np.ndarray, images: jax.Array) -> None:
        """Keeps images of a batch, uint8 [B, H, W, 3]."""
        wanted = [draw == 0 and int(variant) in self._sampled for variant in variants]
        if not self._kind and not any(wanted):
            return
        for image, variant, sampled in zip(np.asarray(images), variants, wanted):
            row = int(self._rows[variant])
            if sampled:
                self._store.write_image(f"variant_{row}", image)
            if self._kind:
                self._waiting.append((row, encode_image(image, self._kind)))

    def write(self, draw: int) -> None:
        """One tar file for the images since the last one."""
        if not self._waiting:
            return
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as shard:
            for row, content in self._waiting:
                entry = tarfile.TarInfo(f"{row}.{self._kind}")
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))
        rows = f"{self._waiting[0][0]:08d}-{self._waiting[-1][0]:08d}"
        self._store.write(f"kept/draw-{draw:03d}/rows-{rows}.tar", buffer.getvalue())
        self._waiting.clear()


def sampled_examples(plan: Plan, scores: PlanScores, output: Output) -> list[int]:
    """Indices of the examples whose images are kept for the report: the first ones in the order of the tables."""
    example = np.asarray(plan.variants.example)[scores.in_order()]
    return list(dict.fromkeys(example.tolist()))[: output.sampled_examples]
