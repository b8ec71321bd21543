"""How often intervals that a few true pairs correct hold the importance on true counterfactuals. Prints Markdown.

python benchmarks/pairs_coverage.py --studies=1000

Every study is a data set of its own: two concepts, the scores that a classifier gives the true counterfactuals, and those
it gives the pictures of a generator, which is biased in most worlds: it paints half of the first concept, some of it where
a caption says the second, and makes every picture look a little more positive. Truth is the same number of the true
counterfactuals of one large data set. "Plain" is the interval of the generated pictures of all examples.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from scipy import special

from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.metrics import METRICS, stack_metrics
from cpi_jax.statistics.prediction_powered import correct_by_pairs, corrected_interval, draw_subset
from cpi_jax.statistics.significance import jackknife_interval

_STUDIES = flags.DEFINE_integer("studies", 1_000, "Studies in each world.")
_TRUTH = flags.DEFINE_integer("truth", 400_000, "Examples that the truth is of.", lower_bound=20_000)
_WORLDS = flags.DEFINE_list("worlds", [], "Which worlds; all by default.")
_METRICS = ("auroc", "accuracy", "neg_log_loss")
_METRIC = stack_metrics(tuple(METRICS[name] for name in _METRICS))


@dataclasses.dataclass(frozen=True)
class World:
    """A generator, and how many true pairs there are.

    Attributes:
      n: examples.
      pairs: of them have true counterfactuals.
      draws: per example.
      paints: how much of the first concept the generator paints.
      leaks: how much of it where the second is said.
      offset: that its pictures have in the logit.
      shared: of what else the classifier sees, how much the pictures have in common with the true ones.
      noise: standard deviation of what each picture adds to the logit.
      bias: of the label's logit.
      clusters: examples come in so many, alike in concepts and scores; 0 for independent examples.
      rare: share of the examples that have the first concept.
    """

    n: int = 500
    pairs: int = 100
    draws: int = 1
    paints: float = 0.5
    leaks: float = 0.4
    offset: float = 0.5
    shared: float = 1.0
    noise: float = 0.5
    bias: float = 0.0
    clusters: int = 0
    rare: float = 0.5


WORLDS = {
    "biased generator": World(),
    "biased: 2,000 examples": World(n=2_000),
    "biased: 30 pairs": World(pairs=30),
    "biased: 20 % positive": World(bias=-1.9),
    "biased: concept in 10 %": World(rare=0.1),
    "biased: 100 clusters": World(clusters=100),
    "useless generator": World(paints=0.0, leaks=0.0, shared=0.0, noise=1.0),
    "exact generator": World(paints=1.0, leaks=0.0, offset=0.0, noise=0.0),
}


def simulate(rng: np.random.Generator, world: World, n: int, clusters: int):
    """True scores [1, V] and generated ones [D, V] of own captions and either change, lookup, labels and clusters."""
    cluster = np.arange(n) * clusters // n if clusters else None

    def of_cluster(scale):
        return scale * rng.normal(size=clusters)[cluster] if clusters else np.zeros(n)

    latent = (rng.normal(size=(n, 2)) + of_cluster(0.5)[:, None]) / np.sqrt(1 + 0.25 * bool(clusters))
    own = (latent > -special.ndtri([world.rare, 0.5])).astype(int)
    rest = (rng.normal(size=n) + of_cluster(0.5)) / np.sqrt(1 + 0.25 * bool(clusters))
    labels = (rng.random(n) < special.expit(1.5 * (own[:, 0] - 0.5) + rest + world.bias)).astype(int)
    says = np.stack([own, own ^ [1, 0], own ^ [0, 1]])  # [3, N, 2]: the own caption, and either concept changed
    seen = 0.7 * rest + world.bias + 0.5 * rng.normal(size=n)
    true = seen + 1.5 * (says[..., 0] - 0.5) + 0.3 * rng.normal(size=(3, n))
    else_seen = world.shared * seen + (1 - world.shared) * rng.normal(size=(world.draws, 3, n))
    painted = world.paints * (says[..., 0] - 0.5) + world.leaks * (says[..., 1] - 0.5)
    noise = world.noise * rng.normal(size=(world.draws, 3, n)) if world.noise else 0.0
    generated = else_seen + 1.5 * painted + world.offset + noise
    if not world.noise:
        generated = np.broadcast_to(true, generated.shape)
    rows = n * (1 + np.arange(2))[None, :, None] + np.arange(n)[:, None, None]
    rows = np.where(np.arange(2) == own[..., None], np.arange(n)[:, None, None], rows)
    lookup = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), Lookup(np.arange(n), rows, own))
    true, generated = (jnp.asarray(x.reshape(-1, 3 * n), jnp.float32) for x in (true, generated))
    return true, generated, lookup, jnp.asarray(labels), None if cluster is None else jnp.asarray(cluster, jnp.int32)


@partial(jax.jit, static_argnames="num_clusters")
def evaluate(true, generated, lookup, labels, cluster, pairs, num_clusters):
    """Estimates and limits [3, 3, 2, M] of the generated pictures, the pairs alone and the corrected ones; and lambda."""
    about, options = (labels, lookup, jnp.ones(len(labels)), _METRIC, None, cluster), {"num_repeats": 0}
    options["num_clusters"] = num_clusters
    plain = infer(jax.random.key(0), generated, *about, **options)
    together = jnp.concatenate([jnp.where(jnp.tile(pairs, 3), true, 0.0), generated])
    there = infer(jax.random.key(0), together, *about, **options, recipients=pairs.astype(jnp.float32))
    first, others = (
        dataclasses.replace(there, per_draw=there.per_draw[draws], influence=there.influence[draws])
        for draws in (slice(0, 1), slice(1, None))
    )
    units = pairs if cluster is None else jnp.zeros(num_clusters, bool).at[cluster].max(pairs)
    corrected, weight = correct_by_pairs(first, others, plain, units)
    limits = jackknife_interval(plain.estimate, plain.standard_error, plain.degrees_of_freedom)
    out = [jnp.stack([plain.estimate, *limits])]
    for of in (dataclasses.replace(first, units=corrected.units), corrected):
        out.append(jnp.stack([of.estimate, *corrected_interval(of)[1:]]))
    return jnp.stack(out), weight


def study(rng: np.random.Generator, world: World):
    """A data set, its pairs, and what is found in it."""
    true, generated, lookup, labels, cluster = simulate(rng, world, world.n, world.clusters)
    pairs = np.zeros(world.n, bool)
    pairs[draw_subset(np.asarray(labels), np.ones(world.n), world.pairs, int(rng.integers(2**31)))] = True
    out = evaluate(true, generated, lookup, labels, cluster, jnp.asarray(pairs), world.clusters or None)
    return [np.asarray(x) for x in out]


def truth_of(world: World) -> np.ndarray:
    """Importances on the true counterfactuals of a large data set, [2, M]."""
    clusters = _TRUTH.value // (world.n // world.clusters) if world.clusters else 0
    large = dataclasses.replace(world, draws=1)
    true, _, lookup, labels, _ = simulate(np.random.default_rng(1), large, _TRUTH.value, clusters)
    return np.asarray(importance(true, labels, lookup, jnp.ones(_TRUTH.value), _METRIC)[0])


def main(argv):
    del argv
    if unknown := set(_WORLDS.value) - set(WORLDS):
        raise app.UsageError(f"no world {sorted(unknown)} among {', '.join(WORLDS)}")
    print(f"{_STUDIES.value:,} studies a world, nominal 95 % intervals\n")
    columns = "world | metric | concept | truth | plain holds | pairs alone hold | below | above | corrected holds"
    print(f"| {columns} | width / pairs alone | largest | lambda |\n" + "|---" * 12 + "|")
    for name, world in WORLDS.items():
        if _WORLDS.value and name not in _WORLDS.value:
            continue
        truth = truth_of(world)
        studies = [study(np.random.default_rng([2, n]), world) for n in range(_STUDIES.value)]
        found, weight = np.stack([x for x, _ in studies]), np.stack([x for _, x in studies])
        low, high = found[:, :, 1], found[:, :, 2]
        holds = ((low <= truth) & (truth <= high)).mean(0)  # [3, 2, M]
        below, above = (truth < low).mean(0)[2], (truth > high).mean(0)[2]
        width = (high - low)[:, 2] / np.maximum((high - low)[:, 1], 1e-12)
        for m, metric in enumerate(_METRICS):
            for f, concept in enumerate(("first", "second")):
                at = f, m
                held = f"{below[at]:.1%} | {above[at]:.1%} | {holds[2][at]:.1%}"
                widths = f"{width[:, f, m].mean():.2f} | {width[:, f, m].max():.3f} | {weight[:, f, m].mean():.2f}"
                plain = f"{truth[at]:+.4f} | {holds[0][at]:.1%} | {holds[1][at]:.1%}"
                print(f"| {name} | {metric} | {concept} | {plain} | {held} | {widths} |", flush=True)
                name = metric = ""


if __name__ == "__main__":
    app.run(main)
