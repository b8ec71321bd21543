import numpy as np

from benchmarks.recovery.models import STYLES, planted_models


def test_every_style_has_the_weights_that_it_says():
    models = planted_models(400, 6, seed=5)
    assert models.styles[:5] == (*STYLES, STYLES[0])
    by_style = {style: models.weights[i :: len(STYLES)] for i, style in enumerate(STYLES)}
    assert ((by_style["sparse"] == 0).sum(1) == 3).all()
    assert (by_style["dense"] > 0.3).all() and (by_style["dense"] < 2.5).all()
    assert 0.4 < (by_style["mixed-sign"] < 0).mean() < 0.6
    size = np.sort(np.abs(by_style["one-dominant"]), axis=1)
    assert (size[:, -1] == 4).all() and (size[:, -2] < 1.5).all()
    # The dominant concept is any of the six, and a model does not depend on how many are drawn.
    assert set(np.abs(by_style["one-dominant"]).argmax(1)) == set(range(6))
    np.testing.assert_array_equal(planted_models(7, 6, seed=5).weights, models.weights[:7])
    assert not np.isin(np.abs(planted_models(8, 6, seed=6).weights[1]), np.abs(models.weights)).any()


def test_labels_follow_the_logistic_model_and_the_example():
    models = planted_models(8, 3, seed=0)
    rng = np.random.default_rng(0)
    concepts = rng.integers(0, 2, (4000, 3))
    ids = np.arange(4000)
    labels = models.labels(concepts, ids)
    expected = 1 / (1 + np.exp(-(concepts @ models.weights.T + models.bias)))
    for m in range(8):
        for row in np.unique(concepts, axis=0):
            same = (concepts == row).all(1)
            error = np.sqrt(0.25 / same.sum())
            assert abs(labels[m, same].mean() - expected[same, m][0]) < 4 * error
    np.testing.assert_array_equal(models.labels(concepts[5:9], ids[5:9]), labels[:, 5:9])
    # Coins of two models on the same example are independent.
    coins = labels - expected.T
    assert np.abs(np.corrcoef(coins)[np.triu_indices(8, 1)]).max() < 4 / np.sqrt(4000)
