"""The real images are scored first: a classifier that is worse than chance on them is refused before any picture."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from cpi_jax.analysis.chance import measure
from cpi_jax.analysis.real_images import identity_of
from cpi_jax.classifiers.scorer import HostScorer
from cpi_jax.data.images import ImageFiles
from cpi_jax.diffusion.generator import Generator
from cpi_jax.errors import InputError
from cpi_jax.store.store import encode_image
from tests.painter import FAST, WEIGHTS, flat_settings, paint, photographs, read_patches, reader, scenes, study

pytestmark = pytest.mark.slow

EXAMPLES = photographs(scenes(60))
QUICK = {"examples": EXAMPLES, "draws": 1}


def noise(params, token_ids, keys):
    """Pictures of pure noise, whatever the caption says."""
    return 0.5 + 10 * (paint(params * 0, token_ids, keys) - 0.2)


def test_a_flipped_classifier_is_refused_before_generation_and_can_be_allowed(tokenizer, tmp_path, capsys):
    flipped = {"target": reader(-WEIGHTS), "generator": Generator(jnp.eye(6), noise), **QUICK}
    with pytest.raises(
        InputError, match=r"the target is worse than chance on the real images \(AUROC 0\.\d+, at most"
    ) as e:
        study(tokenizer, tmp_path, **flipped)
    assert "are the classes swapped?" in str(e.value) and "checks.allow_worse_than_chance" in str(e.value)
    assert "on 60 real images the target has AUROC 0." in capsys.readouterr().err
    assert not list(tmp_path.glob("scores.zarr/target/c/*"))  # nothing was generated
    found = study(tokenizer, tmp_path, **flipped, allow_worse_than_chance=True)
    assert any("the target is worse than chance on the real images" in w for w in found.importance.warnings)


def test_a_good_classifier_passes_and_is_scored_once(tokenizer, tmp_path, capsys, caplog):
    calls = []

    def scored(images):
        calls.append(len(images))
        return np.asarray(read_patches(np.asarray(WEIGHTS, np.float32), images))

    target = HostScorer(scored, name="patches")
    first = study(tokenizer, tmp_path, target=target, **QUICK)
    assert "on 60 real images the target has AUROC 0.854" in capsys.readouterr().err and "chance" not in caplog.text
    assert first.importance.warnings == () or not any("chance" in w for w in first.importance.warnings)
    calls.clear()
    again = study(tokenizer, tmp_path, target=target, **QUICK)
    assert calls == [16, 16]  # the noise that a function is tried on: neither real nor generated pictures
    np.testing.assert_array_equal(first.importance.value, again.importance.value)
    assert len(list(tmp_path.glob("real_scores/*.npy"))) == 2
    study(tokenizer, tmp_path, target=target, **QUICK | {"examples": photographs(EXAMPLES, seed=1)})
    assert calls == [16, 16, 16, 16, 64]  # other pixels are other images


def test_what_is_known_before_generation_stands_in_the_results(tokenizer, tmp_path, capsys, caplog):
    """Captions that say the label, a weak classifier: said before any image, in the results, and read again."""
    examples = dataclasses.replace(
        EXAMPLES, labels=EXAMPLES.concepts[:, 0].astype(np.int32), notes=("12 rows left out",)
    )
    half = np.array([[1.0, 1.1, 0, 0, 0, 0]]).T
    given = {"examples": examples, "target": reader(half), "draws": 1}
    first = study(tokenizer, tmp_path, **given)
    said = capsys.readouterr().err
    (warning,) = (w for w in first.importance.warnings if "the captions say more of the label" in w)
    assert "leave 'red circle' out of the captions" in warning and caplog.text.count(warning) == 1
    scores = np.asarray(read_patches(half, examples.images / np.float32(255)))[:, 0]
    auroc = stats.mannwhitneyu(scores[examples.labels == 1], scores[examples.labels == 0]).statistic
    auroc /= examples.labels.sum() * (1 - examples.labels).sum()
    read, target, detector, captions = first.notes
    assert read == "12 rows left out" and target.startswith(f"on 60 real images the target has AUROC {auroc:.3f} (95%")
    assert detector.startswith("on 60 real images the detector has AUROC 1.000")
    assert captions.startswith("Captions alone: predict the label with AUROC 1.000 (")
    assert captions.endswith(f"most by 'red circle'; the classifier on the real images: {auroc:.3f}")
    assert said.startswith("\n".join(first.notes))
    again = study(tokenizer, tmp_path, **given)
    assert again.importance.warnings == first.importance.warnings and again.notes == first.notes
    assert "on 60 real images" not in capsys.readouterr().err  # nothing is worked out anew
    for found in (first, again):
        flat = " ".join(found.summary().split())
        assert all(text in flat for text in (f"Warning: {warning}", *(f"- {note}" for note in found.notes)))


def test_images_are_known_by_pixels_or_by_their_files(tmp_path):
    ids, square = np.arange(3), np.zeros((3, 8, 8, 3), np.uint8)
    for i, picture in enumerate(square):
        (tmp_path / f"{i}.png").write_bytes(encode_image(picture, "png"))
    files = ImageFiles([f"{i}.png" for i in range(3)], root=tmp_path)
    seen = [identity_of(x, ids) for x in (square, square + 1, files, files.with_size(4), files[:2], ImageFiles(square))]
    seen += [identity_of(square, ids + 1), identity_of(ImageFiles(square + 1), ids)]
    (tmp_path / "1.png").write_bytes(encode_image(square[0] + 200, "png"))
    assert len({*seen, identity_of(files, ids)}) == 9 and seen[0] == identity_of(square.copy(), ids)


def test_what_cannot_be_told_from_chance_is_warned_of(tokenizer, tmp_path, caplog):
    rng = np.random.default_rng(3)
    coin = dataclasses.replace(EXAMPLES, labels=rng.permutation(np.arange(60) % 2).astype(np.int32))
    found = study(tokenizer, tmp_path, **QUICK | {"examples": coin})
    assert "on the real images the target cannot be told from chance (AUROC 0." in caplog.text
    assert any("cannot be told from chance" in w for w in found.importance.warnings)


def test_detectors_in_another_order_and_constant_ones_are_named(tokenizer, tmp_path):
    detector = np.eye(6)
    detector[2, 2] = -1
    with pytest.raises(InputError, match=r"the detector is worse than chance .*\(AUROC blue circle 0.000, at most 0"):
        study(tokenizer, tmp_path, detector=reader(detector), **QUICK)
    with pytest.raises(InputError, match="the target gives all 60 real pictures the same score, 0: nothing can be"):
        study(tokenizer, tmp_path, target=reader(0 * WEIGHTS), **QUICK)
    with pytest.raises(InputError, match="not a finite number for the real image of example 0"):
        study(tokenizer, tmp_path, target=reader(np.nan * WEIGHTS), **QUICK)


def test_without_real_images_the_generated_ones_show_it(tokenizer, tmp_path, capsys):
    found = study(tokenizer, tmp_path, target=reader(-WEIGHTS), examples=scenes(60), draws=1)
    assert "no real images: whether the target is better than chance cannot be checked" in capsys.readouterr().err
    (warning,) = (w for w in found.importance.warnings if "chance" in w)
    assert "worse than chance on the generated pictures of the examples' own captions (AUROC 0." in warning


def measured(logits, examples=EXAMPLES, name="target", **settings):
    return measure(np.asarray(logits, np.float32), name, examples, flat_settings(**FAST | settings))


def test_measures_against_closed_forms():
    rng = np.random.default_rng(0)
    labels = (np.arange(60) < 25).astype(np.int32)
    scores = rng.normal(size=(60, 1)) + labels[:, None]
    examples = dataclasses.replace(EXAMPLES, labels=labels, columns={"w": 1.0 + np.arange(60) % 3, "c": np.arange(60)})
    value, low, high, chance = measured(scores, examples).means["auroc"]
    a, b = scores[labels == 1, 0], scores[labels == 0, 0]
    assert value == pytest.approx(stats.mannwhitneyu(a, b).statistic / (25 * 35), abs=1e-6) and chance == pytest.approx(
        0.5
    )
    won = a[:, None] > b
    delong = np.sqrt(won.mean(1).var(ddof=1) / 25 + won.mean(0).var(ddof=1) / 35)
    assert high - value == pytest.approx(value - low, abs=1e-6)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 50) * delong, rel=0.02)
    one_each = measured(scores, examples, cluster="c").means["auroc"]  # clusters of one example
    assert one_each[0] == pytest.approx(value) and one_each[1] == pytest.approx(low, abs=0.01)
    w = examples.columns["w"]
    pairs = np.outer(w[labels == 1], w[labels == 0])
    assert measured(scores, examples, weights="w").means["auroc"][0] == pytest.approx((pairs * won).sum() / pairs.sum())
    # What knowing the classes' shares is worth: the largest share, and minus the entropy.
    accuracy = measured(scores, examples, metrics=("accuracy",))
    assert accuracy.means["accuracy"][3] == pytest.approx(35 / 60)
    loss = measured(scores, examples, metrics=("neg_log_loss",)).means["neg_log_loss"][3]
    assert loss == pytest.approx(-stats.entropy([25 / 60, 35 / 60]), abs=1e-5)
    late = measured(scores - 10, examples, metrics=("accuracy",))  # a threshold far off: AUROC does not see it
    assert not late.worse and "accuracy is 0.583" not in str(late.warnings("x"))
    never = measured(scores + 10, examples, metrics=("accuracy",)).warnings("x")
    assert never == [
        "on x the target's accuracy is 0.417, less than the 0.583 of knowing only how frequent the classes are"
    ]


def test_intervals_of_shares_stay_within_0_and_1_and_have_a_width():
    """Beside the exact intervals of Clopper & Pearson (1934): all right, one wrong, and three of 40."""
    for n, wrong in ((24, 0), (24, 1), (40, 3)):
        labels = (np.arange(n) % 2).astype(np.int32)
        few = dataclasses.replace(scenes(n), labels=labels)
        scores = np.where(np.arange(n) < wrong, -1, 1) * (2.0 * labels - 1)
        value, low, high, _ = measured(scores[:, None], few, metrics=("accuracy",)).means["accuracy"]
        exact = stats.binomtest(n - wrong, n).proportion_ci(method="exact")
        assert value == pytest.approx(1 - wrong / n) and 1 >= high >= value
        assert low == pytest.approx(exact.low, abs=0.05) and high == pytest.approx(exact.high, abs=0.03)
    loss = measured(100 * scores[:, None], few, metrics=("neg_log_loss",)).means["neg_log_loss"]
    assert loss[0] == pytest.approx(-7.5) and loss[2] == 0  # three wrong by 100 in 40
    f1 = measured(np.abs(scores[:, None]) * (2 * labels[:, None] - 1), few, metrics=("f1",)).means["f1"]
    assert f1[0] == 1 and 0.7 < f1[1] < 0.9 and f1[2] == 1


def test_swapped_classes_are_named_and_few_examples_decide_nothing():
    labels = (np.arange(150) % 3).astype(np.int32)
    three = dataclasses.replace(scenes(150), labels=labels)
    right = 6.0 * np.eye(3)[labels] + np.random.default_rng(0).normal(size=(150, 3))
    assert measured(right, three).worse == ""
    swapped = measured(right[:, [1, 0, 2]], three).worse
    assert swapped.startswith("AUROC class 0 0.") and "class 1 0." in swapped and "class 2" not in swapped
    several = dataclasses.replace(three, labels=np.eye(3, dtype=np.int32)[labels])
    assert measured(right * [1, -1, 1], several).worse.startswith("AUROC class 1 0.000, at most 0.0")
    # An AUROC of 0 from three against three is little evidence (1 of 20 arrangements), from ten against ten it is much.
    for n, worse in ((3, ""), (10, "AUROC 0.000, at most 0.1")):
        few = dataclasses.replace(scenes(2 * n), labels=(np.arange(2 * n) < n).astype(np.int32))
        found = measured(np.arange(2 * n)[:, None], few).worse
        assert found.startswith(worse) and bool(found) == bool(worse)
