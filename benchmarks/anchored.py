"""What anchoring in real pictures keeps and what it gives: plain and anchored samplers beside true counterfactuals.

    python benchmarks/anchored.py --examples=700
    python benchmarks/anchored.py --world=shapes --examples=200

Garments on photographs (benchmarks/shortcut), whose every counterfactual can be made, or scenes of shapes with one object
added or removed. All samplers make the images of the same examples, one draw. Prints Markdown; distances are root mean
squares of pixels, 0 to 255. "Still" are the pixels that the true counterfactual leaves as they are, of what has a mask
of less than half the picture, outside that mask; "change" is to the example's own image. "Null" is the mean standard
error of importances whose oracle is below .005. "True" are the true pictures, and "autoencoder" those pictures encoded
and decoded: what no sampler of this checkpoint can be closer than.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

import cpi_jax
from benchmarks.shortcut.counterfactuals import render_variants
from benchmarks.shortcut.photographs import ASSETS, make_fashion
from benchmarks.shortcut.record import CLASSIFIERS
from cpi_jax.analysis.importances import infer_study, summarize_study
from cpi_jax.analysis.validity import check_detector, check_target, concepts_of_rows
from cpi_jax.cache import keep_compiled
from cpi_jax.cli.cpu_devices import use_cores
from cpi_jax.data.masks import fit_masks
from cpi_jax.data.shapes import EMPTY, PLANTED_BIAS, PLANTED_WEIGHTS, render_shapes
from cpi_jax.generation.permuted_pixels import permuted_pixels, pixel_changes
from cpi_jax.generation.score_images import score_images
from cpi_jax.opening import open_study
from cpi_jax.study import Study

PICTURES = ("true", "autoencoder")
SAMPLERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "edit-friendly": {"anchor": "edit_friendly", "solver": "ddim"},
    "edit-friendly, second order": {"anchor": "edit_friendly"},
    "edit-friendly, skip 2": {"anchor": "edit_friendly", "solver": "ddim", "skip": 2},
    "edit-friendly, both guided": {"anchor": "edit_friendly", "solver": "ddim", "source_guidance": 3.0},
    "masks": {"anchor": "edit_friendly", "solver": "ddim"},
    "masks, both guided": {"anchor": "edit_friendly", "solver": "ddim", "source_guidance": 3.0},
    "SDEdit .75": {"anchor": "sdedit", "strength": 0.75},
    "SDEdit .5": {"anchor": "sdedit", "strength": 0.5},
}
COLUMNS = (
    "sampler", "follows, worst", "distance of permuted; where still; of own", "change, outside and inside masks",
    "logits: correlation, mean difference",
    "error: null", "largest importance less oracle", "checks", "seconds",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class World:
    """What is studied.

    Attributes:
      examples: with masks.
      checkpoint: of the generator.
      targets: classifiers by name.
      detector: of the concepts.
      settings: of the study.
      render: the exact pictures of some variants of a study.
    """

    examples: cpi_jax.Examples
    checkpoint: str
    targets: Mapping[str, cpi_jax.Scorer]
    detector: cpi_jax.Scorer
    settings: cpi_jax.Settings
    render: Callable[[Study, np.ndarray], np.ndarray]


def photographs(num_examples: int, start: int) -> World:
    """The photographs' study, with both of its classifiers."""
    source = {"split": "study", "path": "/usr/share/datasets/fashion-mnist", "seed": 0}
    return World(
        make_fashion(num_examples=num_examples, start=start, correlation=0.9, masks=True, **source),
        str(ASSETS / "generator"),
        {name: cpi_jax.load_resnet(ASSETS / name) for name in CLASSIFIERS},
        cpi_jax.load_resnet(ASSETS / "detector"),
        _settings(separator=" ", empty="a photo"),
        lambda study, rows: render_variants(study, source, rows),
    )


def shapes(num_examples: int, start: int) -> World:
    """The demo's study; the scene's own objects, with one added or removed."""

    def render(study: Study, rows: np.ndarray) -> np.ndarray:
        concepts = np.asarray(concepts_of_rows(study.plan, study.examples)[0])[rows]
        ids = np.asarray(study.examples.ids)[np.asarray(study.plan.variants.example)[rows]]
        return render_shapes(ids, concepts)

    return World(
        cpi_jax.make_shapes(num_examples, start=start, weights=PLANTED_WEIGHTS, bias=PLANTED_BIAS, masks=True),
        str(cpi_jax.SHAPES_GENERATOR),
        {"target": cpi_jax.load_resnet(cpi_jax.SHAPES_TARGET)},
        cpi_jax.load_resnet(cpi_jax.SHAPES_DETECTOR),
        _settings(empty=EMPTY),
        render,
    )


WORLDS = {"photographs": photographs, "shapes": shapes}


