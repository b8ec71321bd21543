"""A study from captions to importances: plan the images, generate and score them, evaluate the table."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from tqdm import tqdm

from cpi_jax import parallel
from cpi_jax.captions import CaptionSlots, Tokenizer, assemble, join, make_slots
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.sampler import Generator, noise_keys
from cpi_jax.errors import InputError
from cpi_jax.importance.metrics import METRICS
from cpi_jax.scoring import score_batch
from cpi_jax.store import Store
from cpi_jax.variants import Lookup, Variants, noise_ids, plan_variants, take_variants

SAMPLED_EXAMPLES = 6  # examples whose images are kept for the report


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a study does; every field has a working default.

    Attributes:
      seed: of the noise and of the resampling.
      draws: noise draws per example.
      concepts: names of the concepts to permute; empty for all.
      batch_size: images generated at once, over all local devices.
      unit_size: rows of the score table written at once.
      metrics: names in `cpi_jax.METRICS`; the first one ranks.
      num_bootstrap: bootstrap repeats.
      level: of the intervals.
      separator: said between two concepts.
      empty: said when there is no concept.
      generation_margin: largest loss of AUROC from real to generated images.
      leak_margin: largest AUROC change of a concept that is not permuted.
      min_faithful: smallest AUROC of the detector against the permuted captions.
    """

    seed: int = 0
    draws: int = 2
    concepts: tuple[str, ...] = ()
    batch_size: int = 64
    unit_size: int = 128
    metrics: tuple[str, ...] = ("auroc", "accuracy", "neg_log_loss")
    num_bootstrap: int = 1000
    level: float = 0.95
    separator: str = ", "
    empty: str = "an empty scene"
    generation_margin: float = 0.03
    leak_margin: float = 0.03
    min_faithful: float = 0.95

    def __post_init__(self):
        for name in ("draws", "batch_size", "unit_size", "num_bootstrap"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.level < 1:
            raise InputError(f"level must lie between 0 and 1, not {self.level}")
        for name in self.metrics:
            require_known(name, "metric", tuple(METRICS))


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that follows from the captions: made before any image.

    Attributes:
      slots: the tokenised captions of the N examples.
      names: what each of the F features is called.
      features: slots of each feature, bool [F, K].
      skipped: concepts that never vary in these captions.
      variants: the V captions to generate.
      lookup: where their scores are.
      token_ids: the captions as the text encoder reads them, int32 [V, L].
      ids: the examples' ids as the noise reads them, uint32 [N] or [N, 2].
    """

    slots: CaptionSlots
    names: tuple[str, ...]
    features: jax.Array
    skipped: tuple[str, ...]
    variants: Variants
    lookup: Lookup
    token_ids: np.ndarray
    ids: np.ndarray

    @property
    def num_variants(self) -> int:
        """Images per draw."""
        return len(self.token_ids)


def make_plan(examples: Examples, tokenizer: Tokenizer, length: int, settings: Settings) -> Plan:
    """Tokenises the captions and lists the images that the study needs.

    Args:
      examples: the study's data.
      tokenizer: the generator's.
      length: tokens that its text encoder reads.
      settings: of the study.

    Raises:
      InputError: for captions that cannot be used, unknown concepts, labels of one class, nothing that varies.
    """
    if len(examples) == 0:
        raise InputError("the data set has no examples")
    classes = np.unique(examples.labels)
    if len(classes) < 2:
        raise InputError(f"all {len(examples)} labels are {classes[0]}: importance needs examples of both classes")
    if classes.tolist() != [0, 1]:
        raise InputError(f"labels must be 0 or 1, and they hold {', '.join(map(str, classes[:5]))}")
    chosen = tuple(dict.fromkeys(settings.concepts or examples.slot_names))
    for name in chosen:
        require_known(name, "concept", examples.slot_names)
    slots = make_slots(tokenizer, examples.slots, length=length, separator=settings.separator, empty=settings.empty)
    differs = np.asarray((slots.tokens != slots.tokens[:1]).any((0, 2)))
    varies = dict(zip(examples.slot_names, differs))
    names = tuple(name for name in chosen if varies[name])
    skipped = tuple(name for name in chosen if not varies[name])
    if skipped:
        logging.warning("skipped, since every caption says the same of it: %s", ", ".join(skipped))
    if not names:
        raise InputError("none of the chosen concepts varies over these captions, so there is nothing to permute")
    features = np.array([[slot == name for slot in examples.slot_names] for name in names])
    variants, lookup = plan_variants(slots.tokens, features, examples.ids)
    features = jnp.asarray(features)
    token_ids = assemble(slots.replace(tokens=take_variants(slots.tokens, features, variants)))
    return Plan(slots, names, features, skipped, variants, lookup, np.asarray(token_ids), noise_ids(examples.ids))


def require_known(name: str, kind: str, known: Sequence[str]) -> None:
    """Refuses a name that is not among the known ones, naming the nearest.

    Raises:
      InputError: where it is not.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"there is no {kind} {name!r} among {', '.join(known)}{hint}")


def variant_columns(plan: Plan, examples: Examples, settings: Settings) -> dict[str, list]:
    """The table of variants for people: example id, feature, value text, caption; one row per score row."""
    feature, example, donor = (
        np.asarray(x) for x in (plan.variants.feature, plan.variants.example, plan.variants.donor)
    )
    slot_of = [int(np.argmax(mask)) for mask in np.asarray(plan.features)]
    ids = np.asarray(examples.ids).tolist()
    columns: dict[str, list] = {"example_id": [], "feature": [], "value": [], "caption": []}
    for f, i, k in zip(feature, example, donor):
        row = list(examples.slots[i])
        if f >= 0:
            row[slot_of[f]] = examples.slots[k][slot_of[f]]
        columns["example_id"].append(ids[i])
        columns["feature"].append(plan.names[f] if f >= 0 else "")
        columns["value"].append(row[slot_of[f]] if f >= 0 else "")
        columns["caption"].append(join(row, settings.separator, settings.empty))
    return columns


def captions_hash(token_ids: np.ndarray) -> str:
    """A hash of all captions of a plan, in order."""
    return hashlib.sha256(np.ascontiguousarray(token_ids, "<i4").tobytes()).hexdigest()[:16]


def run(
    plan: Plan,
    examples: Examples,
    generator: Generator,
    scorers: dict[str, Scorer | HostScorer],
    store: Store,
    settings: Settings,
) -> dict[str, np.ndarray]:
    """Generates and scores what the store does not hold yet, unit by unit.

    Args:
      plan: of the study.
      examples: its data.
      generator: of the images.
      scorers: "target", and "detector" where there is one.
      store: where the scores go.
      settings: of the study.

    Returns:
      The complete score tables, float32 [D, V, C], by scorer.

    Raises:
      InputError: for a scorer with another number of outputs than one (target) or one a slot (detector), or a score that
        is not a number; names the scorer and the first example.
    """
    generate = _BatchScorer(generator, scorers, settings)
    outputs = generate.num_outputs(plan)
    for name, expected in (("target", 1), ("detector", len(examples.slot_names))):
        if outputs.get(name, expected) != expected:
            raise InputError(f"the {name} gives {outputs[name]} scores an image and must give {expected}")
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
    with tqdm(total=total, initial=total - sum(sizes), unit=" images", desc="generating", smoothing=0.1) as bar:
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
