"""DEPICT's protocol and ours on the same question: images, seconds, and the standard error of each importance.

    python -m benchmarks.recovery.reference_protocol --workdir=runs/reference --page=docs/recovery_reference.md

The reference's way, after its published demonstration: every permutation of every concept is generated anew with new
noise, 25 times, against one baseline generation; a caption without concepts stays empty. Ours: every distinct (example,
caption) once a draw, all with the example's own noise. The standard errors are measured, not computed: both studies are
repeated on random halves of the examples, whose spread is that of the whole study (delete-half jackknife, Shao & Wu 1989).
A run that was stopped goes on where it was.
"""

import hashlib
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from tqdm import tqdm

from cpi_jax import (
    SHAPES_GENERATOR,
    SHAPES_TARGET,
    Settings,
    assemble,
    auroc,
    load_generator,
    load_resnet,
    make_shapes,
    noise_keys,
    permute,
    score_batch,
)
from cpi_jax.cli import command_line
from cpi_jax.data.shapes import CONCEPTS, PLANTED_BIAS, PLANTED_WEIGHTS
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.statistics.functional import evaluate, prepare
from cpi_jax.store.identity import params_hash

_WORKDIR = flags.DEFINE_string("workdir", None, "Where scores are kept.")
_PAGE = flags.DEFINE_string("page", "", "Markdown file to write; empty: print only.")
_EXAMPLES = flags.DEFINE_integer("examples", 200, "Examples of the study.")
_PERMUTATIONS = flags.DEFINE_integer("permutations", 25, "Permutations of a concept in the reference's protocol.")
_DRAWS = flags.DEFINE_integer("draws", 2, "Most noise draws of ours.")
_HALVES = flags.DEFINE_integer("halves", 2_000, "Random halves.")
_KEY, _BATCH = 7, 50


