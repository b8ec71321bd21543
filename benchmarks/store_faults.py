"""Faults in the files of a study, and pairs of first launches at once; the short form is tests/store/test_faults.py.

    python benchmarks/store_faults.py --faults=10000 --launches=300 --races=50 --seed=0          (make soak)

Each fault is put into a finished, extended study of the painter; the folder is then opened as a launch opens it, sometimes
with another seed or to be read alone, and every score, caption and small file that is read of it is held against the
sound one. Further faults are followed by a program of launch/. A pair of launches opens an empty folder, or one that a
third study has claimed, in two processes.
"""

import collections
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from absl import app, flags, logging

from tests.store.fault_launches import Launches
from tests.store.faults import Folder, race, run_faults
from tests.words import WordTokenizer

_FAULTS = flags.DEFINE_integer("faults", 10_000, "How many faults.", lower_bound=0)
_LAUNCHES = flags.DEFINE_integer("launches", 300, "How many faults before a launch.", lower_bound=0)
_RACES = flags.DEFINE_integer("races", 50, "How many pairs of launches.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "Of the faults.")


def main(argv):
    logging.set_verbosity(logging.FATAL)
    wrong, launches, seed = [], _LAUNCHES.value, _SEED.value  # a launch has flags of its own
    with tempfile.TemporaryDirectory() as folder:
        started, ended = time.monotonic(), collections.Counter()
        for i in range(_RACES.value):  # first: a process that has threads cannot be forked
            said = race(Path(folder) / f"race-{i}", (2 * i, 2 * i + 1), claimed=i % 2 == 1)
            ended[" and ".join(sorted(line.split(":")[0] for line in said))] += 1
            if sorted(line.split(":")[0] for line in said) != ["has it", "refused"]:
                wrong.append(f"pair {i}: {said}")
        print(f"{_RACES.value} pairs of first launches, {time.monotonic() - started:.0f} s: {dict(ended)}")
        made = Folder(Path(folder) / "study", WordTokenizer())
        started = time.monotonic()
        table, silent = run_faults(made, _FAULTS.value, _SEED.value)
        outcomes = sorted({outcome for counts in table.values() for outcome in counts})
        print(f"{_FAULTS.value:,} faults in {len(made.files.whole)} files, {time.monotonic() - started:.0f} s")
        print("", "fault", *outcomes, "", sep=" | ")
        for kind, counts in table.items():
            print("", kind, *(f"{counts[outcome]:,}" for outcome in outcomes), "", sep=" | ")
        (folder := Path(folder) / "launches").mkdir()
        started = time.monotonic()
        counts, at_launch = Launches(folder).run(launches, seed)
        print(f"{launches} launches, {time.monotonic() - started:.0f} s: {dict(counts)}")
    for line in (wrong := wrong + silent + at_launch):
        print(line)
    if wrong:
        sys.exit(f"{len(wrong)} went wrong")


if __name__ == "__main__":
    app.run(main)
