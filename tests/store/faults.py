"""Faults in the files of a study, and what is read of it afterwards: the right scores, fewer of them, or a sentence.

A study of the painter is made, extended and finished; a fault is put into a copy of its files, the folder is opened as a
launch opens it, and every score that it gives is held against the one that belongs to its caption.
"""

import collections
import dataclasses
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cpi_jax.analysis.early_stopping import EarlyStopping
from cpi_jax.analysis.finished import are_there, remember, remember_again
from cpi_jax.analysis.real_images import score_real
from cpi_jax.cli.saved_config import read_config
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import seal_json
from cpi_jax.generation.recheck import read_sources, recheck_finished
from cpi_jax.opening import open_study
from cpi_jax.plan.describe import describe_variants
from cpi_jax.store.plan_scores import PlanScores
from cpi_jax.store.status import status
from cpi_jax.store.store import Store
from cpi_jax.store.verify import verify
from cpi_jax.store.workers import read_tallies
from tests import painter

KINDS = ("bit flip", "truncation", "empty file", "deletion", "swap of two files", "copy of another file", "stale copy",
         "other JSON")  # fmt: skip
SECONDS = 30  # after which reading counts as a loop
STUDY = {"unit_size": 16, "batch_size": 16, "num_bootstrap": 2, "sampled_examples": 1, "metrics": ("accuracy",)}


