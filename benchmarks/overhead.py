"""What the store and the host add to a study: the demo's plan, batches and units with a step that costs nothing.

    python benchmarks/overhead.py

Beside it the demo's compiled step alone on the same batches. Host and store can hide behind the step, so that their share
of its time is the most that they can add.
"""

import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from cpi_jax.cache import keep_compiled
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.cli.cpu_devices import use_cores
from cpi_jax.cli.from_config import examples_from_config, generator_from_config, study_from_config
from cpi_jax.diffusion.generator import Generator
from cpi_jax.generation import sharding
from cpi_jax.opening import open_study

sys.path.insert(0, str(Path(__file__).parents[1]))
from configs.shapes import get_config

_EXAMPLES = flags.DEFINE_integer("examples", 200, "Of the study; one draw.")


def striped(params, token_ids, keys):
    """Black but for a row that differs from caption to caption: a study refuses pictures and scores that are all alike."""
    return (jnp.zeros((len(token_ids), 64, 64, 3)) + params).at[:, 0].set(token_ids.sum(1)[:, None, None] % 97 / 97)


def nothing(params, images):
    return images[:, 0, 0, :1] + params


def nothing_of_six(params, images):
    return jnp.tile(images[:, 0, 0, :1], 6) + params


def main(argv):
    use_cores()
    keep_compiled()
    config = get_config()
    config.data.num_examples, config.draws = _EXAMPLES.value, 1
    with tempfile.TemporaryDirectory() as folder:
        made = study_from_config(config, folder)
        step, arguments = made.batch_scorer.step_and_arguments()
        jax.block_until_ready(step(*arguments))  # compiled and warm
        size, rows, alone = made.batch_scorer.batch_size, np.arange(made.plan.num_variants), []
        for _ in range(3):
            started = time.monotonic()
            for first in range(0, len(rows), size):
                batch = sharding.pad_rows(rows[first : first + size], size)
                ids = made.plan.ids[made.plan.variants.example[batch]]
                jax.block_until_ready(step(*arguments[:3], 0, made.plan.captions(batch), ids, None))
            alone.append(time.monotonic() - started)
            print(f"step alone: {len(rows):,} images in {alone[-1]:.2f} s", flush=True)
        free = {"target": Scorer(jnp.zeros(()), nothing), "detector": Scorer(jnp.zeros(()), nothing_of_six)}
        around = []
        for n in range(4):  # the first one compiles
            again = open_study(
                examples_from_config(config),
                generator=Generator(jnp.zeros(()), striped),
                tokenizer=generator_from_config(config)[1],
                scorers=free,
                settings=made.settings,
                workdir=f"{folder}/{n}",
            )
            started = time.monotonic()
            again.generate()
            around.append(time.monotonic() - started)
            print(f"store and host: {len(rows):,} images in {around[-1]:.2f} s", flush=True)
    print(f"store and host: at most {max(around[1:]) / min(alone):.1%} of the step's time")


if __name__ == "__main__":
    app.run(main)