def _settings(**fields: Any) -> cpi_jax.Settings:
    return cpi_jax.Settings(
        draws=1,
        statistics=cpi_jax.Statistics(metrics=("auroc",), num_bootstrap=1),
        output=cpi_jax.Output(sampled_examples=0),
        **fields,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="photographs", choices=WORLDS)
    parser.add_argument("--examples", type=int, default=700)
    parser.add_argument("--start", type=int, default=0, help="id of the first example")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--samplers", nargs="*", default=[*PICTURES, *SAMPLERS], choices=[*PICTURES, *SAMPLERS])
    options = parser.parse_args()
    keep_compiled()
    use_cores()
    world = WORLDS[options.world](options.examples, options.start)
    print(f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}; {options.examples} examples, one draw\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    truth = None
    for name in options.samplers:
        sampler = {} if name in PICTURES else SAMPLERS[name]
        generator, tokenizer = cpi_jax.load_generator(
            world.checkpoint, **{"steps": options.steps, "guidance_scale": 3.0} | sampler
        )
        with tempfile.TemporaryDirectory() as folder:
            study = open_study(
                world.examples, generator=generator, tokenizer=tokenizer,
                scorers={**world.targets, "detector": world.detector},
                settings=dataclasses.replace(world.settings, within_masks="masks" in name), workdir=folder,
            )  # fmt: skip
            if truth is None:
                pictures = world.render(study, np.arange(study.num_images))
                truth = pictures, score_images(study.scorers, pictures)
            images, scores, seconds = make_images(study, name, truth)
        print(f"| {' | '.join([name, *judge(study, world, images, scores, *truth), seconds])} |", flush=True)


def make_images(study: Study, name: str, truth: tuple) -> tuple[np.ndarray, dict[str, np.ndarray], str]:
    """Images of all variants, their scores, and the seconds that a sampler took for them."""
    if name == "true":
        return *truth, "-"
    if name == "autoencoder":
        images = round_trip(study.generator, truth[0])
        return images, score_images(study.scorers, images), "-"
    rows = np.arange(study.num_images)
    study.batch_scorer.render(rows[: study.batch_scorer.batch_size])  # compiled
    started = time.monotonic()
    images, scores = study.batch_scorer.render(rows)
    return images, scores, f"{time.monotonic() - started:.1f}"


def round_trip(generator: cpi_jax.Generator, pictures: np.ndarray) -> np.ndarray:
    """Pictures encoded and decoded, uint8."""

    @jax.jit
    def both(weights, pixels):
        nets = generator.apply.networks
        images = nets.decode_latents(weights, nets.encode_image(weights, pixels / 255.0)[0])
        return jax.numpy.round(jax.numpy.clip(images, 0, 1) * 255).astype("uint8")

    weights = generator.params.networks["vae"]
    parts = np.array_split(pictures, -(-len(pictures) // 256))
    return np.concatenate([np.asarray(both(weights, part)) for part in parts])


def judge(study: Study, world: World, images, scores, pictures, exact) -> list[str]:
    """What a sampler's images are like: the middle columns."""
    feature, baseline = (np.asarray(x) for x in (study.plan.variants.feature, study.plan.baseline))
    own = baseline[np.asarray(study.plan.variants.example)]
    off = np.sqrt(((images.astype(np.float32) - pictures) ** 2).mean((1, 2, 3)))
    masks, whole = permuted_pixels(study.plan, fit_masks(study.examples, 4, images.shape[1:3]), np.arange(len(images)))
    local = np.flatnonzero(whole & (masks.mean((1, 2)) < 0.5))  # what is permuted is a small part
    still = ~masks[local] & (pictures[local] == pictures[own[local]]).all(-1)
    rest, _ = pixel_changes(images[local], pictures[local], still)
    change, beside = pixel_changes(images[local], images[own[local]], masks[local])
    real = score_images(study.scorers, study.examples.images)
    logits, nulls, less = [], [], []
    detector = check_detector(study.plan, study.examples, real["detector"], scores["detector"][None], study.settings)
    moved = detector.independence
    assert detector.generation is not None and moved is not None
    verdicts = [detector.generation, moved]
    for name in world.targets:
        a, b = scores[name][feature >= 0, 0], exact[name][feature >= 0, 0]
        logits.append(f"{np.corrcoef(a, b)[0, 1]:.4f}, {np.abs(a - b).mean():.3f}")
        found, oracle = (_importance(study, table[name][None]) for table in (scores, exact))
        value, true = np.asarray(found.value)[0], np.asarray(oracle.value)[0]
        worst = int(np.abs(value - true).argmax())
        less.append(f"{value[worst] - true[worst]:+.3f} ({found.names[worst]})")
        none = np.abs(true) < 0.005
        nulls.append(f"{np.asarray(found.error)[0][none].mean():.4f}" if none.any() else "-")
        checks, _ = check_target(study.plan, study.examples, real[name], scores[name][None], study.settings)
        verdicts.append(checks)
    follows = moved[moved.role == "permuted"].auroc_permuted_labels.min()
    counts = pd.concat(verdicts).verdict.value_counts()
    return [
        f"{follows:.3f}",
        f"{off[feature >= 0].mean():.1f}; {rest.mean():.1f}; {off[feature < 0].mean():.1f}",
        f"{beside.mean():.1f}; {change.mean():.1f}",
        "; ".join(logits),
        "; ".join(nulls),
        "; ".join(less),
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items()),
    ]


def _importance(study: Study, table: np.ndarray) -> cpi_jax.Importance:
    inferred = infer_study(study.plan, study.examples, table, study.settings)
    return summarize_study(study.plan, study.examples, inferred, study.settings)


if __name__ == "__main__":
    main()
