"""Studies whose images are edits of the examples' real pictures, with a painter that edits exactly."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.diffusion.generator import Generator
from cpi_jax.errors import InputError
from cpi_jax.generation.source_pictures import SourcePictures
from cpi_jax.opening import open_study
from tests.painter import WEIGHTS, flat_settings, photographs, reader, says, scenes

EXAMPLES = photographs(scenes(30))


def paint_over(params, token_ids, keys, sources):
    """The picture, but for the patches of which the caption says something else than the picture's own.

    Where it may not be edited it is black, so that a mask can be read.
    """
    wanted, own = says(token_ids), says(sources.token_ids)[sources.of_row]
    pixels = (jnp.asarray(sources.pictures).astype(jnp.float32) / 255)[sources.of_row]
    changed, painted = (
        x.reshape(-1, 2, 3, 1).repeat(4, axis=1).repeat(4, axis=2) for x in (wanted != own, 0.2 + 0.6 * wanted)
    )
    edited = jnp.where(changed, painted * params, pixels)
    return edited if sources.editable is None else edited * sources.editable[..., None]


EDITOR = Generator(jnp.float32(1.0), paint_over, source_size=(8, 12), within_masks=True)


def opened(tokenizer, workdir, examples=EXAMPLES, **settings):
    return open_study(
        examples,
        generator=EDITOR,
        tokenizer=tokenizer,
        scorers={"target": reader(WEIGHTS)},
        settings=flat_settings(**({"unit_size": 32, "draws": 1, "metrics": ("auroc",)} | settings)),
        workdir=workdir,
    )


def expected_scores(study):
    """Of the pictures with their patches painted over, one variant after the other."""
    out = []
    for v in range(study.plan.num_variants):
        i = int(study.plan.variants.example[v])
        wanted = np.asarray(says(study.plan.captions(np.array([v]))))[0]
        own = np.asarray(says(study.plan.captions(np.asarray(study.plan.baseline)[[i]])))[0]
        patches = study.examples.images[i, ::4, ::4, 0].reshape(6) / 255
        patches = np.where(wanted != own, 0.2 + 0.6 * wanted, patches)
        out.append((patches - 0.5) @ WEIGHTS)
    return np.array(out)


def test_scores_are_of_each_examples_own_picture(tokenizer, tmp_path):
    """Whatever the batch: examples lie in one, in two, or several in one."""
    for batch_size in (16, 5):
        study = opened(tokenizer, tmp_path / str(batch_size), batch_size=batch_size)
        study.generate()
        scores = study.scores.read(1)["target"][0]
        np.testing.assert_allclose(scores, expected_scores(study), atol=1e-5)


def test_an_extension_is_of_the_same_pictures(tokenizer, tmp_path):
    opened(tokenizer, tmp_path, EXAMPLES.take(np.arange(10))).generate()
    study = opened(tokenizer, tmp_path)
    assert study.scores.missing(0).sum() == study.num_images - 70
    study.generate()
    np.testing.assert_allclose(study.scores.read(1)["target"][0], expected_scores(study), atol=1e-5)


def test_a_devices_sources_are_those_of_its_rows(tokenizer, tmp_path):
    study = opened(tokenizer, tmp_path)
    rows = study.scores.in_order()[5:37]
    sources = SourcePictures(study.plan, EXAMPLES.images, 4).of(rows)
    examples = np.asarray(study.plan.variants.example)[rows]
    own = sources.of_row + np.arange(4).repeat(8) * (len(sources.pictures) // 4)
    np.testing.assert_array_equal(sources.pictures[own], EXAMPLES.images[examples])
    np.testing.assert_array_equal(
        sources.token_ids[own], study.plan.captions(np.asarray(study.plan.baseline)[examples])
    )
    assert len(sources.pictures) == 4 * 2  # of 7 images each, of which 8 rows are of 2 at most


def test_pictures_are_part_of_the_study(tokenizer, tmp_path):
    opened(tokenizer, tmp_path).generate()
    exchanged = EXAMPLES.images.copy()
    exchanged[4, 0, 0] += 1
    with pytest.raises(InputError, match=r"the picture of example 4 that its images are edits of was exchanged"):
        opened(tokenizer, tmp_path, dataclasses.replace(EXAMPLES, images=exchanged))
    with pytest.raises(InputError, match=r"example 0 has none: name the images \(data.image\)"):
        opened(tokenizer, tmp_path / "none", dataclasses.replace(EXAMPLES, images=None))


def test_masks_are_those_of_what_is_permuted(tokenizer, tmp_path):
    """Everything of a baseline and of what has no mask yet, since it is to be added; else the object's surroundings."""
    patch = np.arange(6).reshape(2, 3).repeat(4, axis=0).repeat(4, axis=1)
    masks = (patch == np.arange(6)[:, None, None]) & (EXAMPLES.concepts == 1)[:, :, None, None]
    study = opened(tokenizer, tmp_path, dataclasses.replace(EXAMPLES, masks=masks), within_masks=True, mask_dilation=1)
    images, _ = study.batch_scorer.render(np.arange(study.num_images))
    for image, i, f in zip(images, study.plan.variants.example, study.plan.variants.feature):
        expected = np.ones((8, 12), bool)
        if f >= 0 and EXAMPLES.concepts[i, f]:
            rows, columns = np.nonzero(patch == f)
            expected[:] = False
            expected[max(rows.min() - 1, 0) : rows.max() + 2, max(columns.min() - 1, 0) : columns.max() + 2] = True
        np.testing.assert_array_equal(image[..., 0] > 0, expected)
    for wrong, message in (
        (None, "have none"),
        (masks[..., 1:], r"must be bool \[30, 6, 8, 12\]"),
        (masks & False, "leave"),
    ):
        with pytest.raises(InputError, match=message):
            opened(tokenizer, tmp_path, dataclasses.replace(EXAMPLES, masks=wrong), within_masks=True)
