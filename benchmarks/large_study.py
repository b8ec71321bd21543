"""Plans, fills, opens again and evaluates large studies with a generator that costs nothing: time, peak memory, growth.

python benchmarks/large_study.py --part=plan                  100,000 examples x 20 concepts
python benchmarks/large_study.py --part=study                 1,000,000 variants, a quarter of it and twice as many
"""

import resource
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from cpi_jax.analysis.early_stopping import EarlyStopping
from cpi_jax.analysis.results import build_results
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.diffusion.generator import Generator
from cpi_jax.opening import open_study
from cpi_jax.plan.describe import describe_variants
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.settings import Compute, Settings, Statistics

_PART = flags.DEFINE_enum(
    "part", "plan", ["plan", "study", "one"], "What to measure; one: a single study of --examples."
)
_EXAMPLES = flags.DEFINE_integer("examples", 100_000, "Of the plan, or of one study.")
_CONCEPTS = flags.DEFINE_integer("concepts", 20, "Of the plan, or of one study.")
_UNIT_SIZE = flags.DEFINE_integer("unit_size", 8192, "Rows of a work unit of one study.")
LENGTH = 77
GIB = 2.0**20  # of the KiB that getrusage gives


class Words:
    """A tokenizer of single words, as quick as can be."""

    bos_token_id, eos_token_id, pad_token_id, unk_token_id, model_max_length = 0, 1, 1, 2, LENGTH

    def __init__(self):
        self._ids = {}

    def encode(self, text, add_special_tokens):
        words = text.replace(",", " , ").split()
        return [self._ids.setdefault(word, 3 + len(self._ids)) for word in words]


def make_examples(n, k, seed=0):
    """Captions such as "1 thing3, 1 thing7", and labels of a planted model."""
    rng = np.random.default_rng(seed)
    concepts = rng.integers(0, 2, (n, k)).astype(np.int8)
    names = tuple(f"thing{j}" for j in range(k))
    slots = [tuple(f"1 {name}" if c else "" for name, c in zip(names, row)) for row in concepts]
    weights = np.linspace(2, 0, k)
    labels = (rng.random(n) < 1 / (1 + np.exp(weights.sum() / 2 - concepts @ weights))).astype(np.int32)
    return Examples(np.arange(n), slots, names, concepts, labels)


def count_tokens(params, token_ids, keys):
    """ "Images" [B, 8, 8, 3] of which each pixel says whether one token occurs in the caption."""
    said = (token_ids[:, :, None] == jnp.arange(64)[None, None]).any(1).astype(jnp.float32)
    return jnp.repeat(said.reshape(-1, 8, 8, 1), 3, axis=3) * params


def read_pixels(params, images):
    return images[..., 0].reshape(len(images), -1) @ params


def report(name, started):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB
    print(f"{name}: {time.monotonic() - started:.1f} s, peak {peak:.2f} GiB", flush=True)


def plan(n, k):
    examples = make_examples(n, k)
    settings = Settings(draws=2)
    report("made up", started := time.monotonic())
    made = make_plan(examples, Words(), LENGTH, settings)
    report(f"plan of {n:,} examples x {k} concepts, {made.num_variants:,} variants", started)
    describe_variants(made, examples, settings)
    report("  and its table of variants", started)


def study(n, k):
    examples = make_examples(n, k)
    settings = Settings(
        draws=1,
        compute=Compute(unit_size=_UNIT_SIZE.value, batch_size=8192),
        statistics=Statistics(metrics=("auroc", "accuracy"), num_bootstrap=10),
    )
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(64, 1)), jnp.float32)
    scorers = {"target": Scorer(weights, read_pixels)}
    with tempfile.TemporaryDirectory() as folder:
        parts = {"generator": Generator(jnp.float32(1), count_tokens), "scorers": scorers, "settings": settings}
        started = first = time.monotonic()
        made = open_study(examples, tokenizer=Words(), workdir=folder, **parts)
        report(f"{made.plan.num_variants:,} variants of {n:,} examples x {k} concepts planned and placed", started)
        started = time.monotonic()
        made.generate()
        report("  table filled", started)
        started = time.monotonic()
        again = open_study(examples, tokenizer=Words(), workdir=folder, **parts)
        assert again.scores.count_done(1) == [made.plan.num_variants]
        report("  opened again, its scores proven", started)
        started = time.monotonic()
        outcome = build_results(made, EarlyStopping(made))
        assert outcome.whole and np.isfinite(outcome.explanation.importance.value).all()
        report("  evaluated", started)
        report("  all", first)


def main(argv):
    print(f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}")
    if _PART.value == "plan":
        plan(_EXAMPLES.value, _CONCEPTS.value)
    elif _PART.value == "one":
        study(_EXAMPLES.value, _CONCEPTS.value)
    else:  # processes of their own, for their own peaks
        for n in (11_905, 47_620, 95_240):
            subprocess.run([sys.executable, __file__, "--part=one", f"--examples={n}", "--concepts=20"], check=True)


if __name__ == "__main__":
    app.run(main)
