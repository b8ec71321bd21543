"""How often the intervals of gaps between two groups, and of what they come from, hold the truth. Prints Markdown.

python benchmarks/gap_coverage.py --studies=2000

Data sets of benchmarks/coverage.py, in which a group is met more often where the first concept is there: the classifier
reads it, so that the gap comes from it, and not from the third. Truth is the mean of large data sets of the same world.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.coverage import World, simulate
from cpi_jax.statistics.baseline import infer_baseline
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.metrics import stack_metrics
from cpi_jax.statistics.metrics.gaps import GAPS, cross_labels
from cpi_jax.statistics.sampling_units import sampling_units
from cpi_jax.statistics.significance import jackknife_interval, jackknife_p

FLAGS = flags.FLAGS  # those of coverage.py: studies, truth
METRIC = stack_metrics(tuple(GAPS.values()))
WORLDS = {
    "200 / 800 of 1,000": World(n=1_000, draws=2),
    "60 / 240 of 300": World(n=300, draws=2),
    "60 / 240 of 300, 10 % positive": World(n=300, draws=2, bias=-2.6),
    "125 clusters of 8": World(n=1_000, draws=2, clusters=125),
}


def data_set(key, world: World, n: int, draws: int):
    """One data set of coverage.py, with labels crossed with the group: more often with the first concept."""
    scores, labels, lookup, _, clusters = simulate(key, world, n, draws)
    share = jnp.where(lookup.values[:, 0] == 1, 1 / 3, 1 / 15)
    group = jax.random.uniform(jax.random.fold_in(key, 99), (n,)) < share
    return scores, cross_labels(labels, group), lookup, clusters


@partial(jax.jit, static_argnames="world")
def studies(keys, truth, world: World):
    def study(key):
        scores, labels, lookup, clusters = data_set(key, world, world.n, world.draws)
        weights, count = jnp.ones(world.n), world.clusters or None
        own = infer_baseline(
            scores[:, lookup.baseline], labels, weights, METRIC, clusters, num_classes=4, num_clusters=count
        )
        parts = infer(key, scores, labels, lookup, weights, METRIC, None, clusters, num_clusters=count, num_repeats=0)
        units = sampling_units(labels, weights, 4, clusters, count)
        found = dataclasses.replace(
            parts,
            per_draw=jnp.concatenate([own.per_draw, parts.per_draw[:, jnp.array([0, 2])]], 1),
            influence=jnp.concatenate([own.influence, parts.influence[:, jnp.array([0, 2])]], 1),
            units=units,
        )
        estimate, error, df = found.estimate, found.standard_error, found.degrees_of_freedom
        low, high = jackknife_interval(estimate, error, df)
        p = jackknife_p(estimate, error, df, "two-sided")
        return truth < low, truth > high, p <= 0.05, estimate, error, jnp.bincount(labels, length=4)

    return jax.lax.map(study, keys)


@partial(jax.jit, static_argnames=("world", "n"))
def truths(keys, world: World, n: int):
    def large(key):
        scores, labels, lookup, _ = data_set(key, world, n, 1)
        parts = importance(scores, labels, lookup, jnp.ones(n), METRIC)[0]
        own = METRIC(scores[0, lookup.baseline], labels, jnp.ones(n))
        return jnp.concatenate([own[None], parts[jnp.array([0, 2])]])

    return jax.lax.map(large, keys)


def main(argv):
    del argv
    print(f"{FLAGS.studies:,} studies a world, nominal 95 % intervals\n")
    print("| world | gap | of | truth | spread | mean error | below | above | holds | p <= .05 |\n" + "|---" * 10 + "|")
    for name, world in WORLDS.items():
        n = 20_000
        large = dataclasses.replace(world, clusters=n // 8) if world.clusters else world
        truth = np.asarray(truths(jax.random.split(jax.random.key(1), FLAGS.truth // n), large, n)).mean(0)
        keys = jax.random.split(jax.random.key(2), FLAGS.studies)
        below, above, rejected, estimate, error, counts = map(np.asarray, studies(keys, jnp.asarray(truth), world))
        known = (counts >= 2).all(1)  # others are refused
        for m, metric in enumerate(GAPS):
            for f, of in enumerate(("gap", "first concept", "none")):
                under, over, null = (x[known, f, m].mean() for x in (below, above, rejected))
                numbers = f"{truth[f, m]:+.4f} | {estimate[known, f, m].std():.4f} | {error[known, f, m].mean():.4f}"
                null = f"{null:.1%}" if of == "none" else ""
                holds = f"{under:.1%} | {over:.1%} | {1 - under - over:.1%}"
                print(f"| {name} | {metric if not f else ''} | {of} | {numbers} | {holds} | {null} |", flush=True)
                name = ""
        print(f"| | | examples of negatives and positives outside, inside (median): {np.median(counts, 0)}; refused "
              f"{(~known).mean():.1%} |||||||", flush=True)  # fmt: skip


if __name__ == "__main__":
    app.run(main)
