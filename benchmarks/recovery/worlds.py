"""Circumstances under which images are generated: correlated concepts, solver settings, generators spoilt on purpose."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from benchmarks.timed import run_timed
from cpi_jax.analysis.validity import (
    evaluate_generation,
    evaluate_independence,
    generation_table,
    independence_table,
    join_verdicts,
)
from cpi_jax.captions.encoding import Tokenizer
from cpi_jax.captions.slots import CaptionSlots, assemble, make_slots
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.data.shapes import CONCEPTS, EMPTY, concept_slots, make_shapes
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.generator import Generator
from cpi_jax.embedded import SHAPES_GENERATOR
from cpi_jax.errors import require_known
from cpi_jax.generation.score_images import score_images
from cpi_jax.opening import open_study
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Compute, Settings, Statistics


@dataclasses.dataclass(frozen=True)
class World:
    """What images are generated for, and how.

    Attributes:
      name: of its folder and its row in the tables.
      num_examples: scenes, with ids from 0.
      draws: noise draws.
      correlation: of every pair of concepts.
      steps: of the solver.
      guidance_scale: of the sampler.
      unet_noise: seeded noise added to every weight matrix of the UNet, in units of its standard deviation.
      leak: (a, b): captions that name concept a are read as if they named b too; empty for none.
    """

    name: str
    num_examples: int = 200
    draws: int = 1
    correlation: float = 0.0
    steps: int = 8
    guidance_scale: float = 3.0
    unet_noise: float = 0.0
    leak: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """What was generated in a world.

    Attributes:
      world: the circumstances.
      examples: captions and real images.
      plan: where the rows are.
      real: the readers' scores of the real images, float32 [N, C].
      scores: of the generated images, float32 [D, V, C].
      detector: the detector's, float32 [D, V, K].
      checks: both validity checks, one row per comparison.
      verdicts: of each concept.
      images: rows of the table, over its draws.
      seconds: that they took, compilation and interrupted runs included.
      earlier: part of these seconds that earlier runs spent.
    """

    world: World
    examples: Examples
    plan: Plan
    real: np.ndarray
    scores: np.ndarray
    detector: np.ndarray
    checks: pd.DataFrame
    verdicts: Mapping[str, str]
    images: int
    seconds: float
    earlier: float


def generate(world: World, reader: Scorer, detector: Scorer, workdir: str | Path, batch_size: int = 32) -> Table:
    """Generates and scores a world's images, or reads what an earlier run left in `workdir`.

    Args:
      world: the circumstances.
      reader: its first K scores are logits of the concepts; more may follow.
      detector: concept detector, for the checks.
      workdir: each world has a folder of its own here.
      batch_size: images at once on each device.

    Raises:
      InputError: where `workdir` holds the images of another world under this name.
    """
    examples = make_shapes(world.num_examples, correlation=world.correlation)
    generator, tokenizer = _load(world.steps, world.guidance_scale)
    if world.unet_noise:
        generator = with_unet_noise(generator, world.unet_noise)
    if world.leak:
        generator = with_leak(generator, tokenizer, world.leak)
    settings = Settings(
        draws=world.draws, statistics=Statistics(metrics=("auroc",)), compute=Compute(batch_size=batch_size)
    )
    scorers = {"target": reader, "detector": detector}
    real = score_images(scorers, examples.images)
    # A study asks for labels of every score; all that matters of them here is that both classes occur.
    extra = np.repeat(examples.concepts[:, :1], real["target"].shape[1] - len(CONCEPTS), axis=1)
    labelled = dataclasses.replace(examples, labels=np.concatenate([examples.concepts, extra], axis=1).astype(np.int32))
    study = open_study(
        labelled,
        generator=generator,
        tokenizer=tokenizer,
        scorers=scorers,
        settings=settings,
        workdir=Path(workdir) / world.name,
    )
    plan = study.plan
    seconds, earlier = run_timed(study, world.name)
    tables = study.scores.read(world.draws)

    def generation_of(name: str) -> pd.DataFrame:
        known, rows = len(CONCEPTS), np.asarray(plan.baseline)
        result = evaluate_generation(
            examples, examples.concepts, real[name][:, :known], tables[name][:, rows, :known], settings
        )
        return generation_table(CONCEPTS, name, result, settings, examples.concepts)

    generation = generation_of("detector")
    found = evaluate_independence(plan, examples, tables["detector"], settings, real["detector"])
    independence, verdicts = independence_table(plan, examples, found, settings)
    return Table(
        world=world,
        examples=examples,
        plan=plan,
        real=real["target"],
        scores=tables["target"],
        detector=tables["detector"],
        checks=pd.concat([generation, generation_of("target"), independence], ignore_index=True),
        verdicts=join_verdicts(plan, examples, verdicts, generation),
        images=world.draws * plan.num_variants,
        seconds=seconds,
        earlier=earlier,
    )


@functools.cache
def _load(steps: int, guidance_scale: float) -> tuple[Generator, Tokenizer]:
    """The embedded generator; the same one again, so that worlds that differ in arrays only share a compiled step."""
    return load_generator(SHAPES_GENERATOR, steps=steps, guidance_scale=guidance_scale)


def with_unet_noise(generator: Generator, scale: float, seed: int = 0) -> Generator:
    """The generator with normal noise on its UNet's weight matrices, `scale` times each matrix's standard deviation."""
    leaves, tree = jax.tree.flatten(generator.params.networks["unet"])
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    leaves = [_with_noise(key, x, scale) if jnp.ndim(x) > 1 else x for key, x in zip(keys, leaves)]
    networks = generator.params.networks | {"unet": jax.tree.unflatten(tree, leaves)}
    return generator.replace(params=generator.params.replace(networks=networks))


@jax.jit
def _with_noise(key: jax.Array, x: jax.Array, scale: jax.Array) -> jax.Array:
    return x + scale * jnp.std(x) * jax.random.normal(key, x.shape)


def with_leak(generator: Generator, tokenizer: Tokenizer, leak: tuple[str, ...]) -> Generator:
    """The generator behind a rewriting of its captions: where concept `leak[0]` is named, `leak[1]` is named too."""
    for name in leak:
        require_known(name, "concept", CONCEPTS)
    phrases = make_slots(tokenizer, concept_slots(np.eye(len(CONCEPTS))), length=generator.caption_length, empty=EMPTY)
    source, leaked = (CONCEPTS.index(name) for name in leak)
    rewriting = _Rewriting(generator.apply, source, leaked)
    name = f"{generator.name} with {leak[0]} also naming {leak[1]}"
    return generator.replace(params=(generator.params, phrases), apply=rewriting, name=name)


@dataclasses.dataclass(frozen=True)
class _Rewriting:
    """(params, phrases), captions, keys -> images of the rewritten captions."""

    apply: object
    source: int
    leaked: int

    def __call__(self, params, token_ids, keys):
        params, phrases = params
        said = named_concepts(phrases, token_ids)
        said = said.at[:, self.leaked].max(said[:, self.source])
        k = said.shape[1]
        own = phrases.tokens[jnp.arange(k), jnp.arange(k)]  # [K, S]: each concept's own phrase
        rewritten = phrases.replace(tokens=jnp.where(said[:, :, None], own[None], -1))
        return self.apply(params, assemble(rewritten), keys)


def named_concepts(phrases: CaptionSlots, token_ids: jax.Array) -> jax.Array:
    """Which concepts captions name, bool [B, K], for phrases whose row k says concept k alone."""
    k = phrases.tokens.shape[1]
    own = phrases.tokens[jnp.arange(k), jnp.arange(k)]  # [K, S]
    starts = jnp.arange(token_ids.shape[1] - own.shape[1] + 1)
    windows = token_ids[:, starts[:, None] + jnp.arange(own.shape[1])[None]]  # [B, starts, S]
    same = (windows[:, :, None] == own[None, None]) | (own < 0)[None, None]
    return same.all(-1).any(1)
