import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.baselines.gradcam import Split
from cpi_jax.baselines.table import baseline_table, heat_maps
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError


def features(params, images):
    return images


def head(params, x):
    """Red raises output 1, green lowers it half as much, blue is not looked at."""
    return jnp.stack([0 * x.sum((1, 2, 3)), x[..., 0].sum((1, 2)) - 0.5 * x[..., 1].sum((1, 2))], axis=1)


def scenes(n=5):
    """Black scenes of 12x12 pixels, a square of each colour in the concept's own place."""
    concepts = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]], np.int8)[:n]
    masks = np.zeros((n, 3, 12, 12), bool)
    for k, (row, col) in enumerate([(0, 0), (0, 6), (6, 6)]):
        masks[:, k, row : row + 4, col : col + 4] = concepts[:, k, None, None] == 1
    images = np.uint8(255 * masks.transpose(0, 2, 3, 1))
    slots = [tuple(map(str, row)) for row in concepts]
    return Examples(np.arange(n), slots, ("red", "green", "blue"), concepts, np.zeros(n, np.int32), images, masks)


SCORER = Scorer(None, head)


def importance(table, method, how):
    return table[(table.method == method) & (table.how == how)].importance.to_numpy()


def test_every_baseline_of_a_known_model():
    """A last batch that is not full, and numbers that follow from the model: 16 pixels to an object."""
    methods = heat_maps(SCORER, 1, split=Split(features, head), num_segments=9, num_samples=60)
    table = baseline_table(jax.random.key(0), SCORER, scenes(), methods, 1, batch_size=2)
    assert len(table) == (6 * 3 + 2) * 3
    np.testing.assert_allclose(importance(table, "occlusion", "signed"), [16, -8, 0], atol=1e-4)
    np.testing.assert_allclose(importance(table, "occlusion", "absolute"), [16, 8, 0], atol=1e-4)
    ranks = table[(table.method == "occlusion") & (table.how == "signed")]["rank"]
    assert ranks.tolist() == [1, 2, 3]
    # Red is alone in 2 of its 4 images; beside green it has 2/3 of |gradient x input|, and green the rest.
    expected = [(1 + 1 + 2 / 3 + 2 / 3) / 4, -(1 + 1 / 3 + 1 / 3) / 3, 0]
    np.testing.assert_allclose(importance(table, "gradient x input", "signed"), expected, atol=1e-5)
    np.testing.assert_allclose(importance(table, "gradient x input", "absolute"), np.abs(expected), atol=1e-5)
    # The plain gradient is the same everywhere.
    np.testing.assert_allclose(importance(table, "gradient", "signed"), [16 / 144] * 3, atol=1e-6)
    # GradCAM has no negative evidence: all of it lies on the red object, and none in the scene without one.
    np.testing.assert_allclose(importance(table, "GradCAM", "thresholded"), [1, 0, 0], atol=1e-6)
    # Without the relu green counts against: beside red, a third of the heat (the gradient's means are 1 and -1/2).
    expected = [(1 + 1 + 2 / 3 + 2 / 3) / 4, -(1 + 1 / 3 + 1 / 3) / 3, 0]
    np.testing.assert_allclose(importance(table, "GradCAM (without relu)", "signed"), expected, atol=1e-5)
    # Hidden in black, objects vanish; hidden in their own colour, those of one superpixel do not.
    black = importance(table, "LIME (median)", "signed")
    assert black[0] > 0.5 and black[1] < -0.3 and abs(black[2]) < 0.05


def test_ones_own_heat_map_and_the_batch_size_does_not_matter():
    def own(keys, images):
        noise = jax.random.key_data(keys)[:, 1, None, None] % 5
        return images[..., 0] + noise * images[..., 1]

    key = jax.random.key(3)
    whole, cut = (baseline_table(key, SCORER, scenes(), {"own": own}, 1, batch_size=b) for b in (5, 2))
    np.testing.assert_allclose(whole.importance, cut.importance, atol=1e-6)
    other = baseline_table(jax.random.key(4), SCORER, scenes(), {"own": own}, 1, batch_size=2)
    assert np.abs(importance(whole, "own", "signed") - importance(other, "own", "signed")).max() > 0.01


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_missing_arrays_are_named(missing):
    examples = dataclasses.replace(scenes(), **{missing: None})
    with pytest.raises(InputError, match=f"no {missing}"):
        baseline_table(jax.random.key(0), SCORER, examples, {})


def test_an_image_without_background_is_named():
    examples = scenes()
    examples.masks[3] = True
    with pytest.raises(InputError, match="example 3"):
        baseline_table(jax.random.key(0), SCORER, examples, {})


def test_a_classifier_of_one_score_may_leave_out_its_axis():
    """Scores [B] are read as [B, 1]: drops [B, K] of as many images as concepts could else be taken for those of scores."""
    one, rows = (
        Scorer(None, lambda params, x: head(params, x)[:, 1]),
        Scorer(None, lambda params, x: head(params, x)[:, 1:]),
    )
    examples, chosen = scenes(3), ("gradient", "LIME (mean)")
    tables = []
    for scorer in (one, rows):
        maps = heat_maps(scorer, num_segments=4, num_samples=20)
        tables.append(baseline_table(jax.random.key(0), scorer, examples, {name: maps[name] for name in chosen}))
    np.testing.assert_allclose(tables[0].importance, tables[1].importance, atol=1e-6)
    np.testing.assert_allclose(importance(tables[0], "occlusion", "signed"), [16, -8, 0], atol=1e-4)


def test_outputs_that_there_are_not_and_classifiers_outside_jax_are_refused():
    for output in (2, -1):
        message = f"the classifier gives 2 scores an image, 0 to 1, so there is no output {output}"
        with pytest.raises(InputError, match=message):
            baseline_table(jax.random.key(0), SCORER, scenes(), {}, output)
        with pytest.raises(InputError, match=message):
            heat_maps(SCORER, output)["gradient"](jax.random.split(jax.random.key(0), 1), jnp.zeros((1, 12, 12, 3)))
    host = HostScorer(lambda images: images.mean((1, 2, 3)), "brightness")
    with pytest.raises(InputError, match="a HostScorer runs outside it"):
        heat_maps(host)
    with pytest.raises(InputError, match="a HostScorer runs outside it"):
        baseline_table(jax.random.key(0), host, scenes(), {})
