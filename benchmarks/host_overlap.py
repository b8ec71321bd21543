"""Does a classifier on the host overlap with generation? A study's wall time against the slower of the two alone.

python benchmarks/host_overlap.py

Generation has one core to itself, as if it were a GPU, and the host function another. The function takes about as long for
a batch as generation: it sleeps (a web service), or computes in numpy. The first batch has nothing to overlap with: of n
batches, (n + 1) / n is the best that there is.
"""

import os
import tempfile
import time
from functools import partial

import numpy as np
from absl import app, flags, logging

CORES = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(CORES)})  # also of the threads that JAX starts

from cpi_jax import SHAPES_GENERATOR, Compute, HostScorer, Scorer, Settings, load_generator, make_shapes
from cpi_jax.generation.pipeline import run_ahead
from cpi_jax.opening import open_study

_EXAMPLES = flags.DEFINE_integer("examples", 32, "Of the study; one draw.")
_BATCH = flags.DEFINE_integer("batch_size", 8, "Images of a batch.")


def sleep(seconds, images):
    time.sleep(seconds)
    return images.mean((1, 2, 3))


def burn(times, images):
    """So many sines of 100,000 numbers; numpy lets other threads run meanwhile."""
    os.sched_setaffinity(0, CORES - {min(CORES)} or CORES)  # of this thread
    numbers = np.linspace(0, 1, 100_000)
    for _ in range(round(times)):
        np.sin(numbers)
    return images.mean((1, 2, 3))


def time_of(function, amount, count):
    """Seconds for so many batches, in a thread like the study's."""
    started = time.perf_counter()
    list(run_ahead(lambda pixels: function(amount, pixels), (np.zeros((1, 1, 1, 1)) for _ in range(count)), 1))
    return time.perf_counter() - started


def main(argv):
    logging.set_verbosity(logging.ERROR)
    examples = make_shapes(_EXAMPLES.value)
    generator, tokenizer = load_generator(SHAPES_GENERATOR, steps=8, guidance_scale=3.0)
    settings = Settings(draws=1, compute=Compute(batch_size=_BATCH.value, unit_size=_BATCH.value))

    def seconds(target):
        """Of a whole study whose step is compiled."""
        scorers = {"target": target}
        with tempfile.TemporaryDirectory() as folder:
            study = open_study(
                examples, generator=generator, tokenizer=tokenizer, scorers=scorers, settings=settings, workdir=folder
            )
            started = time.perf_counter()
            study.generate()
            return time.perf_counter() - started, -(-study.plan.num_variants // _BATCH.value)

    nothing = Scorer((), lambda _, images: images.mean((1, 2, 3))[:, None])
    host = HostScorer(lambda images: images.mean((1, 2, 3)), name="nothing")
    for target in (nothing, host):  # each compiles its step
        seconds(target)
    alone, batches = seconds(nothing)
    each = alone / batches
    for function, amount in ((sleep, each), (burn, 1000 * each / time_of(burn, 1000, 1))):
        by_itself = time_of(function, amount, batches)
        together, _ = seconds(HostScorer(partial(function, amount), name=function.__name__))
        again, _ = seconds(nothing)
        slower = max((alone + again) / 2, by_itself)
        print(
            f"{function.__name__}, {batches} batches: generation alone {alone:.2f} and {again:.2f} s, host alone "
            f"{by_itself:.2f} s, together {together:.2f} s, {together / slower:.2f} of the slower one",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
