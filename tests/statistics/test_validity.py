from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cpi_jax.analysis.advice import advise_independence
from cpi_jax.analysis.validity import generation_table
from cpi_jax.plan.enumeration import plan_variants
from cpi_jax.plan.variants import take_variants
from cpi_jax.settings import Settings
from cpi_jax.statistics.validity import (
    Estimate,
    Generation,
    Independence,
    _auroc_beyond,
    effective_generation,
    independent_permutation,
)
from cpi_jax.statistics.verdicts import judge, judge_independence, too_weak, worst

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strict")]


def detector_study(rng, n=400, draws=1, leak=0.0, noise=0.12, obeys=1.0):
    """Three concepts; the detector's score is presence plus noise; naming 0 also paints 2, in that share of its images.

    The generator draws what the caption says in the share `obeys` of the images, and the original concepts elsewhere. The
    detector's scores of the real images come last.
    """
    concepts = jnp.asarray(rng.integers(0, 2, (n, 3)), jnp.int32)
    features = jnp.eye(3, dtype=bool)
    variants, lookup = plan_variants(concepts[..., None], features, np.arange(n))
    permuted = take_variants(concepts, features, variants)
    painted = np.array(permuted)
    example = np.asarray(variants.example)
    painted[:, 2] |= painted[:, 0] & (rng.random(n) < leak)[example]
    other = rng.spawn(1)[0]
    painted = np.where((other.random((n, 1)) < obeys)[example], painted, np.asarray(concepts)[example])
    of_example = noise * rng.normal(size=(draws, n, 3))[:, example]
    scores = painted[None] - 0.5 + of_example + 0.05 * rng.normal(size=(draws, *painted.shape))
    real = jnp.asarray(concepts - 0.5 + np.hypot(noise, 0.05) * other.normal(size=(n, 3)), jnp.float32)
    return concepts, permuted, permuted > 0, lookup, jnp.asarray(scores, jnp.float32), real


def run(data, with_real=True):
    concepts, permuted, present, lookup, scores, real = data
    ones = jnp.ones(len(concepts))
    return independent_permutation(
        scores, concepts, permuted, present[None], lookup, ones, real=real if with_real else None
    )


def outcome_of(independence, concepts):
    """Whether each of the three concepts follows its words."""
    verdicts = judge_independence(
        independence, np.eye(3, dtype=bool), np.asarray(concepts), generation_margin=0.03, leak_margin=0.03
    )
    return np.diag(verdicts.outcome).tolist(), np.diag(verdicts.needed)


def test_a_perfect_detector_sees_no_leak_and_no_error():
    rng = np.random.default_rng(0)
    concepts, permuted, present, lookup, *_ = detector_study(rng)
    independence = run((concepts, permuted, present, lookup, (permuted - 0.5)[None], concepts - 0.5))
    others = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(np.asarray(independence.leak.value)[others], 0, atol=1e-6)
    np.testing.assert_allclose(np.asarray(independence.leak.error)[others], 0, atol=1e-6)
    np.testing.assert_allclose(independence.follows.value, 1, atol=1e-6)
    np.testing.assert_allclose(independence.shortfall.value, 0, atol=1e-6)
    # Permuting a concept leaves nothing of it: AUROC from 1 to one half, less what no one can receive from oneself.
    np.testing.assert_allclose(np.diag(independence.change.value), -0.5, atol=0.01)


def test_a_planted_leak_has_its_size():
    """Naming 0 paints 2 always: of the scenes without 2 (half), the decision follows the permuted 0: AUROC 3/4 - 1/2."""
    independence = run(detector_study(np.random.default_rng(1), n=800, leak=1.0, noise=0.0))
    assert abs(float(independence.leak.value[0, 2]) - 0.25) < 0.02
    others = ~np.eye(3, dtype=bool)
    others[0, 2] = False
    assert (np.abs(np.asarray(independence.leak.value))[others] < 1e-3).all()


