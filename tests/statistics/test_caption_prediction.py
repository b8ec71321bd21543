"""What captions alone know of the label, beside the classifier."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import OneHotEncoder

from cpi_jax.statistics.caption_prediction import describe_prediction, predict_from_captions
from tests.painter import scenes

pytestmark = pytest.mark.usefixtures("strict")


def test_captions_predict_what_a_logistic_regression_of_scikit_learn_does():
    examples = scenes(300)
    labels = np.stack([examples.labels, np.random.default_rng(0).integers(0, 2, 300)], axis=1)
    prediction = predict_from_captions(examples.slots, labels, np.ones(300))
    design = OneHotEncoder().fit_transform(np.array(examples.slots))
    held_out = cross_val_predict(LogisticRegression(), design, labels[:, 0], cv=5, method="decision_function")
    assert abs(prediction.captions.value[0] - roc_auc_score(labels[:, 0], held_out)) < 0.015
    assert abs(prediction.captions.value[1] - 0.5) < 3 * prediction.captions.error[1]
    assert examples.slot_names[prediction.slot[0]] == "red circle"
    line, given_away = describe_prediction(prediction, ("the label", "another"), examples.slot_names, 0.03)
    assert given_away == () and line.startswith(
        f"Captions alone: predict the label with AUROC {prediction.captions.value[0]:.3f} ("
    )


def test_a_slot_that_says_the_label_is_found_before_any_image():
    """The world of AUROC .73 on real images whose captions hold the label: by itself a slot of other texts does nothing."""
    rng = np.random.default_rng(1)
    examples = scenes(300)
    label = examples.labels[:, None]
    names = (*examples.slot_names, "id", "pet")
    texts = [(*row, str(i), "cat" if y else "dog") for i, (row, y) in enumerate(zip(examples.slots, examples.labels))]
    real = 0.85 * label + rng.normal(size=label.shape)
    prediction = predict_from_captions(texts, label, np.ones(300), real=real)
    np.testing.assert_allclose(prediction.captions.value, 1, atol=1e-6)
    np.testing.assert_allclose(prediction.classifier, roc_auc_score(label, real), atol=1e-6)
    assert prediction.gives_away(0.03).tolist() == [True] and names[prediction.slot[0]] == "pet"
    line, (warning,) = describe_prediction(prediction, ("the label",), names, 0.03)
    assert f"the classifier on the real images: {prediction.classifier[0]:.3f}" in line
    assert "the ranking is of another task: leave 'pet' out" in warning
    # Without it, the captions know no more than the classifier does.
    modest = predict_from_captions(examples.slots, label, np.ones(300), real=3 * label + rng.normal(size=label.shape))
    assert not modest.gives_away(0.03).any()


def test_clusters_stay_in_one_fold():
    """Labels and a slot are of the patient: known from other images of the same one, and not otherwise."""
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(40), 10)
    label = rng.integers(0, 2, 40)[patient][:, None]
    slots = [("ward", str(p)) for p in patient]
    assert predict_from_captions(slots, label, np.ones(400)).captions.value[0] > 0.99
    assert predict_from_captions(slots, label, np.ones(400), patient).captions.value[0] < 0.6
