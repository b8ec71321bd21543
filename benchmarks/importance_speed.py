"""Time of all importances and bootstrap repeats from a score table, beside the loop a user would write today.

python benchmarks/importance_speed.py                # 10,000 examples, 15 concepts, 1,000 repeats, AUROC; and how it grows
python benchmarks/importance_speed.py --scaling      # only how it grows

The loop: for every bootstrap repeat and concept 25 shuffles, each a `sklearn.metrics.roc_auc_score`, in two joblib
processes; some repeats are timed and the rest extrapolated. Compilation is left out of our time and printed.
"""

import functools
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from joblib import Parallel, delayed
from sklearn.metrics import roc_auc_score

from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.metrics import auroc, stack_metrics

_EXAMPLES = flags.DEFINE_integer("examples", 10_000, "Examples.")
_CONCEPTS = flags.DEFINE_integer("concepts", 15, "Binary concepts.")
_REPEATS = flags.DEFINE_integer("repeats", 1_000, "Bootstrap repeats.")
_SAMPLE = flags.DEFINE_integer("sample", 2, "Repeats of the loop to time in each process.")
_SCALING = flags.DEFINE_bool("scaling", False, "Leave the loop out.")

SHUFFLES = 25


@functools.cache
def table(n: int, f: int, draws: int = 1):
    """Scores [D, V], labels, lookup of a made-up study."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, (n, f))
    made = n + np.arange(n * f).reshape(n, f)
    rows = np.where(values[..., None] == np.arange(2), np.arange(n)[:, None, None], made[..., None])
    labels = rng.integers(0, 2, n)
    scores = rng.normal(size=(draws, n * (f + 1))) + labels[np.r_[np.arange(n), np.repeat(np.arange(n), f)]]
    arrays = np.arange(n), rows, values
    return (
        jnp.asarray(scores, jnp.float32),
        jnp.asarray(labels, jnp.int32),
        Lookup(*(jnp.asarray(x, jnp.int32) for x in arrays)),
    )


def ours(n: int, f: int, repeats: int, draws: int = 1) -> tuple[float, float]:
    """Seconds of a compiled call, the least of three; seconds of the first call."""
    scores, labels, lookup = table(n, f, draws)
    metric = stack_metrics((auroc,))

    def run(seed):
        key = jax.random.key(seed)
        jax.block_until_ready(infer(key, scores, labels, lookup, jnp.ones(n), metric, num_repeats=repeats))

    times = []
    for seed in range(4):
        started = time.perf_counter()
        run(seed)
        times.append(time.perf_counter() - started)
    return min(times[1:]), times[0]


def loop(seed: int, scores: np.ndarray, labels: np.ndarray, rows: np.ndarray, values: np.ndarray) -> float:
    """Seconds of one bootstrap repeat as a user would write it."""
    rng = np.random.default_rng(seed)
    started = time.perf_counter()
    chosen = rng.integers(0, len(labels), len(labels))
    own, truth = scores[chosen], labels[chosen]
    baseline, drops = roc_auc_score(truth, own), []
    for j in range(rows.shape[1]):
        for _ in range(SHUFFLES):
            given = rng.permutation(values[chosen, j])
            drops.append(baseline - roc_auc_score(truth, scores[rows[chosen, j, given]]))
    return time.perf_counter() - started


def beside_the_loop() -> None:
    n, f, repeats = _EXAMPLES.value, _CONCEPTS.value, _REPEATS.value
    warm, first = ours(n, f, repeats)
    scores, labels, lookup = (jax.tree.map(np.asarray, x) for x in table(n, f))
    args = scores[0], labels, lookup.rows, lookup.values
    started = time.perf_counter()
    each = Parallel(n_jobs=2)(delayed(loop)(seed, *args) for seed in range(2 * _SAMPLE.value))
    wall = time.perf_counter() - started
    total = np.mean(each) * repeats / 2
    print(f"{n:,} examples, {f} concepts, {repeats:,} repeats, 1 draw, AUROC")
    print(
        f"ours: {warm:.2f} s (least of three; {first:.1f} s with compilation), with influences and intervals' repeats"
    )
    print(
        f"loop: {np.mean(each):.1f} s a repeat ({2 * _SAMPLE.value} timed, {wall:.0f} s), {total:,.0f} s for "
        f"{repeats:,} repeats in two processes (extrapolated)"
    )
    print(f"ratio: {total / warm:,.0f}")
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def scaling() -> None:
    print("\n| examples | concepts | repeats | draws | seconds | ns per example, concept, repeat and draw |")
    print("|---|---|---|---|---|---|")
    base = (10_000, 5, 250, 1)
    for axis, factors in ((0, (1, 2, 4, 10)), (1, (2, 3)), (2, (2, 4)), (3, (2, 4))):
        for factor in factors:
            size = list(base)
            size[axis] *= factor
            n, f, repeats, draws = size
            seconds, _ = ours(n, f, repeats, draws)
            print(
                f"| {n:,} | {f} | {repeats:,} | {draws} | {seconds:.2f} | {seconds / np.prod(size) * 1e9:.2f} |",
                flush=True,
            )


def main(argv):
    del argv
    print(f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}\n")
    if not _SCALING.value:
        beside_the_loop()
    scaling()


if __name__ == "__main__":
    app.run(main)
