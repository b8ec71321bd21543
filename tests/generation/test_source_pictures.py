"""Studies whose images are edits of the examples' real pictures, with a painter that edits exactly."""

import dataclasses
from unittest import mock

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cpi_jax.analysis.complete import find_complete_part
from cpi_jax.analysis.samples import write_samples
from cpi_jax.data.images import ImageFiles
from cpi_jax.data.shapes import CONCEPTS
from cpi_jax.diffusion.generator import Generator
from cpi_jax.errors import InputError
from cpi_jax.generation.permuted_pixels import permuted_pixels
from cpi_jax.generation.source_pictures import SourcePictures
from cpi_jax.opening import open_study
from cpi_jax.report.checks_text import describe_minimality
from tests.painter import WEIGHTS, flat_settings, painter, photographs, reader, says, scenes

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


def opened(tokenizer, workdir, examples=EXAMPLES, generator=EDITOR, **settings):
    return open_study(
        examples,
        generator=generator,
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


patches = np.arange(6).reshape(2, 3).repeat(4, axis=0).repeat(4, axis=1)
MASKS = (patches == np.arange(6)[:, None, None]) & (EXAMPLES.concepts == 1)[:, :, None, None]
MASKED = dataclasses.replace(EXAMPLES, masks=MASKS)


def test_masks_are_those_of_what_is_permuted(tokenizer, tmp_path):
    """Everything of a baseline and of what has no mask yet, since it is to be added; else the object's surroundings."""
    study = opened(tokenizer, tmp_path, MASKED, within_masks=True, mask_dilation=1)
    images, _ = study.batch_scorer.render(np.arange(study.num_images))
    for image, i, f in zip(images, study.plan.variants.example, study.plan.variants.feature):
        expected = np.ones((8, 12), bool)
        if f >= 0 and EXAMPLES.concepts[i, f]:
            rows, columns = np.nonzero(patches == f)
            expected[:] = False
            expected[max(rows.min() - 1, 0) : rows.max() + 2, max(columns.min() - 1, 0) : columns.max() + 2] = True
        np.testing.assert_array_equal(image[..., 0] > 0, expected)


def test_a_phrase_that_no_mask_is_of_may_change_everything(tokenizer, tmp_path):
    settings = {"control": "red", "groups": (("red circle", "blue circle"),)}
    study = opened(tokenizer, tmp_path, MASKED, within_masks=True, mask_dilation=0, **settings)
    pixels, whole = permuted_pixels(study.plan, study.masks, np.arange(study.plan.num_variants))
    roles, both = [part.role for part in study.plan.features], [CONCEPTS.index(name) for name in settings["groups"][0]]
    chosen = study.plan.variants
    assert "group" in [roles[f] for f in chosen.feature if f >= 0]
    for i, f, d, part, known in zip(chosen.example, chosen.feature, chosen.donor, pixels, whole):
        if f < 0 or roles[f] == "control":
            assert not part.any() and not known
        elif roles[f] == "group":
            own, given = EXAMPLES.concepts[i, both], EXAMPLES.concepts[d, both]
            np.testing.assert_array_equal(part, MASKS[i, both][own > given].any(0))
            assert known == (own >= given).all()


def test_what_anchoring_cannot_use_is_refused_before_any_work(tokenizer, tmp_path):
    def refused(message, examples=MASKED, generator=EDITOR, **settings):
        with (
            mock.patch("cpi_jax.opening.make_plan", side_effect=AssertionError("planned")),
            mock.patch("cpi_jax.opening.hash_texts", side_effect=AssertionError("pictures were read")),
            pytest.raises(InputError, match=message),
        ):
            opened(tokenizer, tmp_path / "refused", examples, generator, **settings)
        assert not (tmp_path / "refused").exists()

    for wrong, message in (
        (None, "these examples have none: set data.masks"),
        (MASKS[..., 1:], r"must be bool \[30, 6, 8, 12\]"),
        (MASKS.astype(int), r"not int64"),
        (MASKS & (np.arange(6) != 2)[:, None, None], "no example has a mask of 'blue circle': leave within_masks out"),
    ):
        refused(message, dataclasses.replace(EXAMPLES, masks=wrong), within_masks=True)
    without = dataclasses.replace(EDITOR, within_masks=False)
    refused("within_masks is of sampler.anchor = 'edit_friendly'", generator=without, within_masks=True)
    refused("set sampler.anchor", generator=painter(), within_masks=True)
    pictures = ImageFiles(list(EXAMPLES.images))
    smaller = dataclasses.replace(EXAMPLES, images=pictures.with_size(8))
    refused("edits pictures of 12 x 8 pixels, and data.image_size is 8: leave it out", smaller)
    refused(r"example 0 has none: name the images", dataclasses.replace(EXAMPLES, images=None))


def test_kept_pictures_say_what_changed_beside_the_masks(tokenizer, tmp_path):
    """An exact editor changes the patch of what it is told; a mask that is too small shows what it cannot hold."""
    for name, masks in (("exact", MASKS), ("half", MASKS & (np.arange(12) % 4 < 2))):
        folder = tmp_path / name
        examples = dataclasses.replace(EXAMPLES, masks=masks)
        study = opened(tokenizer, folder, examples, mask_dilation=0, sampled_examples=4)
        study.generate()
        part, _ = find_complete_part(study, 1)
        write_samples(study, "target", part, None, folder)
        table = pd.read_csv(folder / "images" / "samples.csv").fillna({"feature": ""})
        assert table.example.nunique() == 4
        for row in table.itertuples():
            own = table[(table.example == row.example) & (table.feature == "")].row.iloc[0]
            concept = CONCEPTS.index(row.feature) if row.feature else -1
            if concept < 0 or not EXAMPLES.concepts[row.example, concept]:
                assert np.isnan(row.change_inside) and np.isnan(row.change_outside)
                continue
            images = [np.asarray(Image.open(folder / f"images/variant_{n}.png")).astype(float) for n in (row.row, own)]
            change = np.abs(images[0] - images[1])[patches == concept].mean()  # the same all over the patch
            area = masks[row.example, concept].sum()
            assert change > 100 and row.change_inside == pytest.approx(change, abs=1e-3)
            assert row.change_outside == pytest.approx(change * np.sqrt((16 - area) / (96 - area)), abs=1e-3)
        lines = " ".join(describe_minimality(folder))
        beside = table.change_outside.mean()
        assert (
            f"by {table.change_inside.mean():.1f} in the masks of what is permuted and by {beside:.1f} beside" in lines
        )
        assert (beside == 0) == (name == "exact")
