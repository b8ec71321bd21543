"""How often the intervals of differences between two classifiers hold the truth, and how wide they are. Prints Markdown.

python benchmarks/target_differences.py --studies=2000 --truth=1000000

Every study is a data set of its own, from the worlds of benchmarks/coverage.py: the scores of one classifier there, and of
another that sees the same noisy pictures, reads the first concept otherwise and errs besides, as much from example to
example and from caption to caption as pictures differ there. Truth is the mean difference of large data sets. Width: the
interval's, over the sum of both classifiers' own; two samples of other examples would have .71.
"""

import dataclasses
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.coverage import WORLDS as OF_ONE
from benchmarks.coverage import World, simulate
from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.differences import target_difference
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.metrics import METRICS
from cpi_jax.statistics.significance import jackknife_interval, jackknife_p

FLAGS = flags.FLAGS  # those of benchmarks/coverage.py


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two classifiers on the pictures of a world.

    Attributes:
      world: of the examples, pictures and first classifier.
      correlation: of both classifiers' scores.
      more: what the first concept adds to the second classifier's logit besides.
      scale: of the second classifier's logit.
      by_row: share of the second classifier's own errors that is new in every picture; the others it makes in all pictures
        of an example and draw. In the worlds, a quarter of what pictures differ in besides concepts is.
    """

    world: World
    correlation: float = 0.9
    more: float = -0.5
    scale: float = 1.0
    by_row: float = 0.25


PAIRS = {
    "scores correlate at .9": Pair(OF_ONE["independent"]),
    "scores correlate at .5": Pair(OF_ONE["independent"], correlation=0.5),
    "errors new in every picture": Pair(OF_ONE["independent"], by_row=1.0),
    "150 examples and 1 draw": Pair(World(n=150, draws=1)),
    "40 clusters of 8": Pair(OF_ONE["40 clusters of 8"]),
    "20 contents by 25 shuffles (log loss)": Pair(OF_ONE["many-valued slot (log loss)"], more=0.0, scale=0.7),
}


def two(key, pair: Pair, n: int, draws: int, noise):
    """One data set: scores [2, D, V] of both classifiers, labels, lookup, strata, clusters."""
    of_world, *of_second = jax.random.split(key, 3)
    first, labels, lookup, strata, clusters = simulate(of_world, pair.world, n, draws)
    second = pair.scale * first
    if pair.more:
        assert isinstance(lookup, Lookup)
        own = lookup.values[:, :1]
        content = jnp.zeros(first.shape[1]).at[lookup.baseline].set(own[:, 0])
        for f in range(lookup.rows.shape[1]):  # rows of the own content are the baseline's
            content = content.at[lookup.rows[:, f]].set(jnp.arange(2) if f == 0 else own)
        second = second + pair.more * (content - pair.world.prevalence)
    example = jnp.zeros(first.shape[1], jnp.int32).at[lookup.rows].set(jnp.arange(n)[:, None, None])
    by_example = jax.random.normal(of_second[0], (draws, n))[:, example]
    by_row = jax.random.normal(of_second[1], second.shape)
    second = second + noise * (np.sqrt(1 - pair.by_row) * by_example + np.sqrt(pair.by_row) * by_row)
    return jnp.stack([first, second]), labels, lookup, strata, clusters


def noise_of(pair: Pair) -> float:
    """Standard deviation of the second classifier's own errors that makes both scores correlate as they should."""
    (first, second), *_ = two(jax.random.key(3), pair, 4_000, 1, 0.0)
    covariance = np.cov(np.asarray(first).ravel(), np.asarray(second).ravel())
    return float(np.sqrt(covariance[0, 1] ** 2 / covariance[0, 0] / pair.correlation**2 - covariance[1, 1]))


@partial(jax.jit, static_argnames=("pair", "n", "draws"))
def studies(keys, noise, pair: Pair, n: int, draws: int):
    """For every key one study: [.., 3] of the difference, its error and half-width, and the sum of both half-widths."""

    def study(key):
        scores, labels, lookup, strata, clusters = two(key, pair, n, draws, noise)
        both = [
            infer(
                key, of, labels, lookup, jnp.ones(n), METRICS[pair.world.metric], strata, clusters,
                num_clusters=pair.world.clusters or None, num_repeats=0,
            )
            for of in scores
        ]  # fmt: skip
        found = target_difference(*both)
        widths = []
        for of in (found, *both):
            low, high = jackknife_interval(of.estimate, of.standard_error, of.degrees_of_freedom)
            widths.append((high - low) / 2)
        p = jackknife_p(found.estimate, found.standard_error, found.degrees_of_freedom, "two-sided")
        return found.estimate, found.standard_error, widths[0], widths[1] + widths[2], p

    return jax.lax.map(study, keys)


def measure(name: str, pair: Pair) -> None:
    started, world, noise = time.monotonic(), pair.world, noise_of(pair)
    n = 4_000 if world.values > 2 else 20_000
    large = dataclasses.replace(world, clusters=n // 8) if world.clusters else world
    keys = jax.random.split(jax.random.key(1), FLAGS.truth // n)
    truth = np.asarray(studies(keys, noise, dataclasses.replace(pair, world=large), n, 1)[0]).mean(0)
    found = studies(jax.random.split(jax.random.key(2), FLAGS.studies), noise, pair, world.n, world.draws)
    value, error, half, sum_of_both, p = map(np.asarray, found)
    for j, concept in enumerate(("first", "second", "none")):
        below, above = (truth < value - half)[:, j].mean(), (truth > value + half)[:, j].mean()
        cells = [
            name if j == 0 else "",
            concept,
            f"{truth[j]:+.4f}",
            f"{value[:, j].std():.4f}",
            f"{error[:, j].mean():.4f}",
            f"{below:.1%}",
            f"{above:.1%}",
            f"{1 - below - above:.1%}",
            f"{half[:, j].mean() / sum_of_both[:, j].mean():.2f}",
            f"{(p[:, j] <= 0.05).mean():.1%}" if concept == "none" else "",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def main(argv):
    del argv
    print(f"{FLAGS.studies:,} studies a world, nominal 95 % intervals of second minus first classifier\n")
    heads = ("concept", "truth", "spread", "mean error", "below", "above", "holds", "width", "p <= .05")
    print(f"| world | {' | '.join(heads)} |\n" + "|---" * 10 + "|")
    if unknown := set(FLAGS.worlds) - set(PAIRS):
        raise app.UsageError(f"no world {sorted(unknown)} among {', '.join(PAIRS)}")
    for name, pair in PAIRS.items():
        if not FLAGS.worlds or name in FLAGS.worlds:
            measure(name, pair)


if __name__ == "__main__":
    app.run(main)
