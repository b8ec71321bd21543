"""How a run is going: a bar in a terminal, a line a minute elsewhere, scalars for TensorBoard."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping

import jax
from absl import logging
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar
from tqdm import tqdm

from cpi_jax.store.store import Store
from cpi_jax.store.workers import Worker
from cpi_jax.wording import counted

SECONDS_BETWEEN_LINES = 60


class Bar:
    """Counts images; a context manager.

    Args:
      whole: images of the study, where this worker does all of it: the bar then begins at what earlier runs did.
      total: images to generate now.
      title: shown before the numbers.
      store: of the study; scalars go to its folder tensorboard/ unless it is under gs://.
      worker: this process.
    """

    def __init__(self, whole: int | None, total: int, title: str, store: Store, worker: Worker):
        whole = total if whole is None else whole
        self._title = title if worker.count == 1 else f"{title}, worker {worker}"
        self._bar = tqdm(
            total=whole,
            initial=whole - total,
            unit=" images",
            desc=self._title,
            smoothing=0.1,
            disable=None,  # where this is no terminal
        )
        self._total, self._done, self._writer = total, 0, None
        folder = store.local_path("tensorboard")  # None under gs://
        self._folder = None if folder is None else folder / str(worker).replace("/", "-of-")
        self._started = self._last = time.monotonic()
        self._last_done = 0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._done:
            self._say()
        self._bar.close()
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()

    def update(self, images: int) -> None:
        """Counts images that were scored."""
        self._done += images
        self._bar.update(images)
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._say()

    def _say(self) -> None:
        now = time.monotonic()
        rate = (self._done - self._last_done) / max(now - self._last, 1e-9)
        mean = self._done / max(now - self._started, 1e-9)
        self._last, self._last_done = now, self._done
        devices = jax.local_device_count()
        if self._bar.disable:
            left = (self._total - self._done) / mean
            line = (
                f"{self._title}: {self._done:,} of {self._total:,} images, {mean:.1f} images/s "
                f"({mean / devices:.1f} a device), {counted(left / 60, 'minute')} left"
            )
            print(line, file=sys.stderr, flush=True)
        self._write({"images": self._done, "images_per_second": rate, "images_per_second_per_device": rate / devices})

    def _write(self, scalars: Mapping[str, float]) -> None:
        """Writes scalars for TensorBoard in this thread, while they can be written: the study does not depend on them."""
        if self._folder is None:
            return
        try:
            if self._writer is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._writer = EventsWriter(str(self._folder / "events"))
            for name, value in scalars.items():
                self._writer.write_event(Event(wall_time=time.time(), step=self._done, summary=scalar(name, value)))
            self._writer.flush()
        except OSError as error:
            logging.warning("nothing more is written for TensorBoard to %s: %s", self._folder, error.strerror)
            self._folder = None


class Profile:
    """Records a few batches of a run for `jax.profiler` under profile/, after the one that compiles.

    Args:
      wanted: whether to.
      store: of the study; under gs:// nothing is recorded.
    """

    FIRST, LAST = 2, 6  # batches

    def __init__(self, wanted: bool, store: Store):
        self._folder = store.local_path("profile") if wanted and not store.remote else None
        self._batch = 0
        self._running = False

    def tick(self) -> None:
        """Counts a batch."""
        self._batch += 1
        if self._folder is not None and self._batch == self.FIRST:
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        if self._batch > self.LAST:
            self.stop()

    def stop(self) -> None:
        """Ends the record."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
