"""Measures what the main job promises: detector, generator, independence, sampler settings. Prints Markdown.

python benchmarks/main_job.py                      # quality at the default settings, 1,000 held-out examples
python benchmarks/main_job.py --settings           # steps x guidance, 200 examples each
"""

import json
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from absl import app, flags

from cpi_jax import SHAPES_DETECTOR, SHAPES_GENERATOR, SHAPES_TARGET, Settings, load_generator, load_resnet, make_shapes
from cpi_jax.analysis.validity import evaluate_generation, evaluate_independence
from cpi_jax.cli.cpu_devices import use_cores
from cpi_jax.data.shapes import CONCEPTS, PLANTED_BIAS, PLANTED_WEIGHTS
from cpi_jax.generation.score_images import score_images
from cpi_jax.opening import open_study

_EXAMPLES = flags.DEFINE_integer("examples", 1_000, "Held-out examples for the quality at the default settings.")
_SETTINGS = flags.DEFINE_bool("settings", False, "Measure the table of steps and guidance instead.")
_FEW = flags.DEFINE_integer("few", 200, "Held-out examples for each entry of that table.")

_DEMO = flags.DEFINE_string("demo", "", "Report on this finished demo study instead.")

HELD_OUT = 5_000_000  # ids that nothing was trained on or chosen by


def measure(num_examples: int, steps: int, guidance_scale: float, start: int) -> dict:
    """One draw of a study over all six concepts: AUROCs and how fast it went (compilation left out)."""
    examples = make_shapes(num_examples, seed=0, start=start, weights=PLANTED_WEIGHTS, bias=PLANTED_BIAS)
    generator, tokenizer = load_generator(SHAPES_GENERATOR, steps=steps, guidance_scale=guidance_scale)
    scorers = {"target": load_resnet(SHAPES_TARGET), "detector": load_resnet(SHAPES_DETECTOR)}
    settings = Settings(draws=1)
    kwargs = {"generator": generator, "tokenizer": tokenizer, "scorers": scorers, "settings": settings}
    with tempfile.TemporaryDirectory() as folder:
        few = make_shapes(16, seed=0, start=start, weights=PLANTED_WEIGHTS, bias=PLANTED_BIAS)
        open_study(few, **kwargs, workdir=f"{folder}/warm").generate()
        study = open_study(examples, **kwargs, workdir=f"{folder}/study")
        started = time.monotonic()
        study.generate()
        seconds = time.monotonic() - started
        plan, tables = study.plan, study.scores.read(1)
    found, real = {}, score_images(scorers, examples.images)
    for name, labels in (("target", examples.labels), ("detector", examples.concepts)):
        generated = tables[name][:, np.asarray(plan.baseline)]
        found[name] = evaluate_generation(examples, labels, real[name], generated, settings)
    independence = evaluate_independence(plan, examples, tables["detector"], settings, real["detector"])
    return {
        **found,
        "independence": independence,
        "images": plan.num_variants,
        "rate": plan.num_variants / seconds,
    }


def quality(num_examples: int) -> None:
    """The table of the default settings."""
    found = measure(num_examples, 8, 3.0, HELD_OUT)
    others = ~jnp.eye(6, dtype=bool)
    change, leak = (
        np.abs(np.where(others, x, 0)) for x in (found["independence"].change.value, found["independence"].leak.value)
    )
    print(f"\n{num_examples} held-out examples, {found['images']} images, {found['rate']:.0f} images/s\n")
    print("| concept | h real | h generated | follows when permuted | largest change of another | largest leak |")
    print("|---|---|---|---|---|---|")
    for j, name in enumerate(CONCEPTS):
        follows = float(found["independence"].follows.value[j, j])
        print(
            f"| {name} | {found['detector'].real[j]:.4f} | {found['detector'].generated[j]:.4f} | {follows:.4f} "
            f"| {change[j].max():.4f} | {leak[j].max():.4f} |"
        )
    print(f"\nmean of h on generated: {found['detector'].generated.mean():.4f}")
    print(f"f: AUROC {found['target'].real[0]:.4f} real, {found['target'].generated[0]:.4f} generated")


def settings_table(num_examples: int) -> None:
    """Steps and guidance."""
    print(
        "\n| steps | guidance | h generated, worst / mean | follows, worst | change, worst | leak, worst | images/s |"
    )
    print("|---|---|---|---|---|---|---|")
    for steps in (5, 8, 10, 20):
        for guidance in (1.0, 2.0, 3.0):
            found = measure(num_examples, steps, guidance, HELD_OUT + 100_000)
            generated, independence = found["detector"].generated, found["independence"]
            others = ~np.eye(6, dtype=bool)
            print(
                f"| {steps} | {guidance:g} | {generated.min():.4f} / {generated.mean():.4f} "
                f"| {np.diag(independence.follows.value).min():.4f} "
                f"| {np.abs(independence.change.value)[others].max():.4f} "
                f"| {np.abs(independence.leak.value)[others].max():.4f} | {found['rate']:.0f} |",
                flush=True,
            )


def demo(workdir: str) -> None:
    """What `make demo` found beside the planted truth."""
    table = pd.read_csv(f"{workdir}/importance.csv").query("metric == 'auroc'")
    nulls = table[table.planted_weight == 0].importance.abs()
    provenance = json.loads(Path(workdir, "provenance.json").read_text())
    print(f"\nSpearman with the oracle: {table.importance.corr(table.oracle, method='spearman'):.3f}")
    print(f"|importance| of the concepts of zero planted weight: {', '.join(f'{x:.4f}' for x in nulls)}")
    print(f"largest |importance - oracle|: {(table.importance - table.oracle).abs().max():.4f}")
    print(f"wall time: {provenance['wall_seconds']} s, images: {provenance['images_generated']}")


def main(argv):
    del argv
    if _DEMO.value:
        demo(_DEMO.value)
        return
    use_cores()
    print(f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}")
    if _SETTINGS.value:
        settings_table(_FEW.value)
    else:
        quality(_EXAMPLES.value)


if __name__ == "__main__":
    app.run(main)
