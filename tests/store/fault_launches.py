"""Faults in a study's folder, and the programs that are then started there, within this process.

After explain or verify --mend the results are those of before to the byte, or the folder was refused in one sentence;
another seed never gets them; report, verify and status end in a line, too.
"""

import collections
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from tests.launching import launch
from tests.painter import CONCEPTS, painter, scenes
from tests.store.faults import KINDS, FaultyFiles
from tests.words import WordTokenizer

PROGRAMS = ("explain", "report", "verify", "explain", "status", "mend")


class Launches:
    """The programs on one study of the painter, which is made, extended and finished.

    Args:
      root: an empty folder.
    """

    def __init__(self, root: Path):
        self._root, run = root, root / "run"
        examples = scenes(16)
        table = pd.DataFrame({"id": examples.ids, "label": examples.concepts[:, 0]})
        table[list(CONCEPTS)] = examples.concepts
        table.to_csv(root / "table.csv", index=False)
        table[:12].to_csv(root / "few.csv", index=False)
        self.launch("explain", draws=1, table="few")
        self.files = FaultyFiles(run)
        done = self.launch("explain")
        assert done.code == 0, done.err
        self.files.finish()
        self._results = run / "importance.csv"
        self.truth = self._results.read_bytes()

    def launch(self, program, *more, draws=2, table="table", workdir=None):
        """Runs a program on the study, or on another one in a folder of its own."""
        study = [
            "--config=configs/table.py", f"--config.data.path={self._root}/{table}.csv", "--config.data.label=label",
            "--config.generator.path=painted", "--config.target.module=tests.test_configs:red_circle",
            f"--config.draws={draws}", "--config.compute.unit_size=16", "--config.compute.batch_size=16",
            "--config.statistics.num_bootstrap=2", "--config.statistics.metrics=('accuracy',)",
            "--config.output.sampled_examples=1",
        ]  # fmt: skip
        arguments = {"explain": study, "mend": ["--mend", "--trust"]}.get(program, [])
        with (
            mock.patch("cpi_jax.cli.from_config.load_generator", lambda *args, **kwargs: (painter(), WordTokenizer())),
            mock.patch("cpi_jax.report.plots.write_figures"),
        ):
            name = "verify" if program == "mend" else program
            return launch(name, f"--workdir={workdir or self._root / 'run'}", *arguments, *more)

    def run(self, count: int, seed: int) -> tuple[collections.Counter, list[str]]:
        """Puts faults in, each before a launch; how these ended, and what went wrong."""
        rng, ended, wrong = np.random.default_rng(seed), collections.Counter(), []
        for i in range(count):
            program = PROGRAMS[i % len(PROGRAMS)]
            fault = self.files.damage(KINDS[i % len(KINDS)], rng)
            other_seed = program == "explain" and rng.random() < 0.3
            try:
                done = self.launch(program, *(["--config.seed=1"] if other_seed else []))
                outcome = self._judge(program, done, other_seed)
            except Exception as error:
                outcome = f"WRONG: traceback {error!r}"
            ended[f"{program}: {outcome}"] += 1
            if outcome.startswith("WRONG"):
                wrong.append(f"{program}, {fault}: {outcome}")
            self.files.restore()
        return ended, wrong

    def _judge(self, program, done, other_seed) -> str:
        if done.code:
            sentences = [line for line in done.err.splitlines() if line.startswith("error: ")]
            return "refused" if len(sentences) == 1 else f"WRONG: no sentence: {done.err}"
        if other_seed:
            return "WRONG: another seed was accepted"
        if program in ("explain", "mend") and self._results.read_bytes() != self.truth:
            return "WRONG: other results"
        return "right"
