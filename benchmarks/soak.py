"""Kills the workers of studies at random moments, again and again, extends the studies, and races first launches.

    python benchmarks/soak.py --kills=200 --pairs=50 --seed=0          (make soak)

A study begins with 8 examples and one draw. Each time 1 to 3 workers are launched, of the same study or of one with more
examples and draws, some with the examples of before; all are killed (SIGKILL), a third of them at any moment from their
start on, the others within a second of their first unit. After ten kills two workers finish the study of all examples and
draws, and its tables and results are held against those of an undisturbed one. A pair of first launches opens a folder, an
empty one or one that a third study has claimed, with two seeds.
"""

import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from absl import app, flags

from tests.quick_compiling import FLAGS

# What one launch compiles all others read.
COMPILED = tempfile.TemporaryDirectory()
os.environ |= {
    "XLA_FLAGS": FLAGS,
    "JAX_COMPILATION_CACHE_DIR": COMPILED.name,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

from tests.store.kills import Killed, Launches, kill_one_study, race_launches

_KILLS = flags.DEFINE_integer("kills", 200, "How many times.", lower_bound=0)
_PAIRS = flags.DEFINE_integer("pairs", 50, "How many pairs of first launches.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
A_STUDY = 10  # kills


def main(argv):
    kills, pairs, rng = _KILLS.value, _PAIRS.value, random.Random(_SEED.value)  # a launch has flags of its own
    told, of_pairs = Killed(), []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        launches = Launches(root)
        started, used = time.monotonic(), _cpu_seconds()
        for first in range(0, kills, A_STUDY):
            kill_one_study(launches, root / f"study-{first}", min(A_STUDY, kills - first), rng, told)
            print(f"{told.kills} kills, {len(told.wrong)} wrong", file=sys.stderr, flush=True)
        print(
            f"{told.kills} kills, {told.met} met running workers, {told.writing} of which had written a unit "
            f"({told.processes} processes killed, {told.ended} had ended before); {told.extended} extensions, "
            f"{told.smaller} launches of the study before one; {len(told.wrong)} wrong"
        )
        if kills:
            print(_cost(started, used, kills, "kill"))
        started, used = time.monotonic(), _cpu_seconds()
        for i in range(pairs):
            if said := race_launches(launches, root / f"pair-{i}", (2 * i + 1, 2 * i + 2), claimed=i % 2 == 1):
                of_pairs.append(f"pair {i}: {said}")
        print(f"{pairs} pairs of first launches: {pairs - len(of_pairs)} ended as one study and one sentence")
        if pairs:
            print(_cost(started, used, pairs, "pair"))
    for line in (wrong := told.wrong + of_pairs):
        print(line)
    if wrong:
        sys.exit(f"{len(wrong)} went wrong")


def _cpu_seconds() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _cost(started: float, used: float, count: int, what: str) -> str:
    minutes, each = (time.monotonic() - started) / 60, (_cpu_seconds() - used) / count
    return f"  {minutes:.1f} minutes, {each:.1f} s of a core a {what}"


if __name__ == "__main__":
    app.run(main)
