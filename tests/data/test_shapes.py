import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from cpi_jax.data.shapes import CONCEPTS, make_shapes, render_shapes


def test_a_smaller_data_set_is_the_beginning_of_a_larger_one():
    few, many = make_shapes(8, seed=3, masks=True), make_shapes(20, seed=3, masks=True)
    for name in ("ids", "concepts", "labels", "images", "masks"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:8])
    assert few.slots == many.slots[:8]
    tail = make_shapes(12, seed=3, start=8)
    np.testing.assert_array_equal(tail.images, many.images[8:])
    assert (make_shapes(8, seed=4).images != few.images).any()


def test_masks_show_each_present_object_in_its_colour_and_never_overlap():
    data = make_shapes(50, masks=True)
    np.testing.assert_array_equal(data.masks.any((2, 3)), data.concepts.astype(bool))
    assert data.masks.sum(1).max() == 1
    for j, name in enumerate(CONCEPTS):
        pixels = np.concatenate([data.images[i][data.masks[i, j]] for i in range(50)])
        channel = ("red", "green", "blue").index(name.split()[0])
        assert (pixels.argmax(1) == channel).mean() > 0.99
    areas, boxes = [], []
    for i, j in zip(*np.nonzero(data.concepts)):
        rows, cols = np.nonzero(data.masks[i, j])
        areas.append(len(rows) / (np.ptp(rows) + 1) / (np.ptp(cols) + 1))
        boxes.append(j)
    fill = np.array(areas)
    assert fill[np.array(boxes) < 3].max() < 0.9 < 0.95 < fill[np.array(boxes) >= 3].min()  # pi / 4 against 1


def test_concepts_have_the_asked_prevalence_and_correlation():
    data = make_shapes(4000, prevalence=0.3, correlation=0.6)
    assert np.abs(data.concepts.mean(0) - 0.3).max() < 0.03
    correlation = np.corrcoef(data.concepts.T)[np.triu_indices(6, 1)]
    assert np.abs(correlation - 0.6).max() < 0.05


def test_labels_follow_the_planted_logistic_model():
    weights, bias = (3.0, 0.0, -2.0, 1.0, 0.0, 0.0), -0.5
    data = make_shapes(4000, weights=weights, bias=bias)
    p = 1 / (1 + np.exp(-(data.concepts @ np.array(weights) + bias)))
    z = (data.labels - p).sum() / np.sqrt((p * (1 - p)).sum())
    assert abs(z) < 3
    for j in (0, 2):
        present = data.concepts[:, j] == 1
        assert abs(data.labels[present].mean() - p[present].mean()) < 0.04


def test_captions_have_depicts_form():
    data = make_shapes(1, seed=0)
    expected = tuple(f"1 {name}" if c else "" for name, c in zip(CONCEPTS, data.concepts[0]))
    assert data.slots == [expected]


BAD = [({"num_examples": 0}, "num_examples"), ({"weights": (1.0,)}, "weights"), ({"correlation": 2.0}, "correlation")]


@pytest.mark.parametrize(("kwargs", "named"), BAD)
def test_bad_requests_are_refused(kwargs, named):
    with pytest.raises(ValueError, match=named):
        make_shapes(**({"num_examples": 2} | kwargs))


def test_counterfactual_scenes_differ_in_the_chosen_object_alone():
    scenes = make_shapes(6, masks=True)
    np.testing.assert_array_equal(render_shapes(scenes.ids, scenes.concepts), scenes.images)
    other = scenes.concepts.copy()
    other[:, 2] = 1 - other[:, 2]
    pictures, both = render_shapes(scenes.ids, other), make_shapes(6, prevalence=1.0, masks=True).masks[:, 2]
    differ = (pictures != scenes.images).any(-1)
    assert differ.any((1, 2)).all() and not (differ & ~dilated(both)).any()


def dilated(masks):
    return maximum_filter(masks, size=(1, 3, 3))
