"""Sheets of pictures: examples before and after each permutation, as generated and as they should be."""

from __future__ import annotations

import numpy as np
from ml_collections import ConfigDict

from benchmarks.shortcut.counterfactuals import render_variants, variant_contents
from benchmarks.shortcut.photographs import SLOTS
from benchmarks.shortcut.record import CLASSIFIERS, Sheet
from cpi_jax.cli.from_config import generator_from_config
from cpi_jax.generation.batches import BatchScorer
from cpi_jax.generation.score_images import score_images
from cpi_jax.plan.describe import describe_variants
from cpi_jax.study import Study


def make_sheets(study: Study, config: ConfigDict) -> list[Sheet]:
    """Random examples and those whose images the detector finds least like their captions, with their worst variants."""
    detector = study.scores.read(study.settings.draws)["detector"]
    said = variant_contents(study)
    of_slot = [np.flatnonzero(np.array(study.examples.concept_slots) == k) for k in range(len(SLOTS))]
    rows = np.arange(len(said))
    margin = np.min([detector[0, rows, of_slot[k][said[:, k]]] for k in range(len(SLOTS))], axis=0)
    example, feature = (np.asarray(x) for x in (study.plan.variants.example, study.plan.variants.feature))
    worst_of = np.full(len(study.examples), np.inf)
    np.minimum.at(worst_of, example, margin)
    rng = np.random.default_rng(config.seed)
    count = config.sheet_examples
    chosen = {
        "random": (rng.permutation(len(study.examples))[:count], rng.random(len(said))),
        "worst": (np.argsort(worst_of)[:count], margin),
    }
    edited = _anchored(study, config)
    sheets = []
    for title, (which, order) in chosen.items():
        shown = []
        for i in which:
            of_feature = [rows[(example == i) & (feature == f)] for f in range(len(study.plan.features))]
            shown.append([int(study.plan.baseline[i]), *(int(r[np.argmin(order[r])]) for r in of_feature)])
        sheets.append(_sheet(title, np.array(shown), study, edited, config))
    return sheets


def _anchored(study: Study, config: ConfigDict) -> BatchScorer:
    """Makes the study's images as edits of its real pictures."""
    anchored = ConfigDict(config.to_dict())
    anchored.sampler.anchor = "edit_friendly"
    generator, _ = generator_from_config(anchored)
    settings = study.settings
    return BatchScorer(
        study.plan,
        study.examples.ids,
        generator,
        study.scorers,
        seed=settings.seed,
        batch_size=settings.compute.batch_size,
        pictures=study.examples.images,
    )


def _sheet(title: str, rows: np.ndarray, study: Study, edited: BatchScorer, config: ConfigDict) -> Sheet:
    flat = rows.reshape(-1)
    images = {"true": render_variants(study, config.data, flat)}
    true = score_images({name: study.scorers[name] for name in CLASSIFIERS}, images["true"])
    scores = {(name, "true"): true[name] for name in CLASSIFIERS}
    for kind, scorer in (("generated", study.batch_scorer), ("edited", edited)):
        images[kind], found = scorer.render(flat)
        scores |= {(name, kind): found[name] for name in CLASSIFIERS}
    captions = describe_variants(study.plan, study.examples, study.settings, flat)["caption"].to_numpy(
        zero_copy_only=False
    )
    return Sheet(
        title=title,
        said=captions.reshape(rows.shape).tolist(),
        images={kind: pixels.reshape(*rows.shape, *pixels.shape[1:]) for kind, pixels in images.items()},
        scores={key: value[:, 0].reshape(rows.shape) for key, value in scores.items()},
    )
