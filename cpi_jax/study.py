"""Generates and scores the images of a plan, unit by unit, into the store."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.captions.slots import Tokenizer
from cpi_jax.classifiers.scorer import HostScorer, Scorer, pick_outputs, read_as, read_as_labels
from cpi_jax.classifiers.scores import MULTILABEL
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles, batches_of
from cpi_jax.diffusion.sampler import Generator, find_caption_length
from cpi_jax.errors import InputError
from cpi_jax.generation import sharding
from cpi_jax.generation.batch_checks import PictureCheck, one_score, refuse_nan
from cpi_jax.generation.batch_size import find_batch_size, known_batch_size
from cpi_jax.generation.fused_step import paint_and_score
from cpi_jax.generation.pipeline import run_ahead
from cpi_jax.generation.progress import Bar, Profile
from cpi_jax.plan.make_plan import Plan, describe_variants, make_plan, separator_of, stored_ids
from cpi_jax.plan.noise import noise_keys
from cpi_jax.settings import Settings
from cpi_jax.statistics.metrics import METRICS
from cpi_jax.store.identity import params_hash, programs_hash, study_identity
from cpi_jax.store.store import Store, encode_image
from cpi_jax.store.workers import Budget, Tally, Worker, hold_share, running
from cpi_jax.validation.score_table import validate_labels

DEFAULT_BATCH_SIZE = Settings().compute.batch_size


@dataclasses.dataclass(frozen=True)
class Study:
    """A plan, what generates and scores its images, and where the scores are.

    Attributes:
      examples: the data.
      plan: which captions.
      rows: row of the score tables of each of the plan's variants, int64 [V]; -1 where a readonly store has none. The
        tables of an extended study hold more.
      generator: of the images.
      scorers: "target", and "detector" where there is one.
      settings: of the study.
      store: where the scores are.
      hashes: of generator and scorers.
      identity: what the store knows the study by.
      num_outputs: of each scorer.
      warnings: what is known of the data and the captions before any image.
    """

    examples: Examples
    plan: Plan
    rows: np.ndarray
    generator: Generator
    scorers: Mapping[str, Scorer | HostScorer]
    settings: Settings
    store: Store
    hashes: Mapping[str, str]
    identity: Mapping[str, Any]
    num_outputs: Mapping[str, int]
    warnings: tuple[str, ...] = ()

    @property
    def num_images(self) -> int:
        """Images of the whole study."""
        return self.settings.draws * self.plan.num_variants

    def new_budget(self) -> Budget:
        """What a run of it may spend, from now on."""
        return Budget(self.settings.compute.max_images, self.settings.compute.max_minutes)

    def read_scores(self, num_draws: int) -> dict[str, np.ndarray]:
        """Score tables of the first draws in the plan's order, float32 [D, V, C] by scorer, NaN where not done."""
        tables = self.store.read_scores(num_draws)
        scores = {name: table[:, self.rows] for name, table in tables.items()}
        for table in scores.values():
            table[:, self.rows < 0] = np.nan
        return scores

    def count_done(self) -> np.ndarray:
        """Images of each draw that are done, int [D]."""
        draws = (self.store.read_draw(draw) for draw in range(self.settings.draws))
        known = self.rows[self.rows >= 0]
        return np.array([(~_missing(scores)[known]).sum() if scores else 0 for scores in draws])


