"""Synthetic scenes of six concepts with planted labels, after DEPICT's first experiment (arXiv 2407.14509, section 4).

Each 64x64 scene lies on a 4x4 grid of cells. A present concept takes a cell of its own and a random place, size and
aspect within it, so objects never overlap. Example i of a seed is a function of (seed, i) alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError
from cpi_jax.validation.ranges import RANGES, validate_numbers, whole

CONCEPTS = ("red circle", "green circle", "blue circle", "red rectangle", "green rectangle", "blue rectangle")
EMPTY = "an empty scene"
SIZE = 64
MOST = 1_000_000  # scenes: all images are in memory
# The logistic model that makes the labels of the embedded target's task, in the order of `CONCEPTS`.
PLANTED_WEIGHTS, PLANTED_BIAS = (3.0, 0.0, -1.8, 2.4, 0.0, 1.2), -2.4
_GRID = 4
_CELL = SIZE // _GRID
_COLORS = np.array([[0.86, 0.16, 0.16], [0.13, 0.66, 0.24], [0.16, 0.30, 0.88]])
_NUM_CONCEPTS = len(CONCEPTS)


def concept_slots(concepts: np.ndarray) -> list[tuple[str, ...]]:
    """Caption slots in DEPICT's form: "1 red circle" where the concept is present, "" where it is not."""
    phrases = tuple(f"1 {name}" for name in CONCEPTS)
    return [tuple(p if c else "" for p, c in zip(phrases, row)) for row in np.asarray(concepts)]


def make_shapes(
    num_examples: int = 200,
    seed: int = 0,
    *,
    start: int = 0,
    prevalence: float = 0.5,
    correlation: float = 0.0,
    weights: Sequence[float] = (0.0,) * _NUM_CONCEPTS,
    bias: float = 0.0,
    masks: bool = False,
) -> Examples:
    """Draws the scenes with ids start ... start + num_examples - 1.

    Labels are planted: y ~ Bernoulli(sigmoid(weights . concepts + bias)). With `correlation` rho, every pair of
    concepts has correlation exactly rho (each copies one shared coin with probability sqrt(rho)).

    Args:
      num_examples: N > 0; the first 64 of 200 are the 64 of 64.
      seed: chooses the data set.
      start: id of the first scene; disjoint ranges are disjoint data.
      prevalence: probability of each concept.
      correlation: pairwise correlation of the concepts, in [0, 1].
      weights: the six planted weights, in the order of `CONCEPTS`.
      bias: the planted intercept.
      masks: also returns each object's pixels.

    Raises:
      InputError: for an empty data set, or numbers out of range.

    Example:
      >>> import cpi_jax
      >>> examples = cpi_jax.make_shapes(3, weights=(3, 0, 0, 0, 0, 0), bias=-1.5)
      >>> examples.slots[0]
      ('', '', '', '', '1 green rectangle', '')
      >>> examples.images.shape, examples.labels.shape
      ((3, 64, 64, 3), (3,))
    """
    whole(1, MOST).validate("num_examples", num_examples)
    validate_numbers(seed=seed, start=start, correlation=correlation, prevalence=prevalence, bias=bias)
    if not isinstance(weights, (Sequence, np.ndarray)) or isinstance(weights, str) or len(weights) != _NUM_CONCEPTS:
        raise InputError(f"weights needs {_NUM_CONCEPTS} numbers, one for each of {', '.join(CONCEPTS)}")
    for weight in weights:
        RANGES["data.weights"].validate("each of weights", weight)
    ids = np.arange(start, start + num_examples, dtype=np.int64)
    images = np.empty((num_examples, SIZE, SIZE, 3), np.uint8)
    concepts = np.empty((num_examples, _NUM_CONCEPTS), np.int8)
    object_masks = np.empty((num_examples, _NUM_CONCEPTS, SIZE, SIZE), bool) if masks else None
    label_draw = np.empty(num_examples)
    for n, i in enumerate(ids):
        rng = np.random.default_rng([seed, int(i)])
        concepts[n] = _draw_concepts(rng, prevalence, correlation)
        label_draw[n] = rng.random()
        images[n], objects = _draw_scene(rng, concepts[n])
        if object_masks is not None:
            object_masks[n] = objects > 0.5
    logits = concepts @ np.asarray(weights, float) + bias
    labels = (label_draw < 1 / (1 + np.exp(-logits))).astype(np.int32)
    return Examples(ids, concept_slots(concepts), CONCEPTS, concepts, labels, images, object_masks)


