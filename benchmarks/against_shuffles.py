"""The functional beside the mean of index shuffles of the same table, for every metric. Prints Markdown.

python benchmarks/against_shuffles.py

400 examples of which 24 are positive (binary), or of five classes of which the rarest has 24, one concept that matters
and one that does not, one draw. Uniform shuffles have fixed points, so that metrics that are means over examples are
multiplied by (N - 1) / N before they are compared.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from cpi_jax.plan.variants import Lookup
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.metrics import METRICS, stack_metrics
from cpi_jax.statistics.shuffles import shuffle_importance

_SHUFFLES = flags.DEFINE_integer("shuffles", 4_000, "Shuffles of each concept.")

N, FEW = 400, 24


def make_table(num_classes: int, seed: int = 0):
    """Scores [1, V] or [1, V, C], labels and lookup of two concepts."""
    rng = np.random.default_rng(seed)
    if num_classes == 2:
        labels = (np.arange(N) < FEW).astype(np.int32)
    else:
        labels = np.where(np.arange(N) < FEW, 0, 1 + np.arange(N) % (num_classes - 1)).astype(np.int32)
    values = (rng.random((N, 2)) < np.where(labels[:, None] == labels.max(), [0.7, 0.5], 0.4)).astype(np.int32)
    example = np.concatenate([np.arange(N), np.repeat(np.arange(N), 2)])
    shown = np.concatenate(
        [values, np.where(np.eye(2, dtype=bool)[None], 1 - values[:, None], values[:, None]).reshape(-1, 2)]
    )
    columns = num_classes if num_classes > 2 else 1
    true = labels[:, None] == (np.arange(columns) if columns > 1 else 1)
    of_example = 1.5 * true + rng.normal(size=(N, columns))
    scores = of_example[example] + 0.3 * rng.normal(size=(len(example), columns))
    scores[:, -1] += shown[:, 0] - 0.5 - (1.5 if columns == 1 else 0)
    other = N + np.arange(2 * N).reshape(N, 2, 1)
    rows = np.where(np.arange(2) == values[..., None], np.arange(N)[:, None, None], other)
    lookup = Lookup(jnp.arange(N, dtype=jnp.int32), jnp.asarray(rows, jnp.int32), jnp.asarray(values))
    table = scores[None] if columns > 1 else scores[None, :, 0]
    return jnp.asarray(table, jnp.float32), jnp.asarray(labels), lookup


def main(argv):
    del argv
    print(f"{_SHUFFLES.value:,} shuffles\n")
    print("| metric | classes | concept | functional | shuffles | their error | difference |\n" + "|---" * 7 + "|")
    for num_classes in (2, 5):
        names = [name for name in METRICS if ("_per_class" not in name if num_classes > 2 else name in _BINARY)]
        scores, labels, lookup = make_table(num_classes)
        metric = stack_metrics(tuple(METRICS[name] for name in names))
        ours = np.asarray(importance(scores, labels, lookup, jnp.ones(N), metric))[0]
        drops = shuffle_importance(
            jax.random.key(0), scores, labels, lookup, jnp.ones(N), metric, num_shuffles=_SHUFFLES.value
        )
        drops = np.asarray(drops)[:, 0]
        for m, name in enumerate(names):
            factor = 1 if name.startswith(_RATIOS) else (N - 1) / N
            for f, concept in enumerate(("matters", "does not")):
                mean, error = drops[:, f, m].mean(), drops[:, f, m].std() / np.sqrt(len(drops))
                value = factor * ours[f, m]
                print(
                    f"| {name} | {num_classes} | {concept} | {value:+.5f} | {mean:+.5f} | {error:.5f} | "
                    f"{value - mean:+.5f} |",
                    flush=True,
                )


_BINARY = ("auroc", "average_precision", "accuracy", "balanced_accuracy", "f1", "neg_log_loss", "neg_brier")
_RATIOS = ("auroc", "average_precision", "f1")

if __name__ == "__main__":
    app.run(main)
