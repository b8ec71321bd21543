"""How often the intervals hold the truth, and how often p <= 5 % for a concept of no importance. Prints Markdown.

python benchmarks/coverage.py                            # every world, 5,000 studies: about an hour on two cores
python benchmarks/coverage.py --studies=500 --worlds='1 draw,150 examples'
python benchmarks/coverage.py --repeats=0 --sides        # misses below and above, also of transformed intervals

Every study is a data set of its own: concepts, labels and the scores of a noisy classifier on noisy images. Truth is
the mean importance of large data sets of the same world.
"""

import dataclasses
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax.scipy.stats import norm

from cpi_jax.plan.variants import Lookup, ShuffledLookup
from cpi_jax.statistics.bootstrap import percentile_interval
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.inference import infer
from cpi_jax.statistics.metrics import METRICS
from cpi_jax.statistics.significance import bootstrap_p, jackknife_interval, jackknife_p, student_quantile

_STUDIES = flags.DEFINE_integer("studies", 5_000, "Studies in each world.")
_REPEATS = flags.DEFINE_integer("repeats", 500, "Bootstrap repeats; 0 leaves the bootstrap out.")
_TRUTH = flags.DEFINE_integer("truth", 2_000_000, "Examples that the truth is the mean of.", lower_bound=20_000)
_SIDES = flags.DEFINE_bool("sides", False, "Print on which side the intervals miss, and those on other scales.")
_WORLDS = flags.DEFINE_list("worlds", [], "Which worlds; all by default.")


@dataclasses.dataclass(frozen=True)
class World:
    """Concepts 0 and 1 matter to labels and classifier, concept 2 to neither; its images still change with the caption.

    Attributes:
      n: examples.
      draws: per example.
      effect: of the first two concepts on the classifier's logit and the label's.
      prevalence: of the concepts.
      correlation: of the concepts' latent normals.
      conditional: permute within the strata of the other concepts.
      bias: of the label's logit.
      noise: standard deviation of what each row adds to the logit.
      clusters: examples come in so many, alike in labels and scores; 0 for independent examples.
      weights: spread of the logarithms of sample weights, which nothing else depends on.
      values: of each slot; more than 2 makes them shuffled slots.
      metric: measured.
    """

    n: int = 300
    draws: int = 4
    effect: tuple[float, float] = (1.2, 0.6)
    prevalence: float = 0.5
    correlation: float = 0.0
    conditional: bool = False
    bias: float = 0.0
    noise: float = 0.5
    clusters: int = 0
    weights: float = 0.0
    values: int = 2
    metric: str = "auroc"


WORLDS = {
    "independent": World(),
    "correlated .6 plain": World(correlation=0.6),
    "correlated .6 conditional": World(correlation=0.6, conditional=True),
    "noisy null concept": World(noise=1.5),
    "strong concept": World(effect=(3.0, 0.6)),
    "concept at 5 % prevalence": World(prevalence=0.05),
    "150 examples": World(n=150),
    "4 % positive labels of 1000": World(n=1_000, bias=-3.6),
    "40 clusters of 8": World(n=320, clusters=40),
    "1 draw": World(draws=1),
    "many-valued slot (log loss)": World(values=20, metric="neg_log_loss"),
    "lognormal weights of spread 1": World(weights=1.0),
    "lognormal weights of spread 2.5": World(weights=2.5),
    "average precision": World(metric="average_precision"),
    "average precision at 5 % positive": World(n=400, bias=-3.35, metric="average_precision"),
    "average precision at 6 % positive": World(n=400, bias=-3.146, metric="average_precision"),
}
SHUFFLES = 25