def prepare(
    examples: Examples,
    *,
    generator: Generator,
    tokenizer: Tokenizer,
    scorers: Mapping[str, Scorer | HostScorer],
    settings: Settings,
    store: Store,
) -> Study:
    """Plans a study and finds its place in the store: a new one, one to resume, or one to extend.

    Raises:
      InputError: for anything that a study cannot be made of, or a store that holds another study; names the difference.
    """
    if "detector" in scorers:
        scorers = {**scorers, "detector": pick_outputs(scorers["detector"], examples.concept_names)}
    hashes = {name: params_hash(f) for name, f in {"generator": generator, **scorers}.items()}
    plan = make_plan(examples, tokenizer, find_caption_length(generator, tokenizer), settings)
    outputs, size = _count_outputs(generator, scorers, plan, settings)
    examples = dataclasses.replace(examples, images=resize_real(examples.images, *size))
    _check_outputs(examples, outputs)
    scorers = {**scorers, "target": read_as_labels(scorers["target"], np.asarray(examples.labels), outputs["target"])}
    if "detector" in scorers:
        scorers["detector"] = read_as(scorers["detector"], MULTILABEL)
    _check_metrics(examples, outputs["target"], settings)
    identity = study_identity(examples.slot_names, settings, hashes)
    store.claim(identity, replace=not store.remote and not running(store))
    _refuse_other_captions(plan, examples, store, separator_of(examples, settings))
    rows = store.place(plan.codes, lambda new: describe_variants(plan, examples, settings, new))
    store.open_tables(outputs, settings.draws, store.variants().num_rows, settings.compute.unit_size)
    return Study(examples, plan, rows, generator, scorers, settings, store, hashes, identity, outputs)


def generate(
    study: Study,
    *,
    worker: Worker = Worker(),
    budget: Budget | None = None,
    settled: Callable[[int], bool] = lambda draws: False,
    told: Callable[[int], bool] = lambda draws: False,
    title: str = "generating",
) -> str:
    """Generates and scores what a worker's share of the tables lacks, draw by draw.

    Batches run on across units, and a unit is written while the next batch is on the device.

    Args:
      study: what to do.
      worker: whose share.
      budget: when to end before that.
      settled: whether no more than so many draws are needed; asked before each draw.
      told: whether somebody has found that so many are enough; asked between units.
      title: of the progress bar.

    Returns:
      Why it ended before the share was done; empty where it did not.

    Raises:
      InputError: for a picture or a score that is none (names the part and the example), one score for all pictures, a
        full disk, or a share that another process works on.
    """
    budget = budget or study.new_budget()
    with hold_share(study.store, worker):
        study.store.claim(study.identity)  # nobody has taken the folder meanwhile
        missing = {}
        for draw in range(study.settings.draws):
            rows = _missing(study.store.read_draw(draw))[study.rows] & worker.owns(
                draw, study.rows // study.settings.compute.unit_size
            )
            missing[draw] = np.flatnonzero(rows)[np.argsort(study.rows[rows], kind="stable")]
        total = sum(map(len, missing.values()))
        with Bar(study.num_images if worker.count == 1 else None, total, title, study.store, worker) as bar:
            share = _Share(study, worker, budget, told, _BatchScorer(study) if total else None, bar)
            for draw, variants in missing.items():
                if share.ended or settled(draw):
                    break
                share.run_draw(draw, variants)
            share.profile.stop()
            return share.ended


