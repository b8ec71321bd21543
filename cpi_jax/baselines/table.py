"""All baselines of one classifier on one data set with object masks, as a table to put beside a study's importances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.baselines.concepts import HOWS, concept_shares, mean_where_present
from cpi_jax.baselines.gradcam import Split, grad_cam, split_resnet
from cpi_jax.baselines.gradients import gradient, gradient_times_input
from cpi_jax.baselines.lime import BACKGROUNDS, Background, lime, paint_segments, superpixels
from cpi_jax.baselines.occlusion import background_color, occlusion
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import batches_of
from cpi_jax.data.outlines import Outlines
from cpi_jax.errors import InputError
from cpi_jax.generation.sharding import pad_rows

# (keys [B], images float32 [B, H, W, 3] in [0, 1]) -> heat maps [B, H, W]
HeatMaps = Callable[[jax.Array, jax.Array], jax.Array]


def heat_maps(
    scorer: Scorer | HostScorer,
    output: int = 0,
    *,
    split: Split | None = None,
    num_segments: int = 50,
    num_samples: int = 1000,
) -> dict[str, HeatMaps]:
    """GradCAM, LIME, the gradient and gradient x input of one score, behind one signature.

    GradCAM comes twice: as published, and without its relu, so that evidence against the score shows. LIME comes twice: a
    hidden superpixel is painted in its own mean colour, the default of its authors' `lime_image`, or in the median colour
    of the image. In its mean colour an object of one colour stays what it is.

    Args:
      scorer: the classifier, a `Scorer`.
      output: which score.
      split: where GradCAM cuts it; known for networks of `load_resnet`.
      num_segments: superpixels of an image, at most.
      num_samples: LIME's perturbations of an image; its cost is this many scores.

    Returns:
      Functions by name; nothing is computed before they are called, and those not wanted can be left out. Each takes keys
      [B] and images float32 [B, H, W, 3] in [0, 1] and returns heat maps [B, H, W].

    Raises:
      InputError: for a classifier outside JAX; where a function is called, for an output that the classifier does not have,
        and for GradCAM of a network that nobody has cut.

    Example:
      >>> import cpi_jax, jax, jax.numpy as jnp
      >>> scorer = cpi_jax.Scorer(None, lambda params, images: images[..., 0].sum((1, 2)))
      >>> gradient = cpi_jax.heat_maps(scorer)["gradient"]
      >>> gradient(jax.random.split(jax.random.key(0), 1), jnp.full((1, 2, 2, 3), 0.5)).tolist()
      [[[1.0, 1.0], [1.0, 1.0]]]
    """
    scorer = _validate_kind(scorer)

    def grad_cam_maps(rectify: bool, keys: jax.Array, images: jax.Array) -> jax.Array:
        return grad_cam(split or split_resnet(scorer), scorer.params, images, output, rectify=rectify)

    def lime_maps(hide: Background, keys: jax.Array, images: jax.Array) -> jax.Array:
        segments = jnp.asarray(superpixels(np.asarray(images), num_segments))
        sizes = {"num_segments": num_segments, "num_samples": num_samples}
        coefficients = lime(keys, scorer, images, hide(images, segments, num_segments), segments, **sizes)
        return paint_segments(coefficients[..., output], segments)

    def of_output(method: HeatMaps, keys: jax.Array, images: jax.Array) -> jax.Array:
        validate_output(scorer, images, output)
        return method(keys, images)

    methods = {
        "GradCAM": partial(grad_cam_maps, True),
        "GradCAM (without relu)": partial(grad_cam_maps, False),
        **{f"LIME ({name})": partial(lime_maps, hide) for name, hide in BACKGROUNDS.items()},
        "gradient": lambda keys, images: gradient(scorer, images, output),
        "gradient x input": lambda keys, images: gradient_times_input(scorer, images, output),
    }
    return {name: partial(of_output, method) for name, method in methods.items()}


def baseline_table(
    key: jax.Array,
    scorer: Scorer | HostScorer,
    examples: Examples,
    methods: Mapping[str, HeatMaps],
    output: int = 0,
    *,
    batch_size: int = 50,
) -> pd.DataFrame:
    """Concept importances by every heat map, and by occlusion of the objects.

    Args:
      key: of the perturbations; an image's draw depends on its place among the examples, not on the batch.
      scorer: the classifier, for the occlusion.
      examples: real images with masks.
      methods: by name: `heat_maps(scorer)`, or some of them, or one's own.
      output: which score, for the occlusion.
      batch_size: images at once.

    Returns:
      One row per (method, how, concept): the importance, and its rank by absolute value, 1 being the largest. Signed
      importances say whether the object raises or lowers the score; occlusion is in units of the score.

    Raises:
      InputError: where images or masks are missing, masks cover an image, so that it has no background, or there is no such
        output.

    Example:
      >>> import cpi_jax, jax
      >>> redness = cpi_jax.Scorer(None, lambda params, images: (images[..., 0] - images[..., 1]).mean((1, 2)))
      >>> examples = cpi_jax.make_shapes(20, masks=True)
      >>> table = cpi_jax.baseline_table(jax.random.key(0), redness, examples, {})  # no heat maps: occlusion alone
      >>> table[table["how"] == "signed"].nlargest(2, "importance").concept.tolist()
      ['red rectangle', 'red circle']
    """
    scorer = _validate_kind(scorer)
    values: dict[tuple[str, str], list[jax.Array]] = {}
    for start, images, masks in batches(examples, batch_size):
        validate_output(scorer, images, output)
        places = jnp.arange(start, start + len(images), dtype=jnp.uint32)
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places)
        for name, method in methods.items():
            heat = method(keys, images)
            for how in HOWS:
                values.setdefault((name, how), []).append(concept_shares(heat, masks, how=how))
        drop = occlusion(scorer, images, masks, background_color(images, masks))[..., output]
        values.setdefault(("occlusion", "signed"), []).append(drop)
        values.setdefault(("occlusion", "absolute"), []).append(jnp.abs(drop))
    present = jnp.asarray(examples.present)
    frames = []
    for (name, how), parts in values.items():
        importance = np.asarray(mean_where_present(jnp.concatenate(parts)[: len(examples)], present))
        frame = pd.DataFrame({"method": name, "how": how, "concept": examples.permutable, "importance": importance})
        rank = pd.Series(-np.abs(importance)).rank(method="min").astype("Int64")
        frames.append(frame.assign(rank=rank))
    return pd.concat(frames, ignore_index=True)


def _validate_kind(scorer: Scorer | HostScorer) -> Scorer:
    if not isinstance(scorer, Scorer):
        raise InputError(
            f"pixel-space baselines are computed within JAX, and a {type(scorer).__name__} runs outside it: give a Scorer"
        )
    return scorer


def validate_output(scorer: Scorer, images: jax.Array, output: int) -> None:
    """Refuses an output that a classifier does not have, in whose place JAX would take the last one.

    Raises:
      InputError: names the output, and how many there are.
    """
    count = jax.eval_shape(_scores, scorer, images).shape[1]
    if not 0 <= output < count:
        raise InputError(
            f"the classifier gives {count} scores an image, 0 to {count - 1}, so there is no output {output}"
        )


@jax.jit
def _scores(scorer: Scorer, images: jax.Array) -> jax.Array:
    return scorer(images)


def batches(examples: Examples, size: int) -> Iterator[tuple[int, jax.Array, jax.Array]]:
    """(first row, images, masks) of equal size, at most `size`; the last ones repeat the last example.

    Raises:
      InputError: where images or masks are missing, or masks cover an image, so that it has no background.
    """
    if examples.images is None or examples.masks is None:
        missing = "images" if examples.images is None else "masks"
        raise InputError(f"the examples have no {missing}: pixel-space baselines need every image and its object masks")
    masks = examples.masks
    if isinstance(masks, Outlines):
        drawn = masks.with_size(next(iter(batches_of(examples.images[:1], 1))).shape[1:3])
        masks = np.stack([drawn[n] for n in range(len(drawn))])
    covered = np.all(masks.any(1), axis=(1, 2))
    if covered.any():
        raise InputError(
            f"the masks of example {examples.ids[np.argmax(covered)]} cover the whole image, so that no background is "
            f"left to paint objects over with: leave the example out"
        )
    size = min(size, len(examples))
    for start, images in zip(range(0, len(examples), size), batches_of(examples.images, size)):
        images, some = (pad_rows(x, size) for x in (images, masks[start : start + size]))
        yield start, jnp.asarray(images, jnp.float32) / 255, jnp.asarray(some)
