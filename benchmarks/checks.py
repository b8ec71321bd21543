"""How often the check of independent permutation decides rightly, in simulated studies. Prints Markdown.

python benchmarks/checks.py
python benchmarks/checks.py --studies=500 --tables=follows

Three concepts, a detector whose scores are presence plus noise. A leak of twice the margin (.06 AUROC): permuting the
first concept to another value also moves the detector's decision, or its score, on the third. In the table of `follows`
the detector errs as often on real as on generated images, and generators obey every caption or half of them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from scipy.stats import norm

from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.validity import independent_permutation
from cpi_jax.statistics.verdicts import judge_independence

_STUDIES = flags.DEFINE_integer("studies", 1_000, "Studies of each kind.")
_TABLES = flags.DEFINE_list("tables", ["leaks", "follows"], "What to measure.")

MARGIN = 0.03


def simulate(key, n: int, draws: int, kind: str, size: float, noise: float):
    """Scores [D, V, 3] of a study; the arguments of `independent_permutation` after it, the real images' scores last."""
    keys = iter(jax.random.split(key, 10))
    concepts = jax.random.bernoulli(next(keys), 0.5, (n, 3)).astype(jnp.int32)
    changed = jnp.where(jnp.eye(3, dtype=jnp.int32)[None] > 0, 1 - concepts[:, None], concepts[:, None])  # [N, F, K]
    permuted = jnp.concatenate([concepts, changed.reshape(-1, 3)])
    example = jnp.concatenate([jnp.arange(n), jnp.repeat(jnp.arange(n), 3)])
    feature = jnp.concatenate([jnp.full(n, -1), jnp.tile(jnp.arange(3), n)])
    rows = jnp.where(
        jnp.arange(2) == concepts[..., None],
        jnp.arange(n)[:, None, None],
        (n + jnp.arange(3 * n).reshape(n, 3))[..., None],
    )
    painted = jnp.broadcast_to(permuted.astype(jnp.float32), (draws, *permuted.shape))
    hit = jax.random.bernoulli(next(keys), size, (draws, n))[:, example]  # a matter of the image's noise
    third = painted[..., 2]
    if kind == "paints":  # naming 0 paints 2 in that share of the images
        third = jnp.where(hit & (permuted[:, 0] > 0), 1.0, third)
    if kind == "spoils":  # changing 0 turns 2 round in that share of the images
        third = jnp.where(hit & (feature == 0), 1 - third, third)
    if kind == "disobeys":  # that share of the images shows each concept or not by chance, whatever the caption says
        chance = jax.random.bernoulli(next(keys), 0.5, (draws, n, 3))[:, example]
        painted = jnp.where(hit[..., None], chance, painted)
        third = painted[..., 2]
    scores = painted.at[..., 2].set(third) - 0.5
    scores = scores + noise * jax.random.normal(next(keys), (draws, n, 3))[:, example]
    scores = scores + noise / 2 * jax.random.normal(next(keys), scores.shape)
    lookup = Lookup(jnp.arange(n, dtype=jnp.int32), rows.astype(jnp.int32), concepts)
    real = concepts - 0.5 + np.hypot(noise, noise / 2) * jax.random.normal(next(keys), (n, 3))
    return scores, concepts, permuted, permuted[None] > 0, lookup, jnp.ones(n), None, None, real


def run_studies(kind: str, size: float, noise: float, n: int, draws: int, with_real: bool = True, k: int = 3):
    """What the check measures of the first k concepts in every study, and its verdicts, [S, k, k] each."""

    @jax.jit
    def run(keys):
        def study(key):
            scores, concepts, permuted, contents, lookup, *rest, real = simulate(key, n, draws, kind, size, noise)
            lookup = lookup.replace(rows=lookup.rows[:, :k], values=lookup.values[:, :k])
            first = scores[..., :k], concepts[:, :k], permuted[:, :k], contents[..., :k], lookup
            return independent_permutation(*first, *rest, real[:, :k] if with_real else None)

        return jax.lax.map(study, keys)

    found = run(jax.random.split(jax.random.key(0), _STUDIES.value))
    own = np.eye(k, dtype=bool)
    half = np.repeat(np.arange(n)[:, None] % 2, k, axis=1)  # prevalence one half, for the smallest error
    verdicts = []
    for i in range(_STUDIES.value):
        one = jax.tree.map(lambda x, i=i: x[i], found)
        verdicts.append(judge_independence(one, own, half, generation_margin=MARGIN, leak_margin=MARGIN))
    return found, np.stack([x.outcome for x in verdicts]), np.stack([x.needed for x in verdicts])


