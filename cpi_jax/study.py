"""`Study`: a plan, what generates and scores its images, and where the scores are."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from cpi_jax.classifiers.named import DETECTOR
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.data.masks import Masks
from cpi_jax.diffusion.generator import Generator
from cpi_jax.generation.batches import BatchScorer
from cpi_jax.generation.kept_images import KeptImages, sampled_examples
from cpi_jax.generation.run import NeverStop, StoppingRule, generate
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.store.plan_scores import PlanScores
from cpi_jax.store.store import Store
from cpi_jax.store.workers import Budget, Worker


@dataclasses.dataclass(frozen=True)
class Study:
    """What `open_study` opens. The stages get of it what they use.

    Attributes:
      examples: the data.
      plan: which captions.
      scores: where their scores are.
      generator: of the images.
      scorers: the targets and, where there is one, the "detector".
      settings: what the study does.
      hashes: of generator and scorers.
      num_outputs: of each scorer.
      warnings: what is known of the data and the captions before any image.
      masks: where each slot's objects are in the pictures, made larger by `settings.mask_dilation`; None where that is not
        known at the size of the generated ones.
    """

    examples: Examples
    plan: Plan
    scores: PlanScores
    generator: Generator
    scorers: Mapping[str, Scorer | HostScorer]
    settings: Settings
    hashes: Mapping[str, str]
    num_outputs: Mapping[str, int]
    warnings: tuple[str, ...] = ()
    masks: Masks | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the classifiers that are explained; an only one is called "target"."""
        return tuple(name for name in self.scorers if name != DETECTOR)

    @property
    def store(self) -> Store:
        """The study's folder."""
        return self.scores.store

    @property
    def num_images(self) -> int:
        """Images of the whole study."""
        return self.settings.draws * self.plan.num_variants

    @property
    def sampled_examples(self) -> list[int]:
        """Indices of the examples whose images are kept for the report."""
        return sampled_examples(self.plan, self.scores, self.settings.output)

    def new_budget(self) -> Budget:
        """What a run of it may spend, from now on."""
        return Budget(self.settings.compute.max_images, self.settings.compute.max_minutes)

    @functools.cached_property
    def batch_scorer(self) -> BatchScorer:
        """What makes and scores its images: one for all that a process does with the study."""
        return BatchScorer(
            self.plan,
            self.examples.ids,
            self.generator,
            self.scorers,
            seed=self.settings.seed,
            batch_size=self.settings.compute.batch_size,
            pictures=self.examples.images if self.generator.source_size else None,
            masks=self.masks if self.settings.within_masks else None,
        )

    def generate(
        self,
        *,
        worker: Worker = Worker(),
        budget: Budget | None = None,
        stopping: StoppingRule = NeverStop(),
        title: str = "generating",
    ) -> str:
        """Generates and scores what is missing; see `cpi_jax.generation.run.generate`."""
        return generate(
            self.batch_scorer,
            self.scores,
            self.settings.draws,
            kept=KeptImages(self.plan, self.scores, self.settings.output),
            worker=worker,
            budget=budget or self.new_budget(),
            stopping=stopping,
            title=title,
            profile=self.settings.compute.profile,
        )
