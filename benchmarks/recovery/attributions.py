"""Pixel-space explanations of many bottlenecks at once.

GradCAM's channel weights, LIME's coefficients, gradients and occlusion drops are linear in the score that is explained, and
a bottleneck's score is linear in the concept scores: each is computed once for the concept scores and read out for
every model. Only GradCAM's relu and the shares on the objects are of each model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from benchmarks.recovery.estimates import concept_scores
from cpi_jax.baselines.concepts import HOWS, concept_shares, mean_where_present
from cpi_jax.baselines.gradcam import Split, channel_weights, split_resnet, weighted_map
from cpi_jax.baselines.gradients import gradient, gradient_times_input
from cpi_jax.baselines.lime import BACKGROUNDS, lime, paint_segments, superpixels
from cpi_jax.baselines.occlusion import background_color, occlusion
from cpi_jax.baselines.table import batches
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.data.examples import Examples

EXPLAINED = ("outcome", "logits")  # what is explained: the outcome, or the same weights on the concepts' logits

SIZE_OF_SIGNED = "size of signed"


class LinearMaps(NamedTuple):
    """A heat map in two steps.

    Attributes:
      attribute: (keys, images) -> what is linear in the score, for every score: a pytree that the second step reads.
      read: (that, weights of the scores [C], image size) -> heat maps [B, H, W].
    """

    attribute: Callable[[jax.Array, jax.Array], Any]
    read: Callable[[Any, jax.Array, tuple[int, int]], jax.Array]


def scores_and_logits(trunk: Scorer) -> tuple[Scorer, Split]:
    """The trunk's concept scores and, after them, their logits: as a classifier, and where GradCAM cuts it."""
    split = split_resnet(trunk)

    def both(logits):
        return jnp.concatenate([concept_scores(logits), logits], axis=-1)

    whole = trunk.replace(apply=lambda params, x: both(trunk.apply(params, x)))
    return whole, split._replace(head=lambda params, x: both(split.head(params, x)))


def linear_maps(
    scorer: Scorer, split: Split, num_scores: int, num_segments: int, num_samples: int
) -> dict[str, LinearMaps]:
    """The methods of `heat_maps`, for every score."""

    def each_score(function):  # last axis: scores
        return jnp.stack([function(c) for c in range(num_scores)], axis=-1)

    def cam(keys, images):
        features, _ = channel_weights(split, scorer.params, images)
        return features, each_score(lambda c: channel_weights(split, scorer.params, images, c)[1])

    def lime_of(hide):
        def attribute(keys, images):
            segments = jnp.asarray(superpixels(np.asarray(images), num_segments))
            sizes = {"num_segments": num_segments, "num_samples": num_samples}
            return lime(keys, scorer, images, hide(images, segments, num_segments), segments, **sizes), segments

        return attribute

    def read_cam(rectify, found, readout, size):
        return weighted_map(found[0], found[1] @ readout, size, rectify=rectify)

    def read_lime(found, readout, size):
        return paint_segments(found[0] @ readout, found[1])

    def read_pixels(found, readout, size):
        return found @ readout

    return {
        "GradCAM": LinearMaps(cam, partial(read_cam, True)),
        "GradCAM (without relu)": LinearMaps(cam, partial(read_cam, False)),
        **{f"LIME ({name})": LinearMaps(lime_of(hide), read_lime) for name, hide in BACKGROUNDS.items()},
        "gradient": LinearMaps(lambda keys, x: each_score(lambda c: gradient(scorer, x, c)), read_pixels),
        "gradient x input": LinearMaps(
            lambda keys, x: each_score(lambda c: gradient_times_input(scorer, x, c)), read_pixels
        ),
    }


def bottleneck_attributions(
    key: jax.Array,
    trunk: Scorer,
    weights: Float[np.ndarray, "m k"],
    examples: Examples,
    *,
    num_segments: int,
    num_samples: int,
    batch_size: int = 50,
) -> tuple[dict[tuple[str, str, str], np.ndarray], dict[str, float]]:
    """Concept importances of every model by every pixel-space method.

    Returns:
      Importances [M, K] by (method, kind, how), and the seconds of every method.
    """
    scorer, split = scores_and_logits(trunk)
    silent = np.zeros_like(weights)
    readouts = {"outcome": np.concatenate([weights, silent], 1), "logits": np.concatenate([silent, weights], 1)}
    readouts = {kind: jnp.asarray(r, jnp.float32) for kind, r in readouts.items()}
    found: dict[tuple[str, str, str], list[Array]] = {}
    seconds: dict[str, float] = {}
    present = jnp.asarray(examples.concepts > 0)
    for name, maps in linear_maps(scorer, split, 2 * weights.shape[1], num_segments, num_samples).items():
        started = time.monotonic()
        read = _reader(maps, examples.images.shape[1:3])
        for start, images, masks in batches(examples, batch_size):
            keys = jax.vmap(jax.random.fold_in, (None, 0))(
                key, jnp.arange(start, start + len(images), dtype=jnp.uint32)
            )
            attributed = maps.attribute(keys, images)
            for kind, readout in readouts.items():
                for how, shares in read(attributed, readout, masks).items():
                    found.setdefault((name, kind, how), []).append(shares)
        seconds[name] = _finish(found, started)
    started = time.monotonic()
    for _, images, masks in batches(examples, batch_size):
        drop = occlusion(scorer, images, masks, background_color(images, masks))  # [B, K objects, 2K scores]
        for kind, readout in readouts.items():
            of_models = jnp.einsum("bkc,mc->mbk", drop, readout)
            found.setdefault(("occlusion", kind, "signed"), []).append(of_models)
            found.setdefault(("occlusion", kind, "absolute"), []).append(jnp.abs(of_models))
    seconds["occlusion"] = _finish(found, started)
    means = jax.vmap(mean_where_present, (0, None))
    out = {}
    for (name, kind, how), parts in found.items():
        value = np.asarray(means(jnp.concatenate(parts, axis=1)[:, : len(examples)], present))
        out[name, kind, how] = value
        if how == "signed":
            out[name, kind, SIZE_OF_SIGNED] = np.abs(value)
    return out, seconds


def _reader(maps: LinearMaps, size: tuple[int, int]) -> Callable:
    @jax.jit
    def read(attributed, readouts, masks):  # shares [M, B, K] by how
        def of_model(readout):
            heat = maps.read(attributed, readout, size)
            return {how: concept_shares(heat, masks, how=how) for how in HOWS}

        return jax.lax.map(of_model, readouts)

    return read


def _finish(found: Mapping, started: float) -> float:
    jax.block_until_ready(list(found.values()))
    return time.monotonic() - started
