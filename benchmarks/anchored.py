"""What anchoring in real pictures keeps and what it gives: plain and anchored samplers beside true counterfactuals.

    python benchmarks/anchored.py --examples=700
    python benchmarks/anchored.py --examples=120 --study=shapes

Garments on photographs (benchmarks/shortcut), whose every counterfactual can be made, or shapes, of which one object can be
added or removed. All samplers make the same images of the same examples, one draw. Prints Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from typing import Any

import jax
import numpy as np
import pandas as pd

import cpi_jax
from benchmarks.shortcut.counterfactuals import render_variants
from benchmarks.shortcut.photographs import ASSETS, SLOTS, make_fashion
from benchmarks.shortcut.record import CLASSIFIERS
from benchmarks.shortcut.tables import checks_and_importances
from cpi_jax.cache import keep_compiled
from cpi_jax.cli.cpu_devices import use_cores
from cpi_jax.generation.score_images import score_images
from cpi_jax.opening import open_study
from cpi_jax.study import Study

SAMPLERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "edit-friendly": {"anchor": "edit_friendly", "solver": "ddim"},
    "second order": {"anchor": "edit_friendly"},
    "second order, skip 2": {"anchor": "edit_friendly", "skip": 2},
    "edit-friendly, masks": {"anchor": "edit_friendly", "solver": "ddim"},
    "edit-friendly, both guided": {"anchor": "edit_friendly", "solver": "ddim", "source_guidance": 3.0},
    "both guided, masks": {"anchor": "edit_friendly", "solver": "ddim", "source_guidance": 3.0},
    "SDEdit .75": {"anchor": "sdedit", "strength": 0.75},
    "SDEdit .5": {"anchor": "sdedit", "strength": 0.5},
}


@dataclasses.dataclass(frozen=True)
class World:
    """Examples, what makes and scores their images, and the exact pictures of a study's variants."""

    examples: cpi_jax.Examples
    checkpoint: str
    scorers: dict[str, cpi_jax.Scorer]
    settings: cpi_jax.Settings
    exact: Any


def photographs(num_examples: int) -> World:
    """The photographs' study."""
    source = {"split": "study", "path": "/usr/share/datasets/fashion-mnist", "seed": 0}
    examples = make_fashion(num_examples=num_examples, correlation=0.9, masks=True, **source)
    names = {"target": CLASSIFIERS[0], CLASSIFIERS[1]: CLASSIFIERS[1], "detector": "detector"}
    return World(
        examples,
        str(ASSETS / "generator"),
        {name: cpi_jax.load_resnet(ASSETS / which) for name, which in names.items()},
        cpi_jax.Settings(
            draws=1,
            separator=" ",
            empty="a photo",
            statistics=cpi_jax.Statistics(metrics=("auroc",), num_bootstrap=10),
            output=cpi_jax.Output(sampled_examples=0),
        ),
        lambda study, rows: render_variants(study, source, rows),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=700)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--samplers", nargs="*", default=[*SAMPLERS], choices=SAMPLERS)
    options = parser.parse_args()
    keep_compiled()
    use_cores()
    world = photographs(options.examples)
    print(f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}; {options.examples} examples, one draw\n")
    columns = (
        "sampler", "follows", "distance to the true picture: permuted; outside the garment; own",
        "logits, correlation and mean difference: biased; balanced", "error, tint of biased",
        "importance less oracle: biased; balanced", "checks", "seconds",
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|---|")
    truth = None
    for name in options.samplers:
        sampler = {"steps": options.steps, "guidance_scale": 3.0} | SAMPLERS[name]
        generator, tokenizer = cpi_jax.load_generator(world.checkpoint, **sampler)
        with tempfile.TemporaryDirectory() as folder:
            study = open_study(
                world.examples, generator=generator, tokenizer=tokenizer, scorers=world.scorers,
                settings=dataclasses.replace(world.settings, within_masks="masks" in name), workdir=folder,
            )  # fmt: skip
            rows = study.scores.in_order()
            study.batch_scorer.render(rows[: study.batch_scorer.batch_size])  # compiled
            started = time.monotonic()
            images, scores = study.batch_scorer.render(rows)
            seconds = time.monotonic() - started
        if truth is None:
            pictures = world.exact(study, rows)
            truth = pictures, _by_classifier(score_images(study.scorers, pictures))
        print(f"| {' | '.join([name, *_judge(study, rows, images, _by_classifier(scores), *truth)])} | {seconds:.1f} |",
              flush=True)  # fmt: skip


def _by_classifier(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {CLASSIFIERS[0] if name == "target" else name: values for name, values in scores.items()}


def _judge(study: Study, rows: np.ndarray, images, scores, pictures, exact) -> list[str]:
    own = np.zeros(len(rows), bool)
    place = np.argsort(rows)
    own[place[np.asarray(study.plan.baseline)]] = True
    squares = ((images.astype(np.float32) - pictures) ** 2).mean(-1)
    off = np.sqrt(squares.mean((1, 2)))
    feature = np.asarray(study.plan.variants.feature)[rows]
    outside = ~np.asarray(study.examples.masks)[np.asarray(study.plan.variants.example)[rows], feature]
    rest = np.sqrt((squares * outside).sum((1, 2)) / outside.sum((1, 2)))[(feature >= 0) & (feature < 2)]
    real = _by_classifier(score_images(study.scorers, study.examples.images))
    tables, truths = ({k: v[place][None] for k, v in table.items()} for table in (scores, exact))
    checks, importance = checks_and_importances(study, real, tables)
    _, oracle = checks_and_importances(study, real, truths)
    first = checks[CLASSIFIERS[0]]
    moved = first[(first.check == "independent permutation") & (first.role == "permuted")]
    follows = moved.groupby("permuted", sort=False).auroc_permuted_labels.min()
    logits = []
    for name in CLASSIFIERS:
        a, b = scores[name][~own, 0], exact[name][~own, 0]
        logits.append(f"{np.corrcoef(a, b)[0, 1]:.4f}, {np.abs(a - b).mean():.3f}")
    less = []
    for name in CLASSIFIERS:
        values = np.asarray(importance[name].value)[0] - np.asarray(oracle[name].value)[0]
        less.append(" ".join(f"{slot} {value:+.3f}" for slot, value in zip(SLOTS, values)))
    tint = float(np.asarray(importance[CLASSIFIERS[0]].error)[0][list(SLOTS).index("tint")])
    verdicts = pd.concat(checks.values()).verdict.value_counts()
    return [
        " ".join(f"{value:.3f}" for value in follows),
        f"{off[~own].mean():.1f}, {rest.mean():.1f}, {off[own].mean():.1f}",
        "; ".join(logits),
        f"{tint:.4f}",
        "; ".join(less),
        ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()),
    ]


if __name__ == "__main__":
    main()