class _Share:
    """A worker's way through its units."""

    def __init__(self, study: Study, worker: Worker, budget: Budget, told, step: _BatchScorer | None, bar: Bar):
        self.study, self.budget, self.told, self.step, self.bar = study, budget, told, step, bar
        self.tally = Tally(study.store, worker)
        self.begun = 0  # images
        self.ended = ""
        self.profile = Profile(study.settings.compute.profile, study.store)
        self.sampled = set(np.flatnonzero(np.isin(study.plan.variants.example, sampled_examples(study))).tolist())

    def run_draw(self, draw: int, variants: np.ndarray) -> None:
        """Scores some variants, in the order of their rows, and writes every unit once its last one is scored."""
        if not len(variants):
            return
        study, unit_size = self.study, self.study.settings.compute.unit_size
        table = study.store.read_draw(draw)
        units = study.rows[variants] // unit_size
        shares = np.split(variants, np.flatnonzero(np.diff(units)) + 1)
        begun: collections.deque[np.ndarray] = collections.deque()  # shares that are not scored to the end
        scored, wait = 0, lambda: None
        kept: list[tuple[int, bytes]] = []
        with contextlib.closing(self.step(draw, self._begin_units(draw, shares, begun))) as batches:
            for batch, scores, images in batches:
                self.profile.tick()
                for name, values in scores.items():
                    refuse_nan(name, values, batch, study.plan, study.examples)
                    table[name][study.rows[batch]] = values
                self._keep_images(draw, batch, images, kept)
                self.bar.update(len(batch))
                scored += len(batch)
                self.budget.keeping = True
                while begun and (len(begun[0]) <= scored or (self.budget.interrupted and scored)):
                    share = begun.popleft()[:scored]  # all of it, unless interrupted
                    scored -= len(share)
                    self._write_kept(draw, kept)  # before the scores say that the unit is done
                    wait()  # for the unit before
                    start = int(study.rows[share[0]]) // unit_size * unit_size
                    rows = slice(start, start + unit_size)
                    finish = study.store.write_unit(draw, start, {name: values[rows] for name, values in table.items()})
                    wait = functools.partial(self._finish_unit, finish, len(share))
                if self.budget.interrupted:
                    wait()
                    self._end()
        wait()
        self.budget.keeping = False
        if self.budget.interrupted:
            self._end()
        whole = {name: values[study.rows] for name, values in table.items()}
        for name, values in whole.items():
            if not _missing(whole).any() and (sentence := one_score(name, values, "generated")):
                raise InputError(sentence)

    def _begin_units(self, draw: int, shares: list[np.ndarray], begun: collections.deque) -> Iterator[np.ndarray]:
        for share in shares:
            self.ended = self.budget.spent(self.begun)
            if self.ended or (draw and self.told(draw)):
                return
            mine = share[: self.budget.left(self.begun)]
            self.begun += len(mine)
            begun.append(mine)
            yield mine

    def _end(self) -> None:
        """Of a process that is interrupted, and has written what was scored."""
        done = int(self.study.count_done().sum())
        self.budget.end(f"stopped: {done:,} of {self.study.num_images:,} images are done; resume with the same command")

    def _finish_unit(self, finish: Callable[[], None], images: int) -> None:
        finish()
        self.tally.add(images)

    def _keep_images(self, draw: int, batch: np.ndarray, images: jax.Array, kept: list) -> None:
        kind = self.study.settings.output.keep_images
        wanted = [draw == 0 and int(variant) in self.sampled for variant in batch]
        if not kind and not any(wanted):
            return
        pixels = np.asarray(images)
        for image, variant, sampled in zip(pixels, batch, wanted):
            row = int(self.study.rows[variant])
            if sampled:
                self.study.store.write_image(f"variant_{row}", image)
            if kind:
                kept.append((row, encode_image(image, kind)))

    def _write_kept(self, draw: int, kept: list[tuple[int, bytes]]) -> None:
        """One tar file for the images since the last one."""
        if not kept:
            return
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as shard:
            for row, content in kept:
                entry = tarfile.TarInfo(f"{row}.{self.study.settings.output.keep_images}")
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))
        self.study.store.write(f"kept/draw-{draw:03d}/rows-{kept[0][0]:08d}-{kept[-1][0]:08d}.tar", buffer.getvalue())
        kept.clear()


