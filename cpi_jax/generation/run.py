"""The run over a worker's units: generates and scores what the tables lack, and writes it unit by unit."""

from __future__ import annotations

import collections
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from cpi_jax.errors import InputError
from cpi_jax.generation.batch_checks import one_score, refuse_nan
from cpi_jax.generation.batches import BatchScorer
from cpi_jax.generation.kept_images import KeptImages
from cpi_jax.generation.progress import Bar, Profile
from cpi_jax.store.plan_scores import PlanScores
from cpi_jax.store.workers import Budget, Tally, Worker, hold_share


@runtime_checkable
class StoppingRule(Protocol):
    """When a study needs no more draws."""

    def should_stop(self, num_draws: int) -> bool:
        """Whether so many complete draws are enough; asked before each draw."""
        ...

    def is_stopped(self, num_draws: int) -> bool:
        """Whether another worker has found that so many draws are enough; asked between units."""
        ...


class NeverStop:
    """All draws are made."""

    def should_stop(self, num_draws: int) -> bool:
        """No."""
        return False

    is_stopped = should_stop


def generate(
    scorer: BatchScorer,
    scores: PlanScores,
    num_draws: int,
    *,
    kept: KeptImages,
    worker: Worker = Worker(),
    budget: Budget | None = None,
    stopping: StoppingRule = NeverStop(),
    title: str = "generating",
    profile: bool = False,
) -> str:
    """Generates and scores what a worker's share of the tables lacks, draw by draw.

    Batches run on across units, and a unit is written while the next batch is on the device.

    Args:
      scorer: makes and scores the images.
      scores: where they belong.
      num_draws: at most.
      kept: which images are kept.
      worker: whose share.
      budget: when to end before that; None for never.
      stopping: when no more draws are needed.
      title: of the progress bar.
      profile: whether a few batches are recorded.

    Returns:
      Why it ended before the share was done; empty where it did not.

    Raises:
      InputError: for a picture or a score that is none (names the part and the example), one score for all pictures, a
        full disk, or a share that another process works on.
    """
    budget = budget or Budget()
    with hold_share(scores.store, worker):
        scores.store.claim(scores.identity, scores.store.scorers)  # nobody has taken the folder meanwhile
        shares = [_share_of(worker, scores, draw) for draw in range(num_draws)]
        to_do = {draw: variants for draw, (variants, _) in enumerate(shares)}
        total = sum(map(len, to_do.values()))
        if total:
            scorer = scorer.restricted_to(set.union(*(lacking for _, lacking in shares)))
            scorer.find_batch_size()
        whole = num_draws * len(scores.rows) if worker.count == 1 else None
        with Bar(whole, total, title, scores.store, worker) as bar:
            run = _Run(scorer, scores, num_draws, kept, worker, budget, stopping, bar, Profile(profile, scores.store))
            for draw, variants in to_do.items():
                if run.ended or stopping.should_stop(draw):
                    break
                run.score_draw(draw, variants)
            run.profile.stop()
            return run.ended


def _share_of(worker: Worker, scores: PlanScores, draw: int) -> tuple[np.ndarray, set[str]]:
    """The variants of a draw that a worker has to score, in the order of their rows, and the scorers that lack some."""
    owned = worker.owns(draw, scores.rows // scores.unit_size)
    missing = {name: owned & missing for name, missing in scores.missing_of(draw).items()}
    mine, order = np.any(list(missing.values()), axis=0), scores.in_order()
    return order[mine[order]], {name for name, rows in missing.items() if rows.any()}


class _Run:
    """A worker's way through its units."""

    def __init__(
        self,
        scorer: BatchScorer,
        scores: PlanScores,
        num_draws: int,
        kept: KeptImages,
        worker: Worker,
        budget: Budget,
        stopping: StoppingRule,
        bar: Bar,
        profile: Profile,
    ):
        self.scorer, self.scores, self.num_draws, self.kept = scorer, scores, num_draws, kept
        self.budget, self.stopping, self.bar, self.profile = budget, stopping, bar, profile
        self.tally = Tally(scores.store, worker)
        self.num_started = 0  # images
        self.ended = ""

    def score_draw(self, draw: int, variants: np.ndarray) -> None:
        """Scores some variants, in the order of their rows, and writes every unit once its last one is scored."""
        if not len(variants):
            return
        rows, unit_size = self.scores.rows, self.scores.unit_size
        table = self.scores.store.read_draw(draw)
        lacking = {name: np.asarray(np.isnan(values).any(-1)) for name, values in table.items()}
        units = np.split(variants, np.flatnonzero(np.diff(rows[variants] // unit_size)) + 1)
        started: collections.deque[np.ndarray] = collections.deque()  # units that are not scored to the end
        num_scored, wait = 0, lambda: None
        with contextlib.closing(self.scorer.score(draw, self._start_units(draw, units, started))) as batches:
            for batch, batch_scores, images in batches:
                self.profile.tick()
                for name, values in batch_scores.items():
                    refuse_nan(name, values, batch, self.scorer.plan, self.scorer.example_ids)
                    new = lacking[name][rows[batch]]
                    table[name][rows[batch][new]] = values[new]
                self.kept.add(draw, batch, images)
                self.bar.update(len(batch))
                num_scored += len(batch)
                self.budget.keeping = True
                while started and (len(started[0]) <= num_scored or (self.budget.interrupted and num_scored)):
                    unit = started.popleft()[:num_scored]  # all of it, unless interrupted
                    num_scored -= len(unit)
                    self.kept.write(draw)  # before the scores say that the unit is done
                    wait()  # for the unit before
                    start = int(rows[unit[0]]) // unit_size * unit_size
                    values = {  # a table that lacks nothing here stays as it is
                        name: values[start : start + unit_size]
                        for name, values in table.items()
                        if lacking[name][rows[unit]].any()
                    }
                    finish = self.scores.store.write_unit(draw, start, values)
                    wait = functools.partial(self._finish_unit, finish, len(unit))
                if self.budget.interrupted:
                    wait()
                    self._end()
        wait()
        self.budget.keeping = False
        if self.budget.interrupted:
            self._end()
        whole = {name: values[rows] for name, values in table.items()}
        for name, values in whole.items():
            if not np.isnan(values).any() and (sentence := one_score(name, values, "generated")):
                raise InputError(sentence)

    def _start_units(self, draw: int, units: list[np.ndarray], started: collections.deque) -> Iterator[np.ndarray]:
        for unit in units:
            self.ended = self.budget.spent(self.num_started)
            if self.ended or (draw and self.stopping.is_stopped(draw)):
                return
            affordable = unit[: self.budget.left(self.num_started)]
            self.num_started += len(affordable)
            started.append(affordable)
            yield affordable

    def _end(self) -> None:
        """Of a process that is interrupted, and has written what was scored."""
        done, total = int(self.scores.count_done(self.num_draws).sum()), self.num_draws * len(self.scores.rows)
        self.budget.end(f"stopped: {done:,} of {total:,} images are done; resume with the same command")

    def _finish_unit(self, finish: Callable[[], None], images: int) -> None:
        finish()
        self.tally.add(images)
