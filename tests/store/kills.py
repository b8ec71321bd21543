"""Launches of launch/explain.py that are killed at any moment, started again, extended and raced against each other.

Each is a process, forked from this one, which has imported everything and has neither a backend of JAX nor threads: it
costs about a second. Whatever reads a study is forked as well, for the same reason. Long, since kills, extensions and
races share these forks.
"""

import dataclasses
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

import cpi_jax.cli.command_line
import cpi_jax.cli.dry_run
import cpi_jax.cli.flags
import cpi_jax.cli.from_config
import cpi_jax.cli.planted
import cpi_jax.explain
import cpi_jax.opening
import cpi_jax.report.plots
import cpi_jax.report.text  # noqa: F401
from cpi_jax.files.json_files import seal_json
from cpi_jax.store.store import Store
from cpi_jax.store.verify import verify
from cpi_jax.store.workers import read_tallies
from tests.launching import launch
from tests.painter import CONCEPTS, painter, scenes
from tests.words import WordTokenizer

EXAMPLES, DRAWS = 60, 3  # of a study in the end
UNIT = 16
_seconds = 0.0  # that the target takes for a batch


def look(images):
    """The target: red circles."""
    time.sleep(_seconds)
    return images[:, :4, :4].mean((1, 2, 3)) - 0.5


def see(images):
    """The detector: the brightness of each concept's patch, -.5 to .5."""
    return images.reshape(-1, 2, 4, 3, 4, 3).mean((2, 4, 5)).reshape(-1, 6) - 0.5