class _BatchScorer:
    """Runs the fused step over fixed-size batches; a thread copies out and calls host scorers while the next ones run."""

    def __init__(self, study: Study, search: bool = True):
        generator, settings, plan = study.generator, study.settings, study.plan
        self.generator, self.plan = generator, plan
        self.on_device, self.on_host = _by_place(study.scorers)
        self.check_pictures = PictureCheck(plan, study.examples)
        mesh = sharding.local_mesh()
        self.key = jax.random.key(settings.seed)
        self.step = _compiled_step(mesh)
        size = settings.compute.batch_size
        if not size:
            devices, programs = list(mesh.devices.ravel()), programs_hash(generator, self.on_device)
            size = known_batch_size(devices, programs)
            if not size:
                size = DEFAULT_BATCH_SIZE
                if search:
                    size = find_batch_size(self._dispatch, plan.num_variants, devices, programs)
        self.batch_size = size * mesh.size

    def __call__(self, draw: int, units: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, dict, jax.Array]]:
        """Yields (variants, scores by scorer, uint8 images on device) batch by batch."""
        ahead = 2 if self.on_host else 1  # a host scorer may take longer for one batch than for the next
        yield from run_ahead(lambda begun: self._collect(*begun), self._begin(draw, units), ahead)

    def _begin(self, draw: int, units: Iterator[np.ndarray]) -> Iterator[tuple]:
        for batch in _batches(units, self.batch_size):
            yield batch, *self._dispatch(draw, sharding.pad_rows(batch, self.batch_size))

    def _dispatch(self, draw: int, variants: np.ndarray) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        ids = self.plan.ids[self.plan.variants.example[variants]]
        captions = self.plan.captions(variants)
        return self.step(self.generator, self.on_device, self.key, draw, captions, ids)

    def _collect(self, batch, scores, images, extremes):
        self.check_pictures(batch, np.asarray(extremes)[: len(batch)])
        out = {name: np.asarray(values)[: len(batch)] for name, values in scores.items()}
        if self.on_host:
            pixels = np.asarray(images).astype(np.float32) / 255  # padded: a host model may want one batch size
            out |= {name: scorer(pixels)[: len(batch)] for name, scorer in self.on_host.items()}
        return batch, out, images


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


@functools.cache
def _compiled_step(mesh):
    """One compiled step for all studies of a process."""
    return sharding.split_rows(keyed_batch, mesh, num_replicated=4, num_split=2)


def keyed_batch(generator, scorers, key, draw, token_ids, ids):
    """The fused step of a study, on one device: `paint_and_score` with the noise of a draw."""
    return paint_and_score(generator, scorers, token_ids, noise_keys(key, draw, ids))


def step_and_arguments(study: Study) -> tuple[Callable, tuple]:
    """The fused step for this process's devices and the arguments of a batch, to trace or compile it ahead of time.

    The batch is as large as the settings say, as was once found to be best, or of the default size.
    """
    batch = _BatchScorer(study, search=False)
    rows = np.zeros(batch.batch_size, int)
    ids = study.plan.ids[study.plan.variants.example[rows]]
    return batch.step, (batch.generator, batch.on_device, batch.key, 0, study.plan.captions(rows), ids)


