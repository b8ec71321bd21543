"""Kills the workers of a study at random moments, again and again, and holds the tables against an uninterrupted run.

    python benchmarks/soak.py --kills=100          (make soak)

Each time 1 to 3 workers are started, killed (SIGKILL) within a second of their beginning, and started again in another
number; in the end two workers of two devices each finish what is left.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from absl import app, flags

from tests.store.test_workers import UNIT, check_tables, finish, kill_and_resume, read, start

_KILLS = flags.DEFINE_integer("kills", 100, "How many times.", lower_bound=1)
DRAWS = 4


def main(argv):
    # So many examples that the study is not complete before the last kill: a round makes about 250 images.
    examples = max(100, 12 * _KILLS.value)
    size = (f"--examples={examples}", f"--draws={DRAWS}")
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        finish([start(whole, *size)])
        started = time.monotonic()
        killed, met, counted = kill_and_resume(killed, _KILLS.value, 1, *size)
        expected, found = read(whole, DRAWS), read(killed, DRAWS)
        rows = found["target"].shape[0] * found["target"].shape[1]
        print(f"{_KILLS.value} kills, {met} met running workers; {(time.monotonic() - started) / 60:.1f} minutes")
        print(f"rows missing: {sum(int(np.isnan(t).any(-1).sum()) for t in found.values())} of {rows:,}")
        print(f"images in units written and counted: {counted:,}; {counted - rows:+d} (a unit has {UNIT})")
        for name in expected:
            print(f"largest difference of the {name}'s scores: {np.abs(found[name] - expected[name]).max():.2g}")
        check_tables(killed, expected)
        assert counted <= rows, "a unit was written twice"


if __name__ == "__main__":
    app.run(main)