@dataclasses.dataclass
class Launch:
    """A launch that runs in a process of its own.

    Attributes:
      process: its id.
      said: the file that has its output in the end.
      code: its exit code, negative for a signal; None while it runs.
    """

    process: int
    said: Path
    code: int | None = None

    def running(self) -> bool:
        """Whether it has not ended."""
        if self.code is None:
            process, status = os.waitpid(self.process, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if process else None
        return self.code is None

    def kill(self) -> None:
        """Ends it with SIGKILL, unless it has ended."""
        if self.running():
            os.kill(self.process, signal.SIGKILL)
            self.wait()

    def wait(self) -> str:
        """Its output, once it has ended."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        return self.said.read_text() if self.said.exists() else ""


class Launches:
    """Launches on studies of the painter's images, in folders of one place.

    Args:
      root: an empty folder.
    """

    def __init__(self, root: Path):
        self._root, self._count = root, 0
        examples = scenes(EXAMPLES)
        table = pd.DataFrame({"id": examples.ids, "label": examples.concepts[:, 0]})
        table[list(CONCEPTS)] = examples.concepts
        for size in range(8, EXAMPLES + 1):
            table[:size].to_csv(root / f"{size}.csv", index=False)
        self.whole = root / "undisturbed"
        done = self.start(self.whole)
        said = done.wait()
        assert done.code == 0, said
        self.results = (self.whole / "importance.csv").read_bytes()

    def start(
        self, folder: Path, *, worker: str = "0/1", size: int = EXAMPLES, draws: int = DRAWS, seed: int = 0,
        detector: bool = True, seconds: float = 0.0, after: int | None = None,
    ) -> Launch:  # fmt: skip
        """Starts a launch.

        Args:
          folder: of its study.
          worker: its share.
          size: examples.
          draws: of the study.
          seed: of the study.
          detector: whether there is one.
          seconds: that its target takes for a batch.
          after: a pipe; it begins once something can be read there.
        """
        arguments = [
            f"--workdir={folder}", "--config=configs/table.py", f"--config.data.path={self._root}/{size}.csv",
            "--config.data.label=label", "--config.generator.path=painted", f"--config.target.module={__name__}:look",
            f"--config.detector.module={f'{__name__}:see' * detector}", f"--config.draws={draws}", f"--config.seed={seed}",
            f"--config.compute.unit_size={UNIT}", f"--config.compute.batch_size={UNIT}", f"--worker={worker}",
            "--config.statistics.num_bootstrap=2", "--config.statistics.metrics=('accuracy',)",
            "--config.output.sampled_examples=1",
        ]  # fmt: skip

        def run():
            global _seconds
            _seconds = seconds
            if after is not None:
                os.read(after, 1)
            with (
                mock.patch("cpi_jax.cli.from_config.load_generator", lambda *_, **__: (painter(), WordTokenizer())),
                mock.patch("cpi_jax.report.plots.write_figures"),
                mock.patch(
                    "cpi_jax.analysis.real_images.describe_captions_alone", lambda *_: ("", ())
                ),  # takes seconds
            ):
                done = launch("explain", *arguments)
            return done.code, done.out + done.err

        return self._fork(run)

    def read(self, task: Callable[[], str]) -> str:
        """What a function says that opens stores."""
        done = self._fork(lambda: (0, task()))
        said = done.wait()
        assert done.code == 0, said
        return said

    def _fork(self, task: Callable[[], tuple[int, str]]) -> Launch:
        self._count += 1
        said = self._root / f"said-{self._count}"
        if process := os.fork():
            return Launch(process, said)
        code = 99
        try:
            code, text = task()
            said.write_text(text)
        except BaseException as error:
            said.write_text(f"Traceback: {error!r}")
        finally:
            os._exit(code)


@dataclasses.dataclass
class Killed:
    """What became of studies whose launches were killed.

    Attributes:
      kills: moments at which all launches of a study were killed.
      met: of them, those that met one that ran.
      writing: of them, those before which one had written a unit.
      processes: that were killed.
      ended: launches that had ended before.
      extended: launches of a larger study than all before.
      smaller: launches of a smaller study than the others beside them.
      wrong: what went wrong.
    """

    kills: int = 0
    met: int = 0
    writing: int = 0
    processes: int = 0
    ended: int = 0
    extended: int = 0
    smaller: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


def kill_one_study(launches: Launches, folder: Path, kills: int, rng: random.Random, told: Killed) -> None:
    """Launches 1 to 3 workers again and again, each time of the same or a larger study, kills them, and finishes it.

    After each kill every score that the folder gives is held against that of the undisturbed study; in the end the tables
    and the results are the same to the bit.
    """
    size, draws = 8, 1
    for _ in range(kills):
        larger = min(size + rng.randint(1, 8), EXAMPLES) if rng.random() < 0.6 else size
        more = min(draws + 1, DRAWS) if rng.random() < 0.3 else draws
        told.extended += (larger, more) != (size, draws)
        before, (size, draws) = size, (larger, more)
        count = rng.randint(1, 3)
        sizes = [before if rng.random() < 0.2 else size for _ in range(count)]  # some as they were planned before
        told.smaller += sum(one < size for one in sizes)
        written, workers = _records(folder), []
        for i in rng.sample(range(count), count):
            worker = f"{i}/{count}"
            workers.append(launches.start(folder, worker=worker, size=sizes[i], draws=draws, seconds=0.05))
            time.sleep(rng.uniform(0, 0.3))
        if rng.random() < 0.3:  # before or while anything is opened, planned and placed
            time.sleep(rng.uniform(0, 2))
        else:
            _wait_for_records(folder, written, workers)
            time.sleep(rng.uniform(0, 1))
        running = [worker for worker in workers if worker.running()]
        for worker in workers:
            worker.kill()
        told.kills, told.met = told.kills + 1, told.met + bool(running)
        told.writing += bool(running) and _records(folder) != written
        told.processes, told.ended = told.processes + len(running), told.ended + count - len(running)
        _judge(told, [worker for worker in workers if worker not in running], "beside a kill")
        told.wrong += json.loads(launches.read(lambda: _other_scores(launches.whole, folder)))
    _judge(told, [launches.start(folder, worker=f"{i}/2") for i in range(2)], "to finish")
    _judge(told, [launches.start(folder)], "to read")
    told.wrong += json.loads(launches.read(lambda: _compare(launches.whole, folder)))
    if (folder / "importance.csv").read_bytes() != launches.results:
        told.wrong.append("other results")


def race_launches(launches: Launches, folder: Path, seeds: tuple[int, int], *, claimed: bool) -> str:
    """Two launches at once of studies that differ by their seeds; what went wrong, or an empty text.

    Args:
      launches: that are to be started.
      folder: to be made.
      seeds: of the studies.
      claimed: whether a third study has claimed the folder before, of which nothing is scored.
    """
    if claimed:
        (folder / "rows").mkdir(parents=True)
        (folder / "rows" / "00000").write_bytes(b"")
        (folder / "study.json").write_text(seal_json({"format": 2, "images": {"seed": -1}}))
    start, go = os.pipe()
    both = [launches.start(folder, size=8, draws=1, seed=seed, detector=False, after=start) for seed in seeds]
    os.write(go, b"..")
    said = [one.wait() for one in both]
    os.close(start), os.close(go)
    if sorted(one.code or 0 for one in both) != [0, 1]:
        return f"exit codes {[one.code for one in both]}: {said}"
    winner = 0 if both[0].code == 0 else 1
    errors = [line for line in said[1 - winner].splitlines() if line.strip()]
    if len(errors) != 1 or not errors[0].startswith("error: ") or "holds another study: seed is" not in errors[0]:
        return f"the other said {errors}"
    if json.loads((folder / "study.json").read_text())["images"]["seed"] != seeds[winner]:
        return "the folder is the refused study's"
    return "" if json.loads(launches.read(lambda: json.dumps(verify(folder).damage))) == [] else "not sound"


def _records(folder: Path) -> dict[str, float]:
    """The commit records that there are, and when each was written."""
    return {str(path): path.stat().st_mtime for path in folder.glob("commits/*/*") if path.name.isdigit()}


def _wait_for_records(folder: Path, written: dict[str, float], workers: list[Launch]) -> None:
    while _records(folder) == written and any(worker.running() for worker in workers):
        time.sleep(0.02)


def _judge(told: Killed, workers: list[Launch], when: str) -> None:
    for worker in workers:
        said = worker.wait()
        if worker.code or any(sign in said for sign in ("Traceback", "damaged", "not what their commit records say")):
            told.wrong.append(f"a launch {when} ended with {worker.code}: {said}")


def _scores(folder: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    store = Store.open_existing(folder)
    if store is None:
        return np.empty(0, np.uint64), {}
    scores = store.read_scores(store.shape[0])
    return np.asarray(store.variants()["code"] if store.shape[1] else (), np.uint64), scores


def _other_scores(whole: Path, folder: Path) -> str:
    """In what the scores that a folder holds differ from those of the undisturbed study, as JSON."""
    (codes, scores), (of_all, truth) = _scores(folder), _scores(whole)
    rows = {code: row for row, code in enumerate(of_all.tolist())}
    wrong = [] if len(set(codes.tolist())) == len(codes) else ["a row is there twice"]
    place = np.array([rows[code] for code in codes.tolist()], int)
    for name, table in scores.items():
        done = np.isfinite(table).all(-1)
        wrong += [f"the {name}'s scores are others"] * bool(
            (table != truth[name][: len(table), place])[done].any() or len(table) > len(truth[name])
        )
    return json.dumps(wrong)


def _compare(whole: Path, folder: Path) -> str:
    """What a finished study lacks, and in what its scores differ from those of the undisturbed one, as JSON."""
    wrong = json.loads(_other_scores(whole, folder))
    (codes, scores), (of_all, _) = _scores(folder), _scores(whole)
    wrong += ["rows are missing"] * (set(codes.tolist()) != set(of_all.tolist()))
    wrong += [f"scores of the {name} are missing" for name, table in scores.items() if np.isnan(table).any()]
    report, images = verify(folder), sum(tally["images"] for tally in read_tallies(Store(folder)).values())
    wrong += [*report.damage, *report.notes]
    wrong += [f"{images} images were written of {DRAWS * len(codes)}"] * (images > DRAWS * len(codes))
    return json.dumps(wrong)
