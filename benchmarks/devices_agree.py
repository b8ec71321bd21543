"""Score tables of one study from one device, from four, and from two workers of two devices each, held against each other.

python benchmarks/devices_agree.py --workdir=runs/devices
"""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import app, flags

from cpi_jax.store.store import Store

_WORKDIR = flags.DEFINE_string("workdir", "runs/devices", "Where the three studies go.")
_EXAMPLES = flags.DEFINE_integer("examples", 24, "Of the studies.")
LAUNCH = Path(__file__).parents[1] / "launch"
WAYS = {"one device": (1, 1), "four devices": (1, 4), "two workers of two devices": (2, 2)}


def main(argv):
    tables = {}
    for name, (workers, devices) in WAYS.items():
        folder = Path(_WORKDIR.value) / name
        study = [f"--config={LAUNCH.parent / 'configs/shapes.py'}:tiny", f"--workdir={folder}"]
        study += [f"--config.data.num_examples={_EXAMPLES.value}", "--config.compute.unit_size=32"]
        command = ["local_workers.py", f"--workers={workers}", "--"]
        environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        done = subprocess.run(
            [sys.executable, str(LAUNCH / command[0]), *command[1:], *study],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            sys.exit(done.stdout)
        tables[name] = Store.open_existing(folder).read_scores(1)
    for a, b in itertools.combinations(tables, 2):
        for scorer in tables[a]:
            x, y = tables[a][scorer], tables[b][scorer]
            assert np.isfinite(x).all() and np.isfinite(y).all()
            print(f"{a} / {b}: {scorer}: {x.size} scores, largest difference {np.abs(x - y).max():.1e}")


if __name__ == "__main__":
    app.run(main)
