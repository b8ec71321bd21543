"""Generates and scores the images of a plan, unit by unit, into the store."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from cpi_jax import parallel
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.sampler import Generator, noise_keys
from cpi_jax.errors import InputError
from cpi_jax.importance.metrics import METRICS
from cpi_jax.importance.summary import check_labels
from cpi_jax.plan import Plan
from cpi_jax.scoring import score_batch
from cpi_jax.settings import Settings
from cpi_jax.store import Store

SAMPLED_EXAMPLES = 6  # examples whose images are kept for the report


def run(
    plan: Plan,
    examples: Examples,
    generator: Generator,
    scorers: dict[str, Scorer | HostScorer],
    store: Store,
    settings: Settings,
    title: str = "generating",
) -> dict[str, np.ndarray]:
    """Generates and scores what the store does not hold yet, unit by unit.

    Args:
      plan: of the study.
      examples: its data.
      generator: of the images.
      scorers: "target", and "detector" where there is one.
      store: where the scores go.
      settings: of the study.
      title: of the progress bar.

    Returns:
      The complete score tables, float32 [D, V, C], by scorer.

    Raises:
      InputError: for a scorer with another number of outputs than one (target) or one a slot (detector), or a score that
        is not a number; names the scorer and the first example.
    """
    generate = _BatchScorer(generator, scorers, settings)
    outputs = generate.num_outputs(plan)
    if (found := outputs.get("detector", len(examples.slot_names))) != len(examples.slot_names):
        raise InputError(f"the detector gives {found} scores an image and must give {len(examples.slot_names)}")
    check_labels(examples.labels, outputs["target"])
    _check_metrics(examples, outputs["target"], settings)
    store.open_tables(outputs, settings.draws, plan.num_variants, settings.unit_size)
    missing = np.any([np.isnan(t).any(-1) for t in store.read_scores(settings.draws).values()], axis=0)  # [D, V]
    units = [
        (draw, start)
        for draw in range(settings.draws)
        for start in range(0, plan.num_variants, settings.unit_size)
        if missing[draw, start : start + settings.unit_size].any()
    ]
    sampled = _sampled_rows(plan)
    total = settings.draws * plan.num_variants
    sizes = [min(settings.unit_size, plan.num_variants - start) for _, start in units]
    with tqdm(total=total, initial=total - sum(sizes), unit=" images", desc=title, smoothing=0.1) as bar:
        for (draw, start), size in zip(units, sizes):
            rows = np.arange(start, start + size)
            scores: dict[str, list[np.ndarray]] = {name: [] for name in scorers}
            for batch_rows, batch_scores, images in generate(plan, draw, rows):
                for name, values in batch_scores.items():
                    _refuse_nan(name, values, batch_rows, plan, examples)
                    scores[name].append(values)
                for place in np.flatnonzero(np.isin(batch_rows, sampled)) if draw == 0 else ():
                    store.write_image(f"variant_{batch_rows[place]}", np.asarray(images[place]))
                bar.update(len(batch_rows))
            store.write_unit(draw, start, {name: np.concatenate(values) for name, values in scores.items()})
    return store.read_scores(settings.draws)


def _check_metrics(examples: Examples, num_outputs: int, settings: Settings) -> None:
    """Traces every metric, so that one that does not fit the labels fails before any image."""
    scores = jax.ShapeDtypeStruct((len(examples), *((num_outputs,) if num_outputs > 1 else ())), jnp.float32)
    labels = jax.ShapeDtypeStruct(np.shape(examples.labels), jnp.int32)
    for name in settings.metrics:
        jax.eval_shape(METRICS[name].prepare, scores, labels)


def score_images(scorer: Scorer | HostScorer, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Scores [N, C] of uint8 images [N, H, W, 3]."""
    if isinstance(scorer, HostScorer):

        def score(batch):
            return scorer(batch.astype(np.float32) / 255)
    else:

        def score(batch):
            return np.asarray(_score_pixels(scorer, batch))

    starts = range(0, len(images), batch_size)
    batches = (parallel.pad_rows(images[i : i + batch_size], batch_size) for i in starts)
    return np.concatenate([score(batch) for batch in batches])[: len(images)]


