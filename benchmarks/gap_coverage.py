"""How often the intervals of gaps between two groups, and of what they come from, hold the truth. Prints Markdown.

python benchmarks/gap_coverage.py --studies=2000
python benchmarks/gap_coverage.py --studies=3 --compare     # the same numbers by cpi_jax.infer, and how far they are off

Every study is a data set of its own, in numpy: two concepts, a group that is met more often where the first is there,
labels, and the scores of a noisy classifier that reads the first concept alone. The influences are written out here anew.
"""

import dataclasses

import numpy as np
from absl import app, flags
from scipy import special, stats

from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.dealing import Dealing, deal

_STUDIES = flags.DEFINE_integer("studies", 2_000, "Studies in each world.")
_TRUTH = flags.DEFINE_integer("truth", 1_000_000, "Examples that the truth is of.", lower_bound=20_000)
_COMPARE = flags.DEFINE_bool("compare", False, "Compare estimates and errors with those of cpi_jax.infer.")


@dataclasses.dataclass(frozen=True)
class World:
    """Groups of given sizes.

    Attributes:
      n: examples.
      group: the share of them in the group.
      draws: per example.
      bias: of the label's logit.
      clusters: examples come in so many, alike in concepts, groups and scores; 0 for independent examples.
    """

    n: int = 1_000
    group: float = 0.2
    draws: int = 2
    bias: float = 0.0
    clusters: int = 0


WORLDS = {
    "200 / 800 of 1,000": World(),
    "60 / 240 of 300": World(n=300),
    "60 / 240 of 300, 25 % positive": World(n=300, bias=-1.3),
    "200 / 800 of 1,000 in 125 clusters": World(clusters=125),
}
GAPS = ("TPR", "FPR", "positive rate", "AUROC", "calibration")


def simulate(rng: np.random.Generator, world: World, n: int, clusters: int):
    """Scores of the cells of either concept, [D, N, 2] each, the whole table, the lookup, labels, group and clusters."""
    cluster = np.arange(n) * clusters // n if clusters else None

    def of_cluster(scale):
        return scale * rng.normal(size=clusters)[cluster] if clusters else np.zeros(n)

    own = (rng.normal(size=(n, 2)) + of_cluster(0.5)[:, None] > 0).astype(int)
    place = stats.norm.cdf((rng.normal(size=n) + of_cluster(0.5)) / np.sqrt(1 + 0.25 * bool(clusters)))
    group = place < world.group * np.where(own[:, 0] == 1, 5 / 3, 1 / 3)
    rest = rng.normal(size=n) + of_cluster(0.5)
    labels = (rng.random(n) < 1 / (1 + np.exp(-(1.2 * (own[:, 0] - 0.5) + rest + world.bias)))).astype(int)
    base = 0.7 * rest + world.bias + 0.5 * rng.normal(size=(world.draws, n))
    noise = 0.5 * rng.normal(size=(world.draws, n, 3))
    baseline = base + 1.2 * (own[:, 0] - 0.5) + noise[..., 0]
    other = [base + 1.2 * (0.5 - own[:, 0]) + noise[..., 1], base + 1.2 * (own[:, 0] - 0.5) + noise[..., 2]]
    cells = [np.where(np.arange(2) == own[:, j, None], baseline[..., None], other[j][..., None]) for j in range(2)]
    rows = n * (1 + np.arange(2))[None, :, None] + np.arange(n)[:, None, None]
    rows = np.where(np.arange(2) == own[..., None], np.arange(n)[:, None, None], rows)
    lookup = Lookup(np.arange(n), rows, own)
    return cells, np.concatenate([baseline, *other], axis=1), lookup, labels, group, cluster


def gaps_of(dealing: Dealing, cells: np.ndarray, labels: np.ndarray, group: np.ndarray):
    """Every gap of one draw's cells [N, M], weighted as they are dealt, and its influences [N]."""
    p = 1 / (1 + np.exp(-cells))
    positive, inside = labels[:, None] == 1, group[:, None]
    everywhere = np.ones(cells.shape, bool)
    out = []
    means = [(cells > 0, positive), (cells > 0, ~positive), (cells > 0, everywhere)]
    for x, among in (*means, (None, None), (p - labels[:, None], everywhere)):
        both = [
            auroc(dealing, cells, labels, side) if x is None else dealing.mean(x * 1.0, among & side & everywhere)
            for side in (inside, ~inside)
        ]
        out.append((both[0][0] - both[1][0], both[0][1] - both[1][1]))
    return np.array([value for value, _ in out]), np.array([influence for _, influence in out])


