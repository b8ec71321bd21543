"""Independent workers that share a study: which units are whose, how far each is, and when one should end.

Workers do not talk to each other and wait for nobody; they meet in the store (docs/large_studies.md).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import jax
import numpy as np
from jaxtyping import Bool, Int

from cpi_jax import signals
from cpi_jax.errors import InputError
from cpi_jax.store.locks import hold, running
from cpi_jax.store.store import Store


@dataclasses.dataclass(frozen=True)
class Worker:
    """One of `count` workers; unit u of draw d is of the one with index (u + d) mod count."""

    index: int = 0
    count: int = 1

    def __post_init__(self):
        if self.count < 1 or not 0 <= self.index < self.count:
            raise InputError(f"a worker is i/n with 0 <= i < n, such as 0/2 and 1/2 for two, not {self}")

    def __str__(self):
        return f"{self.index}/{self.count}"

    def owns(self, draw: int, unit: Int[np.ndarray, " u"]) -> Bool[np.ndarray, " u"]:
        """Whether units are this worker's."""
        return (draw + unit) % self.count == self.index


def find_worker(text: str = "", environment: Mapping[str, str] = os.environ) -> Worker:
    """The worker that this process is.

    "i/n" where given; else the place in a Slurm array or among a Slurm job's tasks; on a TPU slice of several hosts the
    place among its processes, which `jax.distributed` then starts; else the only one.

    Raises:
      InputError: for anything but i/n with 0 <= i < n.
    """
    if text:
        if not re.fullmatch(r"\d+/\d+", text):
            raise InputError(f"a worker is i/n, such as 0/2 and 1/2 for two, not {text!r}")
        return Worker(*map(int, text.split("/")))
    if "SLURM_ARRAY_TASK_ID" in environment:
        first = int(environment.get("SLURM_ARRAY_TASK_MIN", 0))
        return Worker(int(environment["SLURM_ARRAY_TASK_ID"]) - first, int(environment["SLURM_ARRAY_TASK_COUNT"]))
    if int(environment.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in environment:
        return Worker(int(environment["SLURM_PROCID"]), int(environment["SLURM_NTASKS"]))
    if "," in environment.get("TPU_WORKER_HOSTNAMES", ""):
        jax.distributed.initialize()
        return Worker(jax.process_index(), jax.process_count())
    return Worker()


@contextmanager
def hold_share(store: Store, worker: Worker) -> Iterator[None]:
    """Refuses a second launch of the same share, or of another number of shares, on this file system while one runs.

    The locks are the operating system's (flock) and end with the process, however it ends. gs:// has no such lock: there,
    a second launch does the work twice, and the table is the same.

    Raises:
      InputError: where the share is taken, or the work is cut into other shares.
    """
    with hold(store, f"{worker.index}-of-{worker.count}") as held:
        if not held:
            raise InputError(
                f"worker {worker} already runs in {store.location}: wait for it, or start the others (0/n to n-1/n)"
            )
        for name in running(store):
            if int(name.split("-of-")[1]) != worker.count:
                other = name.replace("-of-", "/")
                raise InputError(
                    f"worker {other} runs in {store.location}: it cuts the work into other shares than {worker}"
                )
        yield


class Tally:
    """What a worker has done, over all its runs; kept in the store for `launch/status.py`.

    Attributes:
      images: generated for units that were written.
      seconds: spent on them.
    """

    def __init__(self, store: Store, worker: Worker):
        self._store, self._name = store, f"workers/{worker.index}-of-{worker.count}.json"
        known = _read_tally(store, self._name) or {}
        self.images, self.seconds = int(known.get("images", 0)), known.get("seconds", 0.0)
        self._before, self._started = (self.images, self.seconds), time.monotonic()

    def add(self, images: int) -> None:
        """Counts a unit that was written."""
        run = time.monotonic() - self._started
        self.images, self.seconds = self.images + images, self._before[1] + run
        rate = (self.images - self._before[0]) / max(run, 1e-9)
        content = {"images": self.images, "seconds": round(self.seconds, 2), "rate": round(rate, 3)}
        content["time"] = time.time()
        with contextlib.suppress(InputError):  # a full disk is said of the scores
            self._store.write(self._name, json.dumps(content))


def read_tallies(store: Store) -> dict[str, dict[str, float]]:
    """What every worker that ever ran has done: images, seconds, images/s of its last run, time of its
    last unit; by "i-of-n"."""
    names = [name for name in store.names("workers/") if name.endswith(".json")]
    tallies = {name.removeprefix("workers/").removesuffix(".json"): _read_tally(store, name) for name in names}
    return {name: tally for name, tally in tallies.items() if tally is not None}


def _read_tally(store: Store, name: str) -> dict[str, float] | None:
    """A tally; None where there is none, or a damaged one."""
    tally = store.read_note(name)
    numbers = [(tally or {}).get(field) for field in ("images", "seconds", "rate", "time")]
    return tally if all(isinstance(n, (int, float)) and 0 <= n < 1e15 for n in numbers) else None


@dataclasses.dataclass
class Budget:
    """When a run ends before its table is complete.

    Attributes:
      max_images: that this run may generate; 0 for any number.
      max_minutes: that it may begin units in; 0 for any time.
      keeping: whether there are scores that are not written yet.
      interrupted: by which signal, while `keeping`: whoever writes the scores calls `end` then.
    """

    max_images: int = 0
    max_minutes: float = 0.0
    keeping: bool = False
    interrupted: signal.Signals | None = None

    def __post_init__(self):
        self._started = time.monotonic()

    def left(self, images: int) -> int:
        """How many more images may be generated after so many."""
        return max(self.max_images - images, 0) if self.max_images else 2**62

    def spent(self, images: int) -> str:
        """Why no unit should be begun after so many images; empty to go on."""
        if self.max_images and images >= self.max_images:
            return f"max_images = {self.max_images:,} are generated"
        if self.max_minutes and time.monotonic() - self._started >= 60 * self.max_minutes:
            return f"max_minutes = {self.max_minutes:g} are over"
        return ""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the process: at once, or while `keeping` after the batch in flight; again, at once."""

        def answer(number):
            if self.interrupted or not self.keeping:
                signals.stop(number)
            else:
                self.interrupted = number
                signals.say(f"{number.name}: ends after the batch in flight; once more to stop at once")

        with signals.answering(answer):
            yield

    def end(self, line: str) -> None:
        """Ends the process that was interrupted, with a line."""
        assert self.interrupted is not None, "only a process that is interrupted ends so"
        signals.stop(self.interrupted, line)
