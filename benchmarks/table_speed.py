"""Time and memory of what score tables of two classifiers say: single pictures, flips, gaps, differences; without
compilation.

python benchmarks/table_speed.py                # 10,000 examples, 15 binary concepts, 2 draws, 2 classifiers
"""

import itertools
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
from cpi_jax.statistics.differences import target_difference
from cpi_jax.statistics.flip_rates import flip_rates, mean_scores
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.local_changes import local_changes
from cpi_jax.statistics.metrics import auroc, stack_metrics
from cpi_jax.statistics.metrics.gaps import GAPS, cross_labels
from cpi_jax.statistics.metrics.sums import accuracy, neg_log_loss

N, CONCEPTS, DRAWS = 10_000, 15, 2


def main(argv):
    del argv
    scores, labels, lookup = table(N, CONCEPTS, DRAWS)
    second = scores + jnp.asarray(np.random.default_rng(1).normal(size=scores.shape), jnp.float32)
    both, own, ones = (scores, second), np.asarray(lookup.values), np.ones(N)
    metric, of_importance = stack_metrics(tuple(GAPS.values())), stack_metrics((auroc, accuracy, neg_log_loss))
    crossed = cross_labels(labels, np.arange(N) % 5 == 0)

    def single():
        for scores in both:
            local_changes(np.asarray(scores), np.asarray(labels), lookup, ones)

    def flips():
        for scores, f in itertools.product(both, range(CONCEPTS)):
            s = np.asarray(scores)
            dealing = deal(lookup, f, own[:, f], ones)
            cells = s[:, dealing.rows]
            flip_rates(
                dealing, ((cells > 0) != (s[:, dealing.baseline][..., None] > 0)).mean(0), np.array([False, True])
            )
            mean_scores(dealing, cells.mean(0))

    def gaps():
        weights = jnp.ones(N)
        for scores in both:
            own = infer_baseline(scores[:, lookup.baseline], crossed, weights, metric, num_classes=4)
            found = infer(jax.random.key(0), scores, crossed, lookup, weights, metric, num_repeats=0)
            jax.block_until_ready((summarize_contrasts(own), summarize_contrasts(found)))

    def differences():
        inferred = [
            infer(jax.random.key(0), scores, labels, lookup, jnp.ones(N), of_importance, num_repeats=0)
            for scores in both
        ]
        jax.block_until_ready(summarize_contrasts(target_difference(*inferred)))

    parts = {
        "single pictures": single,
        "flip rates and mean scores": flips,
        "gaps": gaps,
        "importances and their differences": differences,
    }
    total, of_a_core = 0.0, 0.0
    for name, run in parts.items():
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
        total, of_a_core = total + second, of_a_core + used
    print(f"together: {total:.1f} s, {of_a_core:.1f} of a core")


if __name__ == "__main__":
    app.run(main)
