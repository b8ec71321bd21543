"""How often the intervals of what a score table says besides hold the truth: flip rates and mean scores. Prints Markdown.

python benchmarks/table_coverage.py --studies=2000

Every study is a data set of its own, in numpy: a concept, and the scores of a noisy classifier on noisy images, for every
value. Truth is the same number of one large data set of the same world, as large as --truth.
"""

import dataclasses

import numpy as np
from absl import app, flags
from scipy import stats

from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.dealing import deal
from cpi_jax.statistics.flip_rates import flip_rates, mean_scores

_STUDIES = flags.DEFINE_integer("studies", 2_000, "Studies in each world.")
_TRUTH = flags.DEFINE_integer("truth", 1_000_000, "Examples that the truth is of.", lower_bound=20_000)
_WORLDS = flags.DEFINE_list("worlds", [], "Which worlds; all by default.")


@dataclasses.dataclass(frozen=True)
class World:
    """A concept of several values and a classifier that reads it.

    Attributes:
      n: examples.
      draws: per example.
      values: of the concept; the first one says nothing.
      shares: of the values; equal where empty.
      effect: of a value's place, between -1/2 and 1/2, on the logit.
      noise: standard deviation of what each row adds to the logit.
      clusters: examples come in so many, alike in values and scores; 0 for independent examples.
      shuffles: planned shuffles in the place of all values; 0 for none.
      weights: spread of the logarithms of sample weights.
      bias: of the logit.
    """

    n: int = 300
    draws: int = 2
    values: int = 2
    shares: tuple[float, ...] = ()
    effect: float = 1.0
    noise: float = 0.5
    clusters: int = 0
    shuffles: int = 0
    weights: float = 0.0
    bias: float = 0.0


WORLDS = {
    "two contents": World(),
    "three contents": World(values=3),
    "1 draw": World(draws=1),
    "100 examples": World(n=100),
    "concept in 5 % of captions": World(shares=(0.95, 0.05)),
    "flips are rare": World(effect=0.1, noise=0.05),
    "40 clusters of 8": World(n=320, clusters=40),
    "20 clusters of 15": World(n=300, clusters=20),
    "20 contents by 25 shuffles": World(values=20, shuffles=25),
    "lognormal weights of spread 1": World(weights=1.0),
}


def simulate(rng: np.random.Generator, world: World, n: int, clusters: int):
    """One data set: the dealing, scores [D, N, M] of the cells, [D, N] of the own captions, and the clusters."""
    cluster = np.arange(n) * clusters // n if clusters else None

    def of_cluster(scale):
        return scale * rng.normal(size=clusters)[cluster] if clusters else np.zeros(n)

    latent = (rng.normal(size=n) + of_cluster(0.5)) / np.sqrt(1 + 0.25 * bool(clusters))
    shares = np.array(world.shares or [1 / world.values] * world.values)
    own = np.searchsorted(shares.cumsum()[:-1], stats.norm.cdf(latent))
    rest = 0.7 * (rng.normal(size=n) + of_cluster(0.7)) + 0.4 * latent + world.bias
    place = np.arange(world.values) / (world.values - 1) - 0.5
    noise = world.noise * rng.normal(size=(world.draws, n, world.values)) + 0.3 * rng.normal(size=(world.draws, n, 1))
    scores = (rest[:, None] + world.effect * place)[None] + noise
    each = np.arange(n * world.values).reshape(n, world.values)
    lookup = Lookup(each[np.arange(n), own], each[:, None], own[:, None])
    weights = np.exp(world.weights * rng.normal(size=n))
    dealing = deal(lookup, 0, own, weights)
    before = scores[:, np.arange(n), own]
    if world.shuffles:
        donors = np.stack([rng.permutation(n) for _ in range(world.shuffles)], axis=1)
        given = np.where(donors == np.arange(n)[:, None], 0.0, weights[donors])
        total = np.where(given.sum(1) > 0, given.sum(1), 1)
        scores = np.take_along_axis(scores, own[donors][None], axis=2)
        dealing = dataclasses.replace(
            dealing, rows=np.take_along_axis(each, own[donors], 1), values=own[donors], donors=donors,
            shares=given / total[:, None], per_other=weights / total,
        )  # fmt: skip
    return dealing, scores, before, cluster


def evaluate(rng: np.random.Generator, world: World, n: int, clusters: int):
    """Names, estimates and limits of all rates and means."""
    dealing, scores, before, cluster = simulate(rng, world, n, clusters)
    flipped = ((scores > 0) != (before > 0)[:, :, None]).mean(0)
    rates = flip_rates(dealing, flipped, np.arange(world.values) > 0, cluster)
    rates = rates[rates.direction != "a to b"]
    means = mean_scores(dealing, scores.mean(0), cluster)
    shown = {row.direction: (row.rate, row.ci_low, row.ci_high) for row in rates.itertuples()}
    chosen = means[means.value.isin([0, world.values - 1])]
    shown |= {f"mean score {row.value}": (row.score, row.ci_low, row.ci_high) for row in chosen.itertuples()}
    return shown


def main(argv):
    del argv
    print(f"{_STUDIES.value:,} studies a world, nominal 95 % intervals\n")
    print("| world | of | truth | below | above | holds |\n" + "|---" * 6 + "|")
    if unknown := set(_WORLDS.value) - set(WORLDS):
        raise app.UsageError(f"no world {sorted(unknown)} among {', '.join(WORLDS)}")
    for name, world in WORLDS.items():
        if _WORLDS.value and name not in _WORLDS.value:
            continue
        large = min(_TRUTH.value, 200_000) if world.shuffles else _TRUTH.value
        size = world.n // world.clusters if world.clusters else 1
        enumerated = dataclasses.replace(world, shuffles=0, draws=1)
        truth = evaluate(np.random.default_rng(1), enumerated, large, large // size if world.clusters else 0)
        studies = [
            evaluate(np.random.default_rng([2, study]), world, world.n, world.clusters)
            for study in range(_STUDIES.value)
        ]
        for of, (value, _, _) in truth.items():
            limits = np.array([study[of] for study in studies if of in study])
            below, above = (value < limits[:, 1]).mean(), (value > limits[:, 2]).mean()
            print(f"| {name} | {of} | {value:.4f} | {below:.1%} | {above:.1%} | {1 - below - above:.1%} |", flush=True)
            name = ""


if __name__ == "__main__":
    app.run(main)
