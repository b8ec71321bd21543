"""What each preset of the sampler changes: both checks, and the importances beside those of the full sampler.

    python benchmarks/presets.py --examples=100

The embedded checkpoint and classifiers, one draw; the full sampler takes 20 steps with guidance 3 in float32. All samplers
see the same noise. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import spearmanr

import cpi_jax
from cpi_jax.cache import keep_compiled
from cpi_jax.cli.cpu_devices import use_cores
from cpi_jax.data.shapes import PLANTED_BIAS, PLANTED_WEIGHTS
from cpi_jax.diffusion.sampler import sample
from cpi_jax.diffusion.sampler_settings import PRESETS
from cpi_jax.generation import sharding


def images_per_second(generator: cpi_jax.Generator) -> float:
    """Of the sampler alone, the best of three batches of about 64 on all devices."""
    batch = -(-64 // jax.local_device_count()) * jax.local_device_count()
    step = sharding.split_rows(sample, sharding.local_mesh(), num_replicated=1, num_split=2)
    arguments = (
        generator,
        jnp.tile(generator.params.unconditional, (batch, 1)),
        jax.random.split(jax.random.key(0), batch),
    )
    times = []
    for _ in range(4):
        started = time.perf_counter()
        jax.block_until_ready(step(*arguments))
        times.append(time.perf_counter() - started)
    return batch / min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=100)
    options = parser.parse_args()
    keep_compiled()
    use_cores()
    scorers = {
        "target": cpi_jax.load_resnet(cpi_jax.SHAPES_TARGET),
        "detector": cpi_jax.load_resnet(cpi_jax.SHAPES_DETECTOR),
    }
    examples = cpi_jax.make_shapes(options.examples, weights=PLANTED_WEIGHTS, bias=PLANTED_BIAS)
    statistics = cpi_jax.Statistics(metrics=("auroc",), num_bootstrap=10)
    settings = cpi_jax.Settings(draws=1, statistics=statistics, output=cpi_jax.Output(sampled_examples=0))
    samplers = {"full": {}, "8 steps": {"steps": 8}} | {name: {"preset": name} for name in PRESETS}
    print(f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}; {options.examples} examples, 1 draw\n")
    print("| sampler | images/s | Pearson | Spearman | largest change | detector AUROC generated, worst | follows, worst "
          "| leak, largest | verdicts |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    full = None
    for name, sampler in samplers.items():
        generator, tokenizer = cpi_jax.load_generator(
            cpi_jax.SHAPES_GENERATOR, **{"steps": 20, "guidance_scale": 3.0} | sampler
        )
        found = cpi_jax.explain(examples, generator=generator, tokenizer=tokenizer, settings=settings, **scorers)
        values = found.table.set_index("concept").importance
        full = values if full is None else full
        checks = found.checks
        seen = checks[(checks.check == "effective generation") & checks.concept.str.startswith("detector")]
        moved = checks[checks.check == "independent permutation"]
        own, others = moved[moved.role == "permuted"], moved[moved.role == "other"]
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in found.table.verdict.value_counts().items())
        row = [
            name,
            f"{images_per_second(generator):.1f}",
            f"{np.corrcoef(values, full)[0, 1]:.4f}",
            f"{spearmanr(values, full)[0]:.3f}",
            f"{np.abs(values - full).max():.4f}",
            f"{seen.auroc_generated.min():.3f}",
            f"{own.auroc_permuted_labels.min():.3f}",
            f"{others.leak.abs().max():.3f}",
            verdicts,
        ]
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
