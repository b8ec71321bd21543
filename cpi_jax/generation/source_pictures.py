"""The real pictures that a study's images are anchored in, batch by batch."""

from __future__ import annotations

import functools

import numpy as np

from cpi_jax.data.images import ImageFiles
from cpi_jax.data.masks import Masks
from cpi_jax.diffusion.generator import Sources
from cpi_jax.generation.permuted_pixels import permuted_pixels
from cpi_jax.generation.sharding import pad_rows
from cpi_jax.plan.record import Plan


class SourcePictures:
    """Gathers the sources of a batch, for each device those of its own rows.

    A program depends on how many sources a device has: as many as any rows side by side in the plan can belong to, so that
    one program serves all batches of a size, but for those with gaps between their rows.

    Args:
      plan: whose variants are made.
      images: of its examples, uint8 [N, H, W, 3] at the size of the generated ones.
      num_devices: over which a batch's rows are split.
      masks: pixels of what each slot says, within which alone the images of an example may differ from each other; None:
        they may differ anywhere.
    """

    def __init__(self, plan: Plan, images: np.ndarray | ImageFiles, num_devices: int, masks: Masks | None = None):
        self._plan, self._images, self._num_devices = plan, images, num_devices
        self._masks = masks
        self._num_sources = functools.lru_cache(self._count_sources)
        self._pictures: dict[int, np.ndarray] = {}  # of the batch before: an example may go on in this one

    def of(self, variants: np.ndarray) -> Sources:
        """The sources of a batch's variants, int [B], a multiple of the devices."""
        examples = np.asarray(self._plan.variants.example)[variants].reshape(self._num_devices, -1)
        by_device = [np.unique(rows, return_inverse=True) for rows in examples]
        count = max(self._num_sources(examples.shape[1]), *(len(sources) for sources, _ in by_device))
        sources = np.concatenate([pad_rows(sources, count) for sources, _ in by_device])
        self._pictures = {i: self._read(i) for i in np.unique(sources).tolist()}
        return Sources(
            pictures=np.stack([self._pictures[i] for i in sources.tolist()]),
            token_ids=self._plan.captions(np.asarray(self._plan.baseline)[sources]),
            of_row=np.concatenate([places for _, places in by_device]).astype(np.int32),
            editable=None if self._masks is None else self._editable(variants, self._masks),
        )

    def _editable(self, variants: np.ndarray, masks: Masks) -> np.ndarray:
        """Pixels that may change, [B, H, W]: all of a baseline, and where something is added that has no mask yet."""
        pixels, whole = permuted_pixels(self._plan, masks, variants)
        return pixels | ~whole[:, None, None]

    def _count_sources(self, num_rows: int) -> int:
        """Examples that so many rows of the plan side by side can belong to."""
        begins = np.diff(np.asarray(self._plan.variants.example)) != 0
        before = np.concatenate([[0], np.cumsum(begins)])
        return 1 + int((before[num_rows - 1 :] - before[: len(before) - num_rows + 1]).max(initial=0))

    def _read(self, example: int) -> np.ndarray:
        return self._pictures[example] if example in self._pictures else self._images[example]