def test_the_area_of_a_decision_is_that_of_its_ranks():
    """A leak is a difference of AUROCs of decisions, by a closed form: scikit-learn's numbers, zero where both agree."""
    rng = np.random.default_rng(0)
    decisions, labels, weights = rng.integers(0, 2, (50, 2)), rng.integers(0, 2, 50), rng.random(50)
    first, second = (roc_auc_score(labels, column, sample_weight=weights) for column in decisions.T)
    beyond = jax.jit(_auroc_beyond)
    got = beyond(jnp.asarray(decisions, jnp.float32), jnp.asarray(labels), jnp.asarray(weights, jnp.float32))
    assert float(got) == pytest.approx(first - second, abs=1e-6) and abs(first - second) > 0.01
    alike = jnp.asarray(decisions[:, [0, 0]], jnp.float32)
    assert float(beyond(alike, jnp.asarray(labels), jnp.asarray(weights, jnp.float32))) == 0


def test_one_content_of_many_leaks():
    """A slot that always says one of three things; its third content also paints the concept of the other slot."""
    rng, n = np.random.default_rng(6), 900
    slots = np.stack([rng.integers(0, 3, n), rng.integers(0, 2, n)], axis=1)
    concepts = np.stack([slots[:, 0] == 0, slots[:, 0] == 1, slots[:, 0] == 2, slots[:, 1] == 1], axis=1)
    concepts = jnp.asarray(concepts, jnp.int32)
    features = jnp.eye(2, dtype=bool)
    variants, lookup = plan_variants(jnp.asarray(slots)[..., None], features, np.arange(n))
    of = features[:, np.array([0, 0, 0, 1])]
    permuted = take_variants(concepts, of, variants)
    contents = permuted[:, np.array([[0, 3], [1, 3], [2, 3]])].swapaxes(0, 1) > 0
    painted = permuted.at[:, 3].max(permuted[:, 2])
    for seen, leak in ((permuted, 0.0), (painted, 0.25)):  # where 4 is absent (half), its decision follows the third
        scores = (seen - 0.5)[None].astype(jnp.float32)
        independence = independent_permutation(scores, concepts, permuted, contents, lookup, jnp.ones(n))
        assert abs(float(independence.leak.value[0, 3]) - leak) < 0.02
        np.testing.assert_allclose(independence.follows.value[0, :3], 1, atol=1e-6)
        np.testing.assert_allclose(independence.leak.value[1, :3], 0, atol=1e-6)


def test_an_imperfect_detector_is_no_leak_within_strata():
    """Concepts that go together, permuted among examples that agree in the other: only the planted leak is one."""
    rng = np.random.default_rng(5)
    n = 1500
    first = rng.integers(0, 2, n)
    second = np.where(rng.random(n) < 0.85, first, 1 - first)
    concepts = jnp.asarray(np.stack([first, second], axis=1), jnp.int32)
    features = jnp.eye(2, dtype=bool)
    variants, lookup = plan_variants(concepts[..., None], features, np.arange(n))
    permuted = take_variants(concepts, features, variants)
    example = np.asarray(variants.example)
    strata = concepts[:, ::-1]
    wrong = (rng.random((n, 2)) < 0.08)[example]  # the detector errs by example
    for leak in (False, True):
        seen = np.where(wrong, 1 - permuted, permuted)
        if leak:
            seen[:, 1] |= np.asarray(permuted[:, 0]) & (rng.random(n) < 0.5)[example]
        scores = jnp.asarray(seen - 0.5, jnp.float32)[None]
        independence = independent_permutation(
            scores, concepts, permuted, permuted[None] > 0, lookup, jnp.ones(n), strata
        )
        value, error = float(independence.leak.value[0, 1]), float(independence.leak.error[0, 1])
        assert (value > 0.03 + 3 * error) if leak else (abs(value) < 1e-6)


