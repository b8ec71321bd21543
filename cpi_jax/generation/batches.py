"""Batches of a plan's images over the local devices: made, scored, looked at."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import jax
import numpy as np

from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.images import ImageFiles
from cpi_jax.data.masks import Masks
from cpi_jax.diffusion.generator import Generator
from cpi_jax.generation import sharding
from cpi_jax.generation.batch_checks import PictureCheck
from cpi_jax.generation.batch_size import find_batch_size, known_batch_size
from cpi_jax.generation.fused_step import compiled_step
from cpi_jax.generation.pipeline import run_ahead
from cpi_jax.generation.source_pictures import SourcePictures
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Compute
from cpi_jax.store.identity import programs_hash

# The variants of a batch [B], their scores [B, C] by scorer, and its images, uint8 on the device and padded.
Scored = tuple[np.ndarray, dict[str, np.ndarray], jax.Array]


class BatchScorer:
    """Runs the fused step over fixed-size batches; a thread copies out and calls host scorers while the next ones run.

    Args:
      plan: whose variants are made.
      example_ids: of its examples, for messages.
      generator: of the images.
      scorers: by name.
      seed: of the noise.
      batch_size: images a device; 0 for what was once found to be best, else the default.
      pictures: of the examples, where the generator is anchored in them.
      masks: of their slots, within which the images of an example may differ.
    """

    def __init__(
        self,
        plan: Plan,
        example_ids: np.ndarray,
        generator: Generator,
        scorers: Mapping[str, Scorer | HostScorer],
        *,
        seed: int,
        batch_size: int,
        pictures: np.ndarray | ImageFiles | None = None,
        masks: Masks | None = None,
    ):
        self.plan, self.example_ids, self.generator = plan, example_ids, generator
        self.on_device, self.on_host = split_by_place(scorers)
        self.scorers = scorers
        self._seed, self._given_batch_size = seed, batch_size
        self._mesh = sharding.local_mesh()
        self._pictures, self._masks = pictures, masks
        self._sources = None if pictures is None else SourcePictures(plan, pictures, self._mesh.size, masks)
        self._key = jax.random.key(seed)
        self._check_pictures = PictureCheck(plan, example_ids)
        self.step = compiled_step(self._mesh)
        self._to_be_found = False
        if not batch_size:
            batch_size = known_batch_size(self._devices, self._programs())
            self._to_be_found = not batch_size
        self._images_a_device = batch_size or Compute().batch_size

    def restricted_to(self, names: Set[str]) -> BatchScorer:
        """The same with some of the scorers alone."""
        if names == self.scorers.keys():
            return self
        scorers = {name: scorer for name, scorer in self.scorers.items() if name in names}
        return BatchScorer(
            self.plan,
            self.example_ids,
            self.generator,
            scorers,
            seed=self._seed,
            batch_size=self._given_batch_size,
            pictures=self._pictures,
            masks=self._masks,
        )

    @property
    def batch_size(self) -> int:
        """Images at once, on all devices together."""
        return self._images_a_device * self._mesh.size

    def find_batch_size(self) -> None:
        """Times batches of several sizes where none was given, and none was found before."""
        if self._to_be_found:
            self._images_a_device = find_batch_size(
                self._dispatch, self.plan.num_variants, self._devices, self._programs()
            )
            self._to_be_found = False

    def score(self, draw: int, units: Iterator[np.ndarray]) -> collections.abc.Generator[Scored, None, None]:
        """Makes and scores variants in batches that run on across units.

        Args:
          draw: whose noise.
          units: variants, int [...] each, in order.

        Yields:
          The variants of a batch [B], their scores [B, C] by scorer, and its images, uint8 on the device and padded.

        Raises:
          InputError: for a picture that is none.
        """
        ahead = 2 if self.on_host else 1  # a host scorer may take longer for one batch than for the next
        yield from run_ahead(lambda begun: self._collect(*begun), self._begin(draw, units), ahead)

    def render(self, variants: np.ndarray, draw: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Images uint8 [V, H, W, 3] and scores [V, C] by scorer of some variants, kept nowhere."""
        batches = list(self.score(draw, iter([np.asarray(variants)])))
        images = np.concatenate([np.asarray(pixels)[: len(batch)] for batch, _, pixels in batches])
        return images, {name: np.concatenate([scores[name] for _, scores, _ in batches]) for name in self.scorers}

    def paint(self, variants: np.ndarray, draw: int = 0) -> np.ndarray:
        """Images uint8 [V, H, W, 3] of some variants; no host scorer is called."""
        images = []
        for batch, _, pixels, extremes in self._begin(draw, iter([np.asarray(variants)])):
            self._check_pictures(batch, np.asarray(extremes)[: len(batch)])
            images.append(np.asarray(pixels)[: len(batch)])
        return np.concatenate(images)

    def step_and_arguments(self) -> tuple[Callable[..., Any], tuple]:
        """The compiled step and the arguments of a batch, to trace or compile it ahead of time."""
        return self.step, self._arguments(0, np.arange(self.batch_size) % self.plan.num_variants)

    @property
    def _devices(self) -> list[sharding.Device]:
        return list(self._mesh.devices.ravel())

    def _programs(self) -> str:
        return programs_hash(self.generator, self.on_device)

    def _begin(self, draw: int, units: Iterator[np.ndarray]) -> Iterator[tuple]:
        for batch in _batches(units, self.batch_size):
            yield batch, *self._dispatch(draw, sharding.pad_rows(batch, self.batch_size))

    def _dispatch(self, draw: int, variants: np.ndarray) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        return self.step(*self._arguments(draw, variants))

    def _arguments(self, draw: int, variants: np.ndarray) -> tuple:
        ids = self.plan.ids[self.plan.variants.example[variants]]
        sources = self._sources and self._sources.of(variants)
        return self.generator, self.on_device, self._key, draw, self.plan.captions(variants), ids, sources

    def _collect(
        self, batch: np.ndarray, scores: Mapping[str, jax.Array], images: jax.Array, extremes: jax.Array
    ) -> Scored:
        self._check_pictures(batch, np.asarray(extremes)[: len(batch)])
        out = {name: np.asarray(values)[: len(batch)] for name, values in scores.items()}
        if self.on_host:
            pixels = np.asarray(images).astype(np.float32) / 255  # padded: a host model may want one batch size
            out |= {name: scorer(pixels)[: len(batch)] for name, scorer in self.on_host.items()}
        return batch, out, images


def split_by_place(
    scorers: Mapping[str, Scorer | HostScorer],
) -> tuple[dict[str, Scorer], dict[str, HostScorer]]:
    """Those that are part of the compiled step, and those that are called on the host."""
    on_device = {name: scorer for name, scorer in scorers.items() if isinstance(scorer, Scorer)}
    return on_device, {name: scorer for name, scorer in scorers.items() if isinstance(scorer, HostScorer)}


def _batches(units: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Cuts what units hold, one after the other, into batches of `size`; the last one may be smaller."""
    waiting = np.empty(0, np.int64)
    for unit in units:
        waiting = np.concatenate([waiting, unit])
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]
    if len(waiting):
        yield waiting