class Generations:
    """Scores of whole passes over captions, kept in one file each, with the seconds that they took."""

    def __init__(self, folder, generator, target):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

        @jax.jit
        def step(token_ids, keys):
            return score_batch(generator, {"target": target}, token_ids, keys)[0]["target"][:, 0]

        self.step = step
        self.models = f"{params_hash(generator)} {params_hash(target)}"
        jax.block_until_ready(step(jnp.zeros((_BATCH, 32), jnp.int32), jax.random.split(jax.random.key(0), _BATCH)))

    def __call__(self, name, token_ids, keys):
        content = hashlib.sha256(self.models.encode())
        content.update(np.asarray(token_ids).tobytes() + np.asarray(jax.random.key_data(keys)).tobytes())
        path = self.folder / f"{name}_{content.hexdigest()[:12]}.npz"  # other captions or noise: another file
        if not path.exists():
            started = time.monotonic()
            n, batches = len(token_ids), -(-len(token_ids) // _BATCH)
            rows = (np.arange(batches * _BATCH) % n).reshape(batches, _BATCH)
            scores = np.concatenate([np.asarray(self.step(token_ids[i], keys[i])) for i in rows])[:n]
            # What fills the last batch is not the protocol's: it is taken out of the seconds.
            seconds = (time.monotonic() - started) * n / rows.size
            np.savez(self.folder / "part.npz", scores=scores, seconds=seconds)
            (self.folder / "part.npz").rename(path)
        with np.load(path) as kept:
            return kept["scores"], float(kept["seconds"])


def reference(generations, plan, ids):
    """Scores of the baseline [N] and of every permutation [K, R, N]; seconds; share of captions left empty."""
    slots = plan.slots.replace(empty=jnp.zeros(0, jnp.int32))
    shuffle_key, noise_key = jax.random.split(jax.random.key(_KEY))
    k, r = len(plan.masks), _PERMUTATIONS.value
    # Draw 0 is the baseline's; every permutation has a draw of its own, whatever their number.
    baseline, seconds = generations("reference_baseline", assemble(slots), noise_keys(noise_key, 0, ids))
    permuted, empty = np.empty((k, r, len(ids))), []
    with tqdm(total=k * r, unit=" permutations", desc="reference") as bar:
        for j in range(k):
            for i in range(r):
                draw = 1 + j + i * k
                tokens = permute(jax.random.fold_in(shuffle_key, draw), slots.tokens, plan.masks[j])
                token_ids = assemble(slots.replace(tokens=tokens))
                permuted[j, i], more = generations(f"reference_{j}_{i}", token_ids, noise_keys(noise_key, draw, ids))
                seconds += more
                empty.append(float((tokens < 0).all((1, 2)).mean()))
                bar.update()
    return baseline, permuted, seconds, float(np.mean(empty))


def reference_importance(baseline, permuted, labels, weights):
    """Mean over permutations of the drop, at weights [H, N]: [H, K]."""
    column, labels = jnp.asarray(weights.T, jnp.float32), jnp.asarray(labels)

    def value(scores):
        return auroc.prepare(jnp.asarray(scores, jnp.float32), labels)(column)

    k, r, n = permuted.shape
    drops = value(baseline)[None] - jax.lax.map(value, jnp.asarray(permuted.reshape(k * r, n), jnp.float32))
    return np.asarray(drops.reshape(k, r, -1).mean(1).T)


def halves(n, count):
    """Weights of random halves, [H, N]; the first row is everybody."""
    rng = np.random.default_rng(0)
    weights = np.zeros((count + 1, n))
    weights[0] = 1
    for row in weights[1:]:
        row[rng.permutation(n)[: n // 2]] = 1
    return weights


def main():
    examples = make_shapes(_EXAMPLES.value, seed=0, weights=PLANTED_WEIGHTS, bias=PLANTED_BIAS)
    generator, tokenizer = load_generator(SHAPES_GENERATOR, steps=8, guidance_scale=3.0)
    plan = make_plan(examples, tokenizer, 32, Settings())
    generations = Generations(_WORKDIR.value, generator, load_resnet(SHAPES_TARGET))
    weights = halves(len(examples), _HALVES.value)
    rows = []

    lookup, _ = plan.lookups[0]
    ids = jnp.asarray(plan.ids)
    of_row = ids[np.asarray(plan.variants.example)]
    tables, seconds = [], 0.0
    for d in range(_DRAWS.value):
        table, more = generations(f"ours_{d}", plan.token_ids, noise_keys(jax.random.key(0), d, of_row))
        tables.append(table)
        seconds += more
        if (d + 1) & d == 0:  # 1, 2, 4, ... draws
            prepared = prepare(jnp.asarray(np.stack(tables)), jnp.asarray(examples.labels), lookup, auroc)
            values = np.asarray(evaluate(prepared, lookup, jnp.asarray(weights.T, jnp.float32)).mean(0).T)
            name = f"ours, {d + 1} draw" + ("s" if d else "")
            rows.append((name, (d + 1) * plan.num_variants, seconds, values[0], values[1:].std(0, ddof=1)))
    baseline, permuted, seconds, empty = reference(generations, plan, ids)
    values = reference_importance(baseline, permuted, examples.labels, weights)
    images = len(examples) * (1 + permuted.shape[0] * permuted.shape[1])
    rows.insert(0, ("reference", images, seconds, values[0], values[1:].std(0, ddof=1)))

    text = page(rows, empty)
    print(text)
    if _PAGE.value:
        Path(_PAGE.value).write_text(text)


def page(rows, empty):
    head = "| protocol | images | seconds | " + " | ".join(CONCEPTS) + " |"
    importances = [head, "|---" * head.count("|", 1) + "|"]
    errors = [head.replace(" |\n", "") + " largest ratio to the reference |", "|---" * (head.count("|", 1) + 1) + "|"]
    first = rows[0]
    for name, images, seconds, value, error in rows:
        cost = f"| {name} | {images:,} | {seconds:.0f} | "
        importances.append(cost + " | ".join(f"{v:+.4f}" for v in value) + " |")
        ratio = (error / first[4]).max()
        errors.append(cost + " | ".join(f"{e:.4f}" for e in error) + f" | {ratio:.2f} |")
    cheaper = ", ".join(
        f"{name}: {first[1] / images:.1f} times fewer images, {first[2] / seconds:.1f} times fewer seconds"
        for name, images, seconds, *_ in rows[1:]
    )
    return "\n".join(
        [
            "# DEPICT's protocol and cost, reproduced",
            "",
            f"Made by `make recovery-reference` on {os.cpu_count()} cores ({jax.local_devices()[0].device_kind}, jax "
            f"{jax.__version__}): {_EXAMPLES.value} examples, {len(CONCEPTS)} concepts, {_PERMUTATIONS.value} permutations "
            f"a concept in the reference's protocol, of whose permuted captions {empty:.1%} were empty and stayed so.",
            "",
            "Signed importance (drop of AUROC of the embedded target):",
            "",
            *importances,
            "",
            f"Standard error, measured: spread over {_HALVES.value:,} random halves of the examples (delete-half "
            "jackknife). Also in a half the reference's donors come from all examples, which leaves out a part of its "
            "error, not of ours.",
            "",
            *errors,
            "",
            f"{cheaper}.",
            "",
        ]
    )


if __name__ == "__main__":
    command_line.run(main, required=("workdir",))