def test_errors_are_the_spread_over_studies():
    rng, studies = np.random.default_rng(2), []
    for _ in range(40):
        independence = run(detector_study(rng, n=150, leak=0.3, noise=0.4))
        studies.append(independence)
    np.testing.assert_allclose(
        independence.shortfall.value, independence.real.value[None] - independence.follows.value, atol=1e-6
    )
    for number in ("change", "leak", "follows", "shortfall"):
        values = np.stack([np.asarray(getattr(x, number).value) for x in studies])
        errors = np.stack([np.asarray(getattr(x, number).error) for x in studies])
        ratio = errors.mean(0) / values.std(0)
        assert (ratio > 0.7).all() and (ratio < 1.4).all(), (number, ratio)


def test_effective_generation_pairs_the_images():
    rng = np.random.default_rng(3)
    labels = jnp.asarray(rng.integers(0, 2, (60, 2)), jnp.int32)
    real = jnp.asarray(labels + rng.normal(size=(60, 2)), jnp.float32)
    same = effective_generation(real, real[None], labels, jnp.ones(60))
    np.testing.assert_allclose(same.lost.value, 0, atol=1e-6)
    np.testing.assert_allclose(same.lost.error, 0, atol=1e-6)  # the same examples: no error of the difference
    inverted = effective_generation(real, jnp.stack([-real, -real]), labels, jnp.ones(60))
    np.testing.assert_allclose(inverted.generated, 1 - inverted.real, atol=1e-6)
    np.testing.assert_allclose(inverted.lost.value, 2 * inverted.real - 1, atol=1e-6)


def test_judgement_by_hand():
    # Standard error .01, margin taken off: far inside, just inside, on the margin, just beyond, far beyond, unknown.
    excess = np.array([-0.1, -0.01, 0.0, 0.015, 0.1, np.nan])
    judged = judge(excess, np.full(6, 0.01), 100)
    assert judged.outcome.tolist() == ["pass", "inconclusive", "inconclusive", "inconclusive", "fail", "not assessed"]
    # (1.645 + .842)^2 of the squared error over the squared distance, as shares of 100 examples.
    assert judged.needed[1] == np.ceil(100 * (1.6449 + 0.8416) ** 2)
    assert judged.needed[0] == judged.needed[4] == judged.needed[5] == 0
    # Without error, what is observed decides.
    assert judge(np.array([-0.01, 0.01]), np.zeros(2), 100).outcome.tolist() == ["pass", "fail"]
    # An AUROC of 1 from few examples has the error that one more could make.
    assert judge(np.array([-0.03]), np.zeros(1), 100, fewest=50).outcome[0] == "pass"
    assert judge(np.array([-0.03]), np.zeros(1), 20, fewest=10).outcome[0] == "inconclusive"
    # 1.9 errors beyond fails alone, and not as one of fifty (Holm).
    assert judge(np.array([0.019]), np.array([0.01]), 100).outcome[0] == "fail"
    assert judge(np.full(50, 0.019), np.full(50, 0.01), 100).outcome[0] == "inconclusive"


def test_the_worst_outcome_counts():
    assert worst(["pass", "fail", "inconclusive"]) == "fail"
    assert worst(["pass", "not assessed"]) == "not assessed"
    assert worst(["pass", "pass"]) == "pass"


def test_a_detectors_own_errors_are_not_the_generators():
    """A detector of AUROC .9 on real and generated images alike; then one generator that obeys half of the time."""
    rng = np.random.default_rng(7)
    data = detector_study(rng, n=3000, draws=2, noise=0.55)  # AUROC of a unit shift in normal noise of sd .552: .9
    independence = run(data)
    np.testing.assert_allclose(independence.real.value, 0.9, atol=0.015)
    assert np.diag(independence.follows.value).max() < 0.92
    assert outcome_of(independence, data[0])[0] == ["pass"] * 3
    # Few examples decide nothing, and it is said how many would.
    few = detector_study(rng, n=400, noise=0.65)
    outcome, needed = outcome_of(run(few), few[0])
    undecided = np.array(outcome) == "inconclusive"
    assert "fail" not in outcome and undecided.any() and (needed[undecided] > 400).all()
    # Without real images it is unknown to whom the errors are due.
    assert outcome_of(run(few, with_real=False), few[0])[0] == ["not assessed"] * 3
    disobedient = detector_study(rng, n=400, noise=0.55, obeys=0.5)
    assert outcome_of(run(disobedient), disobedient[0])[0] == ["fail"] * 3
    # A perfect detector needs no real images to pass.
    perfect = detector_study(rng, n=400, noise=0.0)
    assert outcome_of(run(perfect, with_real=False), perfect[0])[0] == ["pass"] * 3