def auroc(dealing: Dealing, cells: np.ndarray, labels: np.ndarray, side: np.ndarray):
    """AUROC over the cells of one side; without ties."""
    mass = (dealing.weights[:, None] * dealing.shares * side).ravel()
    positive = np.repeat(labels == 1, cells.shape[1])
    order = np.argsort(cells.ravel(), kind="stable")
    of_positive, of_negative = np.where(positive, mass, 0), np.where(positive, 0, mass)
    total_positive, total_negative = of_positive.sum(), of_negative.sum()
    below, above = np.empty_like(mass), np.empty_like(mass)
    below[order] = of_negative[order].cumsum()
    above[order] = total_positive - of_positive[order].cumsum()
    value = (of_positive * below).sum() / (total_positive * total_negative)
    slope = np.where(
        positive, (below / total_negative - value) / total_positive, (above / total_positive - value) / total_negative
    )
    return value, dealing._derivative(np.where(side, slope.reshape(cells.shape), 0.0))


def evaluate(rng: np.random.Generator, world: World, n: int, clusters: int):
    """Estimates [3, 5] of the gaps, and of what permuting either concept takes away; errors, and their limits."""
    cells, table, lookup, labels, group, cluster = simulate(rng, world, n, clusters)
    dealings = [deal(lookup, j, lookup.values[:, j], np.ones(n)) for j in range(2)]
    alone = dataclasses.replace(  # as if every example were dealt its own caption
        dealings[0], shares=(np.arange(2) == lookup.values[:, :1]) * 1.0, per_other=np.zeros(n)
    )
    values, influences = np.zeros((3, 5)), np.zeros((3, 5, n))
    for d in range(world.draws):
        before = gaps_of(alone, cells[0][d], labels, group)
        after = [gaps_of(dealings[j], cells[j][d], labels, group) for j in range(2)]
        values += np.stack([before[0], *(before[0] - x[0] for x in after)]) / world.draws
        influences += np.stack([before[1], *(before[1] - x[1] for x in after)]) / world.draws
    units = labels + 2 * group
    if clusters:
        influences = np.apply_along_axis(lambda u: np.bincount(cluster, u), -1, influences)
        units = np.zeros(clusters, int)
    sizes = np.bincount(units)
    parts = np.stack(
        [(influences[..., units == q] ** 2).sum(-1) * sizes[q] / (sizes[q] - 1) for q in range(len(sizes))]
    )
    error = np.sqrt(parts.sum(0))
    df = parts.sum(0) ** 2 / (parts**2 / (sizes - 1)[:, None, None]).sum(0)
    if _COMPARE.value:
        compare(table, lookup, labels, group, cluster, clusters, values, error)
    return values, error, df


def compare(table, lookup, labels, group, cluster, clusters, values, error) -> None:
    import jax
    import jax.numpy as jnp

    from cpi_jax.statistics.baseline import infer_baseline
    from cpi_jax.statistics.inference import infer
    from cpi_jax.statistics.metrics import gaps, stack_metrics

    metric, ones = stack_metrics(tuple(gaps.GAPS.values())), jnp.ones(len(labels))
    lookup, table = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), lookup), jnp.asarray(table, jnp.float32)
    crossed, count = gaps.cross_labels(labels, group), clusters or None
    cluster = None if cluster is None else jnp.asarray(cluster, jnp.int32)
    own = infer_baseline(table[:, lookup.baseline], crossed, ones, metric, cluster, num_classes=4, num_clusters=count)
    of = infer(
        jax.random.key(0), table, crossed, lookup, ones, metric, None, cluster, num_clusters=count, num_repeats=0
    )
    of = dataclasses.replace(of, units=own.units)
    theirs = [np.concatenate([getattr(own, name), getattr(of, name)]) for name in ("estimate", "standard_error")]
    print(
        "largest difference of estimates, of errors:",
        *(float(np.abs(a - b).max()) for a, b in zip(theirs, (values, error))),
    )


def main(argv):
    del argv
    print(f"{_STUDIES.value:,} studies a world, nominal 95 % intervals\n")
    print("| world | gap | of | truth | spread | mean error | below | above | holds |\n" + "|---" * 9 + "|")
    for name, world in WORLDS.items():
        large = dataclasses.replace(world, draws=1)
        size = world.n // world.clusters if world.clusters else 1
        clusters = _TRUTH.value // size if world.clusters else 0
        truth = world if _COMPARE.value else evaluate(np.random.default_rng(1), large, _TRUTH.value, clusters)[0]
        studies = [
            evaluate(np.random.default_rng([2, study]), world, world.n, world.clusters)
            for study in range(_STUDIES.value)
        ]
        if _COMPARE.value:
            continue
        values, errors, df = (np.array(x) for x in zip(*studies))
        reach = special.stdtrit(df, 0.975) * errors
        for m, gap in enumerate(GAPS):
            for f, of in enumerate(("gap itself", "first concept", "second concept")):
                at = slice(None), f, m
                below, above = (truth[f, m] < (values - reach)[at]).mean(), (truth[f, m] > (values + reach)[at]).mean()
                numbers = f"{truth[f, m]:+.4f} | {values[at].std():.4f} | {errors[at].mean():.4f}"
                holds = f"{below:.1%} | {above:.1%} | {1 - below - above:.1%}"
                print(f"| {name} | {gap if not f else ''} | {of} | {numbers} | {holds} |", flush=True)
                name = ""


if __name__ == "__main__":
    app.run(main)
