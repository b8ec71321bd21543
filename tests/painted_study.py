"""A worker of a small study of the painter's images, to be started, killed and started again as a process of its own."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from cpi_jax.classifiers.scorer import HostScorer
from cpi_jax.errors import InputError
from cpi_jax.opening import open_study
from cpi_jax.settings import Compute, Output, Settings, Statistics
from cpi_jax.store.workers import Budget, find_worker
from tests.painter import WEIGHTS, painter, read_patches, reader, scenes
from tests.quick_compiling import FLAGS
from tests.words import WordTokenizer

# Workers are forked from a process that has imported this module and used no device: an import takes longer than a study.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


class PaintedStudy:
    """A worker that runs.

    Args:
      workdir: of the study.
      worker: its share.
      devices: of the host.
      seconds: that the classifier takes for a batch.
    """

    def __init__(self, workdir, worker="0/1", devices=1, seconds=0.0):
        self._said = Path(f"{workdir}-{worker.replace('/', '-of-')}-{time.monotonic_ns()}")
        self._process = PROCESSES.Process(target=_run, args=(self._said, str(workdir), worker, devices, seconds))
        self._process.start()

    def wait_until_it_begins(self):
        while self.running() and "begins" not in self.said("out"):
            time.sleep(0.02)

    def running(self):
        return self._process.is_alive()

    def kill(self, number=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def wait(self):
        """Its exit code, and what it said."""
        self._process.join()
        return self._process.exitcode, self.said("out"), self.said("err")

    def said(self, where):
        file = self._said.with_suffix(f".{where}")
        return file.read_text() if file.exists() else ""


def _run(said, workdir, worker, devices, seconds):
    for number, where in ((1, "out"), (2, "err")):
        os.dup2(os.open(said.with_suffix(f".{where}"), os.O_CREAT | os.O_WRONLY), number)
    os.environ["XLA_FLAGS"] = f"{FLAGS} --xla_force_host_platform_device_count={devices}"

    def slow(images):
        time.sleep(seconds)
        return np.asarray(read_patches(np.asarray(WEIGHTS, np.float32), images))

    settings = Settings(
        draws=2,
        compute=Compute(unit_size=32, batch_size=12),
        statistics=Statistics(num_bootstrap=10),
        output=Output(sampled_examples=0),
    )
    try:
        study = open_study(
            scenes(100),
            generator=painter(),
            tokenizer=WordTokenizer(),
            scorers={"target": HostScorer(slow, name="slow"), "detector": reader(np.eye(6))},
            settings=settings,
            workdir=workdir,
        )
        budget = Budget()
        print("begins", flush=True)
        with budget.listening():
            ended = study.generate(worker=find_worker(worker), budget=budget)
        print(f"ends: {ended or 'share done'}", flush=True)
    except InputError as error:
        sys.exit(f"error: {error}")
