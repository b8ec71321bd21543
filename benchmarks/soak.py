"""Kills the workers of a small study at random moments, again and again, and holds the tables against an uninterrupted run.

    python benchmarks/soak.py --kills=100          (make soak)

Each time 1 to 3 workers are started, killed (SIGKILL) within 3 seconds, and started again in another number; in the end two
workers of two devices each finish what is left.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from absl import app, flags

from tests.test_workers import DRAWS, UNIT, VARIANTS, check_tables, finish, kill_and_resume, read, start

_KILLS = flags.DEFINE_integer("kills", 100, "How many times.")


def main(argv):
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        finish([start(whole)])
        started = time.monotonic()
        difference, met = kill_and_resume(killed, _KILLS.value, seed=1)
        expected, found = read(whole), read(killed)
        check_tables(killed, expected)
        print(f"{_KILLS.value} times, {met} running workers killed, {(time.monotonic() - started) / 60:.1f} minutes")
        print(f"rows missing: {sum(int(np.isnan(t).any(-1).sum()) for t in found.values())} of {DRAWS * VARIANTS}")
        print(
            f"images in units that were written and counted, less rows of the table: {difference:+d} (a unit: {UNIT})"
        )
        for name in expected:
            print(f"largest difference of the {name}'s scores: {np.abs(found[name] - expected[name]).max():.2g}")


if __name__ == "__main__":
    app.run(main)