def print_leaks() -> None:
    """Half of the captions change 0, and the decision on 2 is turned round: AUROC falls by half of the share. Painting: a
    share of the half without 2 follows 0: AUROC of the decision against the permuted 0 is 1/2 + share / 4. What is painted
    unasked also keeps 2 from following its own words, to an AUROC of 1 - share / 4 where real images give 1: a second
    failure that is due, so that it does not count as elsewhere."""
    print(
        "| generator | noise | examples x draws | size of the leak | fails there | fails elsewhere "
        "| the third follows its words: fails | all pass |"
    )
    print("|---" * 8 + "|")
    for kind, share in (("clean", 0.0), ("spoils", 0.12), ("paints", 0.24)):
        for noise, n, draws in ((0.05, 300, 4), (0.2, 300, 4), (0.2, 300, 1), (0.2, 500, 1)):
            found, outcome, _ = run_studies(kind, share, noise, n, draws)
            failed = outcome == "fail"
            leak, follows = failed[:, 0, 2], failed[:, 2, 2]
            due = np.zeros((3, 3), bool)
            due[0, 2], due[2, 2] = kind != "clean", kind == "paints"
            elsewhere = (failed & ~due).any((1, 2))
            shares = leak & ~elsewhere, elsewhere, follows, (outcome == "pass").all((1, 2))
            number = found.leak if kind == "paints" else found.change
            size = f"{float(number.value[:, 0, 2].mean()):+.3f}"
            cells = " | ".join(f"{x.mean():.1%}" for x in shares)
            print(f"| {kind} | {noise} | {n} x {draws} | {size} | {cells} |", flush=True)


def print_follows() -> None:
    """Whether a concept follows its words; the detector errs as often, and independently, on real and generated images."""
    print(
        "| captions obeyed | detector's AUROC | real images | examples x draws | real | follows | pass | fail "
        "| inconclusive | not assessed | examples that would decide (median) |"
    )
    print("|---" * 11 + "|")
    for obeyed, auroc, with_real, n, draws in (
        (1.0, 1.0, True, 100, 1), (1.0, 0.9, True, 100, 1), (1.0, 0.9, True, 400, 1), (1.0, 0.9, True, 400, 2),
        (1.0, 0.9, True, 1_000, 2), (1.0, 0.9, True, 2_000, 2), (1.0, 0.9, False, 400, 2), (1.0, 0.65, True, 400, 2),
        (0.5, 1.0, True, 100, 1), (0.5, 0.9, True, 100, 1), (0.5, 0.9, True, 400, 1),
    ):  # fmt: skip
        # A unit of presence in normal noise; (noise, noise / 2) are its parts by example and by image.
        noise = 1e-3 if auroc == 1 else float(1 / (norm.ppf(auroc) * np.sqrt(2 * 1.25)))
        found, outcome, needed = run_studies("disobeys", 1 - obeyed, noise, n, draws, with_real, k=1)
        shares = [f"{(outcome == x).mean():.1%}" for x in ("pass", "fail", "inconclusive", "not assessed")]
        real = f"{float(found.real.value.mean()):.3f}" if with_real else ""
        many = f"{np.median(needed[needed > 0]):,.0f}" if (needed > 0).any() else ""
        follows = f"{float(found.follows.value.mean()):.3f}"
        cells = [f"{obeyed:.0%}", f"{auroc:g}", "yes" if with_real else "no", f"{n:,} x {draws}", real, follows]
        print("| " + " | ".join([*cells, *shares, many]) + " |", flush=True)


def main(argv):
    del argv
    print(f"{_STUDIES.value:,} studies a line, margins {MARGIN}\n")
    for name, print_table in (("leaks", print_leaks), ("follows", print_follows)):
        if name in _TABLES.value:
            print_table()
            print()


if __name__ == "__main__":
    app.run(main)