def render(study: Study, variants: np.ndarray, draw: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Images uint8 [V, H, W, 3] and scores [V, C] of some variants, kept nowhere."""
    step = _BatchScorer(study, search=False)
    batches = list(step(draw, iter([np.asarray(variants)])))
    images = np.concatenate([np.asarray(pixels)[: len(batch)] for batch, _, pixels in batches])
    return images, {name: np.concatenate([scores[name] for _, scores, _ in batches]) for name in study.scorers}


def score_images(
    scorers: Mapping[str, Scorer | HostScorer],
    images: np.ndarray | ImageFiles,
    batch_size: int = 64,
) -> dict[str, np.ndarray]:
    """Scores [N, C] by scorer of images [N, H, W, 3], which are read once."""
    found = {name: [] for name in scorers}
    for batch in batches_of(images, batch_size):
        padded = sharding.pad_rows(batch, batch_size)
        for name, scorer in scorers.items():
            on_host = isinstance(scorer, HostScorer)
            scores = scorer(padded.astype(np.float32) / 255) if on_host else np.asarray(_score_pixels(scorer, padded))
            found[name].append(scores[: len(batch)])
    return {name: np.concatenate(scores) for name, scores in found.items()}


@jax.jit
def _score_pixels(scorer: Scorer, images: jax.Array) -> jax.Array:
    return scorer(images.astype(jnp.float32) / 255)


def sampled_examples(study: Study) -> list[int]:
    """Indices of the examples whose images are kept: the first ones in the order of the tables."""
    example = np.asarray(study.plan.variants.example)[np.argsort(study.rows, kind="stable")]
    return list(dict.fromkeys(example.tolist()))[: study.settings.output.sampled_examples]


def _by_place(scorers) -> tuple[dict[str, Scorer], dict[str, HostScorer]]:
    on_device = {name: s for name, s in scorers.items() if isinstance(s, Scorer)}
    return on_device, {name: s for name, s in scorers.items() if isinstance(s, HostScorer)}


def _count_outputs(
    generator: Generator, scorers, plan: Plan, settings: Settings
) -> tuple[dict[str, int], tuple[int, int]]:
    """Columns of each scorer, and height and width of an image; a host scorer is tried on noise."""
    on_device, on_host = _by_place(scorers)
    key = jax.random.split(jax.random.key(0), 1)
    shapes, images, _ = jax.eval_shape(paint_and_score, generator, on_device, plan.captions(np.arange(1)), key)
    batch = (settings.compute.batch_size or 8, *images.shape[1:])
    device = {name: s.shape[1] for name, s in shapes.items()}
    return device | {name: s.try_out(batch) for name, s in on_host.items()}, images.shape[1:3]


def resize_real(images: np.ndarray | ImageFiles | None, height: int, width: int) -> np.ndarray | ImageFiles | None:
    """Real images at the size of generated ones, unless their files were given another size."""
    if isinstance(images, np.ndarray) and images.shape[1:3] != (height, width):
        images = ImageFiles(images)
    if isinstance(images, ImageFiles) and not images.size:
        return images.with_size(height)
    return images


def _check_outputs(examples: Examples, outputs: Mapping[str, int]) -> None:
    """Refuses scorers whose number of outputs does not fit the concepts or labels."""
    names = examples.concept_names
    if (found := outputs.get("detector", len(names))) != len(names):
        raise InputError(
            f"the detector gives {found} scores an image and must give {len(names)}, one for each of {', '.join(names)}"
        )
    labels, count = np.asarray(examples.labels), outputs["target"]
    if labels.ndim == 1 and count > 2 and set(labels.tolist()) == {0, 1}:
        raise InputError(
            f"the target gives {count} scores an image and the labels are of two classes, 0 and 1: "
            "say in `classes` of load_scorer (or of the config) which outputs mean 1"
        )
    validate_labels(labels, count)


def _missing(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows of a draw that some scorer has not scored, bool [V]."""
    return np.any([np.isnan(values).any(-1) for values in scores.values()], axis=0)


def _check_metrics(examples: Examples, num_outputs: int, settings: Settings) -> None:
    """Traces every metric, so that one that does not fit the labels fails before any image."""
    scores = jax.ShapeDtypeStruct((len(examples), *((num_outputs,) if num_outputs > 1 else ())), jnp.float32)
    labels = jax.ShapeDtypeStruct(np.shape(examples.labels), jnp.int32)
    for name in settings.statistics.metrics:
        jax.eval_shape(METRICS[name].prepare, scores, labels)


def _refuse_other_captions(plan: Plan, examples: Examples, store: Store, separator: str) -> None:
    """An example that the store knows must still have the caption that it has there."""
    known = store.variants()
    if not known.num_rows:
        return
    own = [row for row, feature in enumerate(known["feature"].to_pylist()) if not feature]
    there = dict(zip(known["example_id"].take(own).to_pylist(), own))
    codes, texts = np.asarray(known["code"]), known["caption"]
    for i, (example, row) in enumerate(zip(stored_ids(examples.ids).to_pylist(), np.asarray(plan.baseline))):
        if example in there and codes[there[example]] != plan.codes[row]:
            said = separator.join(text for text in examples.slots[i] if text)
            raise InputError(
                f"{store.location} holds another study: the caption of example {example} is "
                f"{str(texts[there[example]])!r} there and {said!r} here (or other tokens). Choose another --workdir"
            )