@jax.jit
def _score_pixels(scorer: Scorer, images: jax.Array) -> jax.Array:
    return scorer.apply(scorer.params, images.astype(jnp.float32) / 255)


class _BatchScorer:
    """Runs the fused step over fixed-size batches, one batch in flight while the one before is copied out."""

    def __init__(self, generator: Generator, scorers: dict[str, Scorer | HostScorer], settings: Settings):
        self.generator = generator
        self.on_device = {name: s for name, s in scorers.items() if isinstance(s, Scorer)}
        self.on_host = {name: s for name, s in scorers.items() if isinstance(s, HostScorer)}
        mesh = parallel.local_mesh()
        self.batch_size = -(-min(settings.batch_size, settings.unit_size) // mesh.size) * mesh.size
        self.key = jax.random.key(settings.seed)
        self.step = _compiled_step(mesh)

    def num_outputs(self, plan: Plan) -> dict[str, int]:
        """Columns of each scorer; a host scorer is tried on a grey batch."""
        key = jax.random.split(jax.random.key(0), 1)
        shapes, images = jax.eval_shape(score_batch, self.generator, self.on_device, plan.token_ids[:1], key)
        grey = np.full((self.batch_size, *images.shape[1:]), 0.5, np.float32)
        device = {name: s.shape[1] for name, s in shapes.items()}
        return device | {name: s(grey).shape[1] for name, s in self.on_host.items()}

    def __call__(self, plan: Plan, draw: int, rows: np.ndarray) -> Iterator[tuple[np.ndarray, dict, jax.Array]]:
        """Yields (rows, scores by scorer, uint8 images on device) batch by batch."""
        example = np.asarray(plan.variants.example)
        pending = None
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            padded = parallel.pad_rows(batch, self.batch_size)
            now = self.step(
                self.generator, self.on_device, self.key, draw, plan.token_ids[padded], plan.ids[example[padded]]
            )
            if pending is not None:
                yield self._collect(*pending)
            pending = (batch, *now)
        if pending is not None:
            yield self._collect(*pending)

    def _collect(self, batch, scores, images):
        out = {name: np.asarray(values)[: len(batch)] for name, values in scores.items()}
        if self.on_host:
            pixels = np.asarray(images).astype(np.float32) / 255  # padded: a host model may want one batch size
            out |= {name: scorer(pixels)[: len(batch)] for name, scorer in self.on_host.items()}
        return batch, out, images


@functools.cache
def _compiled_step(mesh):
    """One compiled step for all studies of a process."""
    return parallel.split_rows(_keyed_batch, mesh, num_replicated=4, num_split=2)


def _keyed_batch(generator, scorers, key, draw, token_ids, ids):
    return score_batch(generator, scorers, token_ids, noise_keys(key, draw, ids))


def _sampled_rows(plan: Plan) -> np.ndarray:
    """Rows whose images the report shows: those of the first examples in the table's order."""
    example = np.asarray(plan.variants.example)
    return np.flatnonzero(np.isin(example, sampled_examples(plan)))


def sampled_examples(plan: Plan) -> Sequence[int]:
    """Indices of the examples whose images are kept."""
    return list(dict.fromkeys(np.asarray(plan.variants.example).tolist()))[:SAMPLED_EXAMPLES]


def _refuse_nan(name: str, values: np.ndarray, rows: np.ndarray, plan: Plan, examples: Examples) -> None:
    bad = ~np.isfinite(values).all(-1)
    if bad.any():
        i = int(np.asarray(plan.variants.example)[rows[np.argmax(bad)]])
        raise InputError(
            f"the {name} gave a score that is not a finite number for example {examples.ids[i]} "
            f"({', '.join(t for t in examples.slots[i] if t)!r}): mend the {name}, then run the same command again"
        )