def simulate(key, world: World, n: int, draws: int):
    """One data set: scores [D, V], labels [N], lookup, strata, clusters."""
    keys = iter(jax.random.split(key, 12))
    cluster = jnp.arange(n) * world.clusters // n if world.clusters else None

    def of_cluster(scale):
        return scale * jax.random.normal(next(keys), (world.clusters,))[cluster] if world.clusters else jnp.zeros(n)

    shared, own = jax.random.normal(next(keys), (n, 1)), jax.random.normal(next(keys), (n, 3))
    latent = np.sqrt(world.correlation) * shared + np.sqrt(1 - world.correlation) * own
    if world.values == 2:
        values = (latent + of_cluster(0.5)[:, None] > norm.ppf(1 - world.prevalence)).astype(jnp.int32)
        amount = values - world.prevalence
    else:
        values = jnp.clip((norm.cdf(latent) * world.values).astype(jnp.int32), 0, world.values - 1)
        amount = (values - (world.values - 1) / 2) / (world.values / np.sqrt(12))
    effect = jnp.array([*world.effect, 0.0])
    rest = jax.random.normal(next(keys), (n,)) + of_cluster(0.7)  # what else the caption says
    logit = amount @ effect + 0.7 * rest + of_cluster(0.7) + world.bias
    labels = (jax.random.uniform(next(keys), (n,)) < jax.nn.sigmoid(logit)).astype(jnp.int32)

    # Rows: the baselines, then for each example and feature every column (value or shuffle).
    if world.values == 2:
        columns = jnp.broadcast_to(jnp.arange(2), (n, 3, 2))
        own_value = columns == values[..., None]
    else:
        shuffles = jax.vmap(lambda k: jax.random.permutation(k, n), out_axes=-1)(
            jax.random.split(next(keys), 3 * SHUFFLES)
        ).reshape(n, 3, SHUFFLES)
        columns = jnp.take_along_axis(values[:, :, None], shuffles, axis=0)
        own_value = columns == values[..., None]
    m = columns.shape[-1]
    made = n + jnp.arange(n * 3 * m).reshape(n, 3, m)
    rows = jnp.where(own_value, jnp.arange(n)[:, None, None], made).astype(jnp.int32)
    if world.values == 2:
        moved = columns - world.prevalence
    else:
        moved = (columns - (world.values - 1) / 2) / (world.values / np.sqrt(12))
    signal = amount @ effect
    changed = signal[:, None, None] + effect[None, :, None] * (moved - amount[..., None])
    clean = jnp.concatenate([signal, changed.ravel()])
    example = jnp.concatenate([jnp.arange(n), jnp.repeat(jnp.arange(n), 3 * m)])
    of_example = 0.7 * rest[None] + 0.5 * jax.random.normal(next(keys), (draws, n))
    scores = clean[None] + of_example[:, example] + world.noise * jax.random.normal(next(keys), (draws, clean.shape[0]))
    scores = scores + world.bias
    if world.values == 2:
        lookup = Lookup(jnp.arange(n, dtype=jnp.int32), rows, values)
    else:
        lookup = ShuffledLookup(jnp.arange(n, dtype=jnp.int32), rows, shuffles.astype(jnp.int32))
    strata = None
    if world.conditional:
        others = values @ jnp.array([[0, 1, 2], [1, 0, 1], [2, 2, 0]])
        strata = others.astype(jnp.int32)
    return scores, labels, lookup, strata, cluster


@partial(jax.jit, static_argnames=("world", "repeats"))
def studies(keys, truth, world: World, repeats: int):
    """For every key one study: [.., 3] of estimate, errors, whether each interval holds the truth, both p-values."""

    def study(key):
        data, resampling = jax.random.split(key)
        scores, labels, lookup, strata, clusters = simulate(data, world, world.n, world.draws)
        weights = jnp.exp(world.weights * jax.random.normal(jax.random.fold_in(data, 1), (world.n,)))
        found = infer(
            resampling, scores, labels, lookup, weights, METRICS[world.metric], strata, clusters,
            num_clusters=world.clusters or None, num_repeats=max(repeats, 2),
        )  # fmt: skip
        low, high, _ = percentile_interval(found.repeats)
        error, df = found.standard_error, found.degrees_of_freedom
        jack_low, jack_high = jackknife_interval(found.estimate, error, df)
        scales = on_other_scales(found.estimate, error, df, found.influence.mean(0))
        return {
            "sides": {name: (truth < low, truth > high) for name, (low, high) in scales.items()},
            "effective": weights.sum() ** 2 / (weights**2).sum(),
            "estimate": found.estimate,
            "error": error,
            "bootstrap holds": (low <= truth) & (truth <= high),
            "jackknife holds": (jack_low <= truth) & (truth <= jack_high),
            "bootstrap p": bootstrap_p(found.repeats),
            "jackknife p": jackknife_p(found.estimate, error, df),
        }

    return jax.lax.map(study, keys)