def test_a_detector_that_sees_little_judges_nothing():
    data = detector_study(np.random.default_rng(8), n=800, noise=2.0)  # AUROC .64
    independence = run(data)
    verdicts = judge_independence(
        independence, np.eye(3, dtype=bool), np.asarray(data[0]), generation_margin=0.03, leak_margin=0.03
    )
    assert (verdicts.outcome == "not assessed").all() and (verdicts.needed == 0).all()
    # .75 from few examples may be .8.
    weak = Estimate(jnp.array([0.75, 0.75]), jnp.array([0.02, 0.04]))
    assert too_weak(weak, np.tile([[0, 1], [1, 0]], (100, 1))).tolist() == [True, False]


def test_a_concept_that_never_varies_is_not_assessed():
    """Its AUROC has no value; the detector's decision about it never moves, which shows nothing."""
    nothing = Estimate(jnp.zeros((2, 3)), jnp.full((2, 3), 0.001))
    change = Estimate(nothing.value.at[:, 2].set(jnp.nan), nothing.error)
    result = Independence(change, Estimate(jnp.ones((2, 3)), nothing.error), nothing, nothing)
    concepts = np.array([[0, 1, 1], [1, 0, 1]] * 50)
    outcome = judge_independence(
        result, np.eye(2, 3, dtype=bool), concepts, generation_margin=0.03, leak_margin=0.03
    ).outcome
    assert outcome.tolist() == [["pass", "pass", "not assessed"], ["pass", "pass", "not assessed"]]


def test_generated_images_that_are_easier_than_real_ones_fail():
    """The margin has two sides; what does not pass says what to do."""
    lost = Estimate(jnp.array([-0.267, 0.2, 0.0, 0.02]), jnp.array([0.03, 0.03, 0.01, 0.03]))
    result = Generation(jnp.array([0.733, 0.9, 0.9, 0.9]), jnp.array([1.0, 0.7, 0.9, 0.88]), lost)
    table = generation_table(tuple("abcd"), "target", result, Settings(), np.eye(4)[np.arange(400) % 4])
    assert table.verdict.tolist() == ["fail", "fail", "pass", "inconclusive"]
    assert (
        "images are easier than real ones for the target (a): look for a slot that gives the label away"
        in table.advice[0]
    )
    assert "show the target less than real ones (b): fine-tune the generator" in table.advice[1]
    assert table.advice[2] == ""
    assert f"about {table.needed[3]:,} examples would decide" in table.advice[3] and table.needed[3] > 400


def test_advice_follows_from_what_was_measured():
    def advise(too_weak=False, **columns):
        row = {"permuted": "dog", "concept": "dog", "role": "permuted", "auroc_real": 0.9, "auroc_permuted_labels": 0.7,
               "shortfall": 0.2, "needed": 0}  # fmt: skip
        return advise_independence(SimpleNamespace(**(row | columns)), too_weak, 0.03, 0.03)

    other = {"concept": "cat", "role": "other"}
    assert advise(verdict="pass") == advise(verdict="pass", **other) == ""
    assert "take a better detector of cat: AUROC 0.60" in advise(True, verdict="not assessed", auroc_real=0.6, **other)
    assert "does not draw dog as it is told: try other words or more guidance" in advise(verdict="fail")
    assert "permuting dog changes cat as well" in advise(verdict="fail", **other)
    assert "give real images: " in advise(verdict="not assessed", auroc_real=np.nan)
    alike = advise(verdict="not assessed", auroc_real=np.nan, shortfall=np.nan)
    assert alike == "choose examples with and without dog: all of these are alike in it"
    assert (
        advise(verdict="inconclusive", needed=1234)
        == "whether dog follows its words: about 1,234 examples would decide"
    )