def render_shapes(ids: Int[np.ndarray, " n"], concepts: Int[np.ndarray, "n 6"], *, seed: int = 0) -> np.ndarray:
    """Scenes of `make_shapes` with objects of anybody's choice, uint8 [N, 64, 64, 3].

    Place, size and shade of each object and the background follow from (seed, id) alone, so that scenes of one id differ
    in the objects that `concepts` differ in: exact counterfactuals.

    Args:
      ids: of the scenes.
      concepts: which objects each shows, {0, 1}.
      seed: of the data set.
    """
    images = np.empty((len(ids), SIZE, SIZE, 3), np.uint8)
    for n, (i, present) in enumerate(zip(np.asarray(ids).tolist(), np.asarray(concepts))):
        rng = np.random.default_rng([seed, i])
        _draw_concepts(rng, 0.0, 0.0)  # what `make_shapes` draws before the scene
        rng.random()
        images[n], _ = _draw_scene(rng, present)
    return images


def _draw_concepts(rng: np.random.Generator, prevalence: float, correlation: float) -> np.ndarray:
    shared, copies, own = rng.random(), rng.random(_NUM_CONCEPTS), rng.random(_NUM_CONCEPTS)
    return np.where(copies < np.sqrt(correlation), shared, own) < prevalence


def _draw_scene(rng: np.random.Generator, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One image, uint8 [64, 64, 3], and the coverage of every concept's object in it, float [6, 64, 64]."""
    cells = np.argsort(rng.random(_GRID * _GRID))[:_NUM_CONCEPTS]
    u = rng.random((_NUM_CONCEPTS, 5))
    background, noise = rng.random(), rng.random((SIZE, SIZE, 3), dtype=np.float32)
    image = np.full((SIZE, SIZE, 3), 0.88 + 0.08 * background)
    coverage = np.zeros((_NUM_CONCEPTS, SIZE, SIZE))
    for j in np.flatnonzero(present):
        is_circle = j < 3
        size = 5.0 + 2.0 * u[j, 0]
        stretch = 1.0 if is_circle else np.exp((u[j, 1] - 0.5) * 0.7)
        half = np.minimum(np.array([size * stretch**0.5, size / stretch**0.5]), 7.25)
        corner = np.array(divmod(cells[j], _GRID)) * _CELL
        center = corner + _CELL / 2 + (2 * u[j, 2:4] - 1) * (_CELL / 2 - 0.5 - half)
        # Antialiased edges: coverage falls from 1 to 0 over the pixel that the outline crosses.
        offset = np.abs(np.arange(_CELL) + 0.5 + corner[:, None] - center[:, None])
        if is_circle:
            cover = np.clip(half[0] - np.hypot(offset[0][:, None], offset[1][None, :]) + 0.5, 0, 1)
        else:
            inside = np.clip(half[:, None] - offset + 0.5, 0, 1)
            cover = inside[0][:, None] * inside[1][None, :]
        rows, cols = (slice(c, c + _CELL) for c in corner)
        coverage[j, rows, cols] = cover
        color = _COLORS[j % 3] * (0.9 + 0.2 * u[j, 4])
        image[rows, cols] += cover[..., None] * (color - image[rows, cols])
    image += 0.06 * (noise - 0.5)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), coverage