def on_other_scales(estimate, error, df, influence):
    """95 % intervals: as they are, symmetric on the scale of atanh (a logit) or of the signed root, and moved by the
    skewness of the influences (Hall 1992, first order)."""
    t = student_quantile(0.975, df)
    logit, of_logit = jnp.arctanh(estimate), t * error / (1 - estimate**2)
    root = jnp.sign(estimate) * jnp.sqrt(jnp.abs(estimate))
    of_root = t * error / (2 * jnp.maximum(jnp.abs(root), 1e-6))
    skewness = (influence**3).sum(-1) / jnp.maximum((influence**2).sum(-1), 1e-12) ** 1.5
    shift = skewness * (2 * t**2 + 1) / 6 * error
    back = lambda x: jnp.sign(x) * x**2  # noqa: E731
    return {
        "plain": (estimate - t * error, estimate + t * error),
        "logit": (jnp.tanh(logit - of_logit), jnp.tanh(logit + of_logit)),
        "root": (back(root - of_root), back(root + of_root)),
        "skewness": (estimate + shift - t * error, estimate + shift + t * error),
    }


@partial(jax.jit, static_argnames=("world", "n"))
def truths(keys, world: World, n: int):
    def large(key):
        scores, labels, lookup, strata, _ = simulate(key, world, n, 1)
        return importance(scores, labels, lookup, jnp.ones(n), METRICS[world.metric], strata)[0]

    return jax.lax.map(large, keys)


def measure(name: str, world: World, num_studies: int, repeats: int) -> None:
    started = time.monotonic()
    n = 4_000 if world.values > 2 else 20_000
    large = dataclasses.replace(world, clusters=n // 8) if world.clusters else world
    samples = np.asarray(truths(jax.random.split(jax.random.key(1), _TRUTH.value // n), large, n))
    truth = samples.mean(0)
    found = jax.tree.map(np.asarray, studies(jax.random.split(jax.random.key(2), num_studies), truth, world, repeats))
    if world.weights:
        print(f"{name}: effective number of examples {np.median(found['effective']):.0f} (median)", file=sys.stderr)
    for j, concept in enumerate(("first", "second", "none")):
        if _SIDES.value:
            sides = [f"{below[:, j].mean():.3f} / {above[:, j].mean():.3f}" for below, above in found["sides"].values()]
            print("| " + " | ".join([name if j == 0 else "", concept, *sides]) + " |", flush=True)
            continue
        cells = [
            name if j == 0 else "",
            concept,
            f"{truth[j]:+.4f}",
            f"{found['estimate'][:, j].mean() - truth[j]:+.4f}",
            f"{found['estimate'][:, j].std():.4f}",
            f"{found['error'][:, j].mean():.4f}",
            f"{found['jackknife holds'][:, j].mean():.1%}",
            f"{found['bootstrap holds'][:, j].mean():.1%}" if repeats else "",
        ]
        if concept == "none":
            cells += [f"{(found['jackknife p'][:, j] <= 0.05).mean():.1%}"]
            cells += [f"{(found['bootstrap p'][:, j] <= 0.05).mean():.1%}" if repeats else ""]
        else:
            cells += ["", ""]
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def main(argv):
    del argv
    print(f"{_STUDIES.value:,} studies a world, {_REPEATS.value} bootstrap repeats, nominal 95 % intervals\n")
    if _SIDES.value:
        print(
            "Truth below / above the interval\n\n| world | concept | plain | logit | root | skewness |\n"
            + "|---" * 6
            + "|"
        )
    else:
        print_head()
    if unknown := set(_WORLDS.value) - set(WORLDS):
        raise app.UsageError(f"no world {sorted(unknown)} among {', '.join(WORLDS)}")
    for name, world in WORLDS.items():
        if not _WORLDS.value or name in _WORLDS.value:
            measure(name, world, _STUDIES.value, _REPEATS.value)


def print_head() -> None:
    print(
        "| world | concept | truth | bias | spread | mean error | jackknife holds | bootstrap holds | "
        "jackknife p <= .05 | bootstrap p <= .05 |\n" + "|---" * 10 + "|"
    )


if __name__ == "__main__":
    app.run(main)
