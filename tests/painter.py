"""A generator that paints exactly what the caption says, and classifiers that read it: ground truth for whole studies.

Each of the six shapes has a 4x4 patch of an 8x12 image: bright where the caption names it, with noise from the key.
"""

import contextlib
import dataclasses
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.data.shapes import CONCEPTS, concept_slots
from cpi_jax.diffusion.generator import Generator
from cpi_jax.explain import explain
from cpi_jax.opening import open_study
from cpi_jax.settings import Checks, Compute, Output, Settings, Statistics

COLOURS, SHAPES = (1, 2, 3), (4, 5)  # ids of red, green, blue and circle, rectangle in tests.words.WORDS
NOISE = 0.01
WEIGHTS = np.array([[3.0, 0, -2, 0.5, 0, 0]]).T
FAST = {"num_bootstrap": 50, "unit_size": 32, "batch_size": 16, "metrics": ("auroc",), "sampled_examples": 1}

# The study that evaluates least, of `scenes(60)`: one shape for several files, whose programs one process compiles.
SMALL = {"draws": 1, "detector": False, "metrics": ("accuracy",), "num_bootstrap": 2}


def flat_settings(**fields):
    """`Settings` of fields and of fields of its parts, all side by side."""
    parts = {"statistics": Statistics, "checks": Checks, "compute": Compute, "output": Output}
    own = {name: {field.name for field in dataclasses.fields(kind)} & fields.keys() for name, kind in parts.items()}
    nested = {name: {field: fields.pop(field) for field in names} for name, names in own.items()}
    return Settings.from_dict(fields | nested)


def says(token_ids):
    """Presence of each concept in captions int32 [B, L], float [B, 6]."""
    pairs = [(c, s) for s in SHAPES for c in COLOURS]
    found = [((token_ids[:, :-1] == c) & (token_ids[:, 1:] == s)).any(1) for c, s in pairs]
    return jnp.stack(found, axis=1).astype(jnp.float32)


def paint(params, token_ids, keys):
    """`params` is a matrix: concept j is painted where any concept k with params[j, k] > 0 is said."""
    painted = (says(token_ids) @ params.T > 0).astype(jnp.float32)
    patches = 0.2 + 0.6 * painted + NOISE * jax.vmap(lambda k: jax.random.normal(k, (6,)))(keys)
    grid = patches.reshape(-1, 2, 3, 1)
    return jnp.clip(grid.repeat(4, axis=1).repeat(4, axis=2).repeat(3, axis=3), 0, 1)


def read_patches(params, images):
    """Scores: `params` [6, C] applied to the six patches' brightness."""
    patches = images.reshape(-1, 2, 4, 3, 4, 3).mean((2, 4, 5)).reshape(-1, 6)
    return (patches - 0.5) @ params


def painter(leak=None):
    """The exact generator; with leak (a, b), naming concept a also paints b."""
    matrix = np.eye(6, dtype=np.float32)
    if leak is not None:
        matrix[leak[1], leak[0]] = 1
    return Generator(jnp.asarray(matrix), paint)


def reader(weights):
    """A linear scorer of the patches; an identity matrix gives the concept detector."""
    return Scorer(jnp.asarray(weights, jnp.float32), read_patches)


def scenes(n, seed=0, weights=(4.0, 0.0, -2.0, 0.0, 0.0, 0.0), start=0):
    """Captions and planted labels without images."""
    rng = np.random.default_rng(seed)
    concepts = rng.integers(0, 2, (n, 6)).astype(np.int8)
    labels = (rng.random(n) < 1 / (1 + np.exp(1 - concepts @ np.array(weights)))).astype(np.int32)
    return Examples(np.arange(start, start + n), concept_slots(concepts), CONCEPTS, concepts, labels)


def photographs(examples, seed=0):
    """Examples with real images: what the captions say, as the painter paints it, with other noise."""
    noise = NOISE * np.random.default_rng(seed).normal(size=examples.concepts.shape)
    grid = (0.2 + 0.6 * examples.concepts + noise).reshape(-1, 2, 3, 1).clip(0, 1)
    pixels = np.round(255 * grid.repeat(4, axis=1).repeat(4, axis=2).repeat(3, axis=3)).astype(np.uint8)
    return dataclasses.replace(examples, images=pixels)


def study(tokenizer, workdir, *, detector=None, pictures=False, **given):
    """A whole study of the painter's images; `target` reads three patches unless another is given.

    With `pictures`, results are drawn, too, which takes longer than all the rest.
    """
    parts = _parts(**given)
    with contextlib.nullcontext() if pictures else without_pictures():
        return explain(tokenizer=tokenizer, detector=_detector(detector), workdir=workdir, **parts)


@contextlib.contextmanager
def without_pictures():
    """Results without figures and page, which take longer than all the rest."""
    drawn = ("report.plots.write_figures", "analysis.target_results.write_page", "analysis.target_results.write_shown")
    with contextlib.ExitStack() as drawing:
        for name in (*drawn, "analysis.results.write_page"):
            drawing.enter_context(mock.patch(f"cpi_jax.{name}"))
        yield


def generate(tokenizer, workdir, *, detector=None, **given):
    """As `study`, for what is looked at in scores and files: the images alone, and no statistics to compile."""
    parts = _parts(**given)
    scorers = {"target": parts.pop("target"), "detector": _detector(detector)}
    scorers = {name: scorer for name, scorer in scorers.items() if scorer is not None}
    opened = open_study(tokenizer=tokenizer, scorers=scorers, workdir=workdir, **parts)
    opened.generate()
    return opened


def _detector(detector):
    return reader(np.eye(6)) if detector is None else detector or None


def _parts(examples=None, target=None, leak=None, generator=None, **settings):
    return {
        "examples": scenes(200) if examples is None else examples,
        "generator": painter(leak) if generator is None else generator,
        "target": reader(WEIGHTS) if target is None else target,
        "settings": flat_settings(**(FAST | settings)),
    }
