"""Time and memory of what a score table says besides importances: single pictures, flips, gaps; without compilation.

python benchmarks/table_speed.py                # 10,000 examples, 15 binary concepts, 2 draws
"""

import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app

from benchmarks.importance_speed import table
from cpi_jax.statistics.baseline import infer_baseline
from cpi_jax.statistics.contrasts import summarize_contrasts
from cpi_jax.statistics.dealing import deal
from cpi_jax.statistics.flip_rates import flip_rates, mean_scores
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.local_changes import local_changes
from cpi_jax.statistics.metrics import stack_metrics
from cpi_jax.statistics.metrics.gaps import GAPS, cross_labels

N, CONCEPTS, DRAWS = 10_000, 15, 2


def main(argv):
    del argv
    scores, labels, lookup = table(N, CONCEPTS, DRAWS)
    s, own, ones, metric = (
        np.asarray(scores),
        np.asarray(lookup.values),
        np.ones(N),
        stack_metrics(tuple(GAPS.values())),
    )
    crossed = cross_labels(labels, np.arange(N) % 5 == 0)

    def single():
        return local_changes(s, np.asarray(labels), lookup, ones)

    def flips():
        for f in range(CONCEPTS):
            dealing = deal(lookup, f, own[:, f], ones)
            cells = s[:, dealing.rows]
            flip_rates(
                dealing, ((cells > 0) != (s[:, dealing.baseline][..., None] > 0)).mean(0), np.array([False, True])
            )
            mean_scores(dealing, cells.mean(0))

    def gaps():
        weights = jnp.ones(N)
        own = infer_baseline(scores[:, lookup.baseline], crossed, weights, metric, num_classes=4)
        found = infer(jax.random.key(0), scores, crossed, lookup, weights, metric, num_repeats=0)
        jax.block_until_ready((summarize_contrasts(own), summarize_contrasts(found)))

    for name, run in (("single pictures", single), ("flip rates and mean scores", flips), ("gaps", gaps)):
        seconds = []
        for _ in range(2):
            started, used = time.monotonic(), time.process_time()
            run()
            seconds.append((time.monotonic() - started, time.process_time() - used))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        (first, _), (second, used) = seconds
        print(
            f"{name}: {second:.1f} s, {used:.1f} of a core (the first time {first:.1f} s), {memory:.2f} GiB", flush=True
        )


if __name__ == "__main__":
    app.run(main)
