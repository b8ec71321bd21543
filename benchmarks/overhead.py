"""What the store and the host add to a study: the demo's wall time against its compiled step alone on the same batches.

python benchmarks/overhead.py
"""

import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from absl import app, flags

from cpi_jax import parallel, study
from cpi_jax.cache import keep_compiled
from cpi_jax.command_line import use_cores
from cpi_jax.from_config import study_from_config

sys.path.insert(0, str(Path(__file__).parents[1]))
from configs.shapes import get_config

_EXAMPLES = flags.DEFINE_integer("examples", 200, "Of the study; one draw.")


def main(argv):
    use_cores()
    keep_compiled()
    config = get_config()
    config.data.num_examples, config.draws = _EXAMPLES.value, 1
    with tempfile.TemporaryDirectory() as folder:
        made = study_from_config(config, folder)
        step, arguments = study.step_and_arguments(made)
        jax.block_until_ready(step(*arguments))  # compiled and warm
        size, rows = len(arguments[-1]), np.arange(made.plan.num_variants)
        waits = {"step alone": [], "study": []}
        for name in 3 * tuple(waits):
            started = time.monotonic()
            if name == "study":
                again = study_from_config(config, f"{folder}/{len(waits[name])}")  # its preparation is not counted
                started = time.monotonic()
                study.generate(again)
            else:
                for first in range(0, len(rows), size):
                    batch = parallel.pad_rows(rows[first : first + size], size)
                    ids = made.plan.ids[made.plan.variants.example[batch]]
                    jax.block_until_ready(step(*arguments[:3], 0, made.plan.captions(batch), ids))
            waits[name].append(time.monotonic() - started)
            print(f"{name}: {len(rows):,} images in {waits[name][-1]:.2f} s", flush=True)
    alone, whole = (min(times) for times in waits.values())
    print(f"store and host: {whole / alone - 1:+.1%} of the step's time, the fastest of three each")


if __name__ == "__main__":
    app.run(main)
