"""Starts n workers of a study on this machine and waits for them.

    python launch/local_workers.py --workers=2 -- --config=configs/shapes.py --workdir=runs/shapes
    python launch/local_workers.py --workers=4 --gpus=0,1,2,3 -- --config=configs/shapes.py --workdir=runs/shapes

What stands behind -- goes to launch/explain.py. Ctrl-C reaches the workers, which end after the batch in flight.
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from absl import flags

from cpi_jax.cli.cpu_devices import num_cpu_devices
from cpi_jax.signals import answering

_WORKERS = flags.DEFINE_integer("workers", None, "How many.", lower_bound=1)
_GPUS = flags.DEFINE_list("gpus", [], "One for each worker, in turn; empty: the workers see all devices.")


def main(arguments):
    workers = [_start(i, arguments) for i in range(_WORKERS.value)]

    def pass_on(number):
        if number == signal.SIGTERM:  # a terminal sends Ctrl-C to the workers too
            for worker in workers:
                worker.terminate()

    warned: set[str] = set()
    readers = [threading.Thread(target=_copy, args=(*pair, warned)) for pair in enumerate(workers)]
    with answering(pass_on):
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        codes = [worker.wait() for worker in workers]
    sys.exit(max(abs(code) for code in codes))


def _start(i: int, arguments: list[str]) -> subprocess.Popen:
    environment = dict(os.environ)
    if number := num_cpu_devices(_WORKERS.value):
        environment["JAX_NUM_CPU_DEVICES"] = str(number)
    if _GPUS.value:
        environment["CUDA_VISIBLE_DEVICES"] = _GPUS.value[i % len(_GPUS.value)]
    command = [
        sys.executable,
        str(Path(__file__).with_name("explain.py")),
        *arguments,
        f"--worker={i}/{_WORKERS.value}",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=environment, text=True, **pipes)


def _copy(i: int, worker: subprocess.Popen, warned: set[str]) -> None:
    """Prints what a worker does; a warning of all of them once."""
    for line in worker.stdout:
        if line.startswith("warning: "):
            if line in warned:
                continue
            warned.add(line)
        print(f"[{i}] {line}", end="", flush=True)


if __name__ == "__main__":
    command_line.run(main, required=("workers",), passes_on=True)