class FaultyFiles:
    """The files of a study, as they are at first and, once `finish` is called, in the end.

    Args:
      path: the study's folder.
    """

    def __init__(self, path: Path):
        self.path = path
        self.earlier, self.whole = self.read(), {}

    def finish(self) -> None:
        """Takes the files as they are now for the sound ones."""
        self.whole = self.read()

    def read(self) -> dict[str, bytes]:
        """Every file that a fault may be put into, by name."""
        paths = (path for path in self.path.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
        return {str(p.relative_to(self.path)): p.read_bytes() for p in paths if ".tfevents" not in p.name}

    def restore(self) -> None:
        """Puts the sound files back."""
        now = self.read()
        for name in now.keys() - self.whole.keys():
            (self.path / name).unlink()
        for name, content in self.whole.items():
            if now.get(name) != content:
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                (self.path / name).write_bytes(content)

    def damage(self, kind: str, rng: np.random.Generator) -> str:
        """Puts a fault into a file; says which."""
        names = sorted(self.whole)
        name, other = (names[i] for i in rng.choice(len(names), 2, replace=False))
        if kind == "stale copy":
            name = str(rng.choice([n for n in names if self.earlier.get(n) != self.whole[n]]))
        elif kind in ("swap of two files", "copy of another file") and rng.random() < 0.8:  # of the same kind
            alike = [n for n in names if n != name and Path(n).suffix == Path(name).suffix and n[:6] == name[:6]]
            other = str(rng.choice(alike)) if alike else other
        content = bytearray(self.whole[name])
        if kind == "bit flip" and content:
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        elif kind in ("truncation", "empty file"):
            content = content[: rng.integers(len(content)) if kind == "truncation" and content else 0]
        elif kind == "swap of two files":
            (self.path / other).write_bytes(content)
            content = self.whole[other]
        elif kind == "copy of another file":
            content = self.whole[other]
        elif kind == "stale copy":
            content = self.earlier.get(name)
        elif kind == "other JSON":
            content = str(rng.choice(["null", "3", "[]", "{}", '""', "[[[", '{"images": NaN}', "1e999"])).encode()
        if kind == "deletion" or content is None:
            (self.path / name).unlink()
        else:
            (self.path / name).write_bytes(content)
        return f"{kind}: {name}" + (f" and {other}" if kind.startswith(("swap", "copy")) else "")


class Folder:
    """A finished study that was extended from 12 to 16 examples and from one draw to two.

    Args:
      path: where it is made.
      tokenizer: of its captions.
    """

    def __init__(self, path: Path, tokenizer):
        self.path = path
        self.parts = {
            "generator": painter.painter(),
            "tokenizer": tokenizer,
            "scorers": {"target": painter.reader(painter.WEIGHTS), "detector": painter.reader(np.eye(6))},
            "workdir": path,
        }
        self.examples = painter.photographs(painter.scenes(16))
        self._open(self.examples.take(np.arange(12)), draws=1).generate()
        (path / "importance.csv").write_text("concept,importance\n")
        remember(path, "of", ["importance.csv"])
        self.files = FaultyFiles(path)
        self.study = self._open(self.examples, draws=2, stop_width=1e6)
        stopping = EarlyStopping(self.study)
        stopping.make_current()
        self.study.store.write_sealed(stopping._file, {"draws": 2, "reason": "made up"})
        self.study.generate()
        recheck_finished(self.study.batch_scorer, self.study.scores, 2)
        self.real = score_real(self.study)
        self.files.finish()
        self.codes, self.truth = self.study.plan.codes, self.study.scores.read(2)
        assert all(np.isfinite(table).all() for table in self.truth.values())

    def _open(self, examples, *, seed=0, **settings):
        return open_study(examples, settings=painter.flat_settings(**STUDY, seed=seed, **settings), **self.parts)

    def look(self, rng: np.random.Generator) -> str:
        """Opens the folder; "whole", "fewer scores" or "refused", and what went wrong otherwise."""
        seed = int(rng.random() < 0.2)
        readonly = rng.random() < 0.2
        try:
            with _deadline():
                return self._look(seed, readonly)
        except InputError as error:
            return "refused" if "\n" not in str(error) else f"WRONG: several lines: {error}"
        except TimeoutError:
            return "WRONG: a loop"
        except Exception as error:  # whatever a user would see as a traceback
            return f"WRONG: traceback {type(error).__name__}: {error}"

    def _look(self, seed: int, readonly: bool) -> str:
        study, store = self.study, Store(self.path, readonly=readonly)
        identity = {**study.scores.identity, "seed": seed}
        store.claim(identity, {name: study.hashes[name] for name in study.scorers})
        describe = lambda new: describe_variants(study.plan, study.examples, study.settings, new)  # noqa: E731
        rows = store.place(self.codes, describe)
        store.open_tables(study.num_outputs, 2, STUDY["unit_size"])
        scores = PlanScores(store, rows, identity)
        found = scores.read(2)
        done = {name: np.isfinite(table) for name, table in found.items()}
        if seed and any(table.any() for table in done.values()):
            return "WRONG: another seed's scores"
        for name, table in found.items():
            if (table != self.truth[name])[done[name]].any():
                return f"WRONG: scores of the {name}"
        captions = store.variants()
        if captions.num_rows == len(self.codes):
            said = dict(zip(self.codes.tolist(), describe(None)["caption"].to_pylist()))
            if any(
                said[code] != text for code, text in zip(captions["code"].to_pylist(), captions["caption"].to_pylist())
            ):
                return "WRONG: a caption"
        opened = dataclasses.replace(study, scores=scores)
        real = score_real(opened) if not seed else self.real
        if any((real[name] != self.real[name]).any() for name in self.real):
            return "WRONG: scores of real images"
        if (decision := EarlyStopping(opened).decision()) not in (None, (2, "made up")):
            return f"WRONG: decision {decision}"
        for read in (read_tallies, read_sources):
            read(store)
        are_there(self.path, "")
        if not readonly:
            remember_again(self.path)
        for read in (status, verify, read_config):
            try:
                read(self.path)
            except InputError:
                continue
        return "whole" if all(table.all() for table in done.values()) else "fewer scores"


@contextmanager
def _deadline():
    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_faults(folder: Folder, count: int, seed: int) -> tuple[dict[str, collections.Counter], list[str]]:
    """Puts faults in, one after the other.

    Returns:
      How many of each kind ended how, and what went wrong.
    """
    rng = np.random.default_rng(seed)
    ended: dict[str, collections.Counter] = {kind: collections.Counter() for kind in KINDS}
    wrong = []
    for i in range(count):
        kind = KINDS[i % len(KINDS)]
        what = folder.files.damage(kind, rng)
        outcome = folder.look(rng)
        ended[kind][outcome.split(":")[0]] += 1
        if outcome.startswith("WRONG"):
            wrong.append(f"{what}: {outcome}")
        folder.files.restore()
    return ended, wrong


def race(folder: Path, seeds: tuple[int, int], *, claimed: bool) -> list[str]:
    """Two processes that open a folder at once, with a seed each; what each one says. The parent has no threads yet.

    Args:
      folder: to be made.
      seeds: of the studies.
      claimed: whether a third study has claimed the folder before, of which nothing is scored.
    """
    if claimed:
        (folder / "rows").mkdir(parents=True)
        (folder / "rows" / "00000").write_bytes(b"")
        (folder / "study.json").write_text(seal_json({"format": 2, "images": {"seed": -1}}))
    pipes = [os.pipe() for _ in seeds]
    (start, go), (end, leave) = os.pipe(), os.pipe()
    children = []
    for seed, (_, write) in zip(seeds, pipes):
        if not (child := os.fork()):
            os.read(start, 1)
            try:
                store = Store(folder)
                store.claim({"seed": seed, "unit_size": 16, "generator weights or settings": "g"}, {"target": "t"})
                said = f"has it: {seed}"
            except InputError as error:
                said = f"refused: {error}"
            except BaseException as error:
                said = f"traceback: {error!r}"
            os.write(write, said.encode())
            os.read(end, 1)  # both are there until both have answered
            os._exit(0)
        children.append(child)
    os.write(go, b"..")
    said = [os.read(read, 4096).decode() for read, _ in pipes]
    os.write(leave, b"..")
    for child in children:
        os.waitpid(child, 0)
    for descriptor in (start, go, end, leave, *(d for pipe in pipes for d in pipe)):
        os.close(descriptor)
    return said
