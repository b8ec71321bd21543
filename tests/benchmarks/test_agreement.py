import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr, spearmanr

from benchmarks.recovery.agreement import agreement, rank_biased_overlap
from cpi_jax.errors import InputError


def test_scores_by_hand_and_against_scipy():
    truth = np.array([0.3, 0.2, 0.02, 0.005, 0.0, 0.0])
    estimate = np.array([0.25, 0.01, 0.3, 0.02, 0.0, -0.01])
    found = agreement(estimate, truth)
    assert found["pearson"] == pytest.approx(pearsonr(estimate, truth).statistic)
    assert found["spearman"] == pytest.approx(spearmanr(estimate, truth).statistic)
    assert found["top1"] == 0
    # True top three are 0, 1, 2; 0, 2 and 3 are the estimated ones.
    assert found["top3"] == pytest.approx(2 / 3)
    # Only what exceeds .01 counts as true.
    assert agreement(estimate, truth / 15)["top3"] == pytest.approx(1 / 2)
    assert np.isnan(agreement(estimate, truth / 100)["top3"])


def test_weighted_kendall_minds_the_top():
    truth = np.arange(6.0)[::-1]
    top, bottom = truth.copy(), truth.copy()
    top[[0, 1]] = top[[1, 0]]
    bottom[[4, 5]] = bottom[[5, 4]]
    assert kendalltau(top, truth).statistic == kendalltau(bottom, truth).statistic
    assert agreement(top, truth)["weighted_kendall"] < agreement(bottom, truth)["weighted_kendall"] - 0.1
    assert agreement(truth, truth) == {
        "pearson": pytest.approx(1), "spearman": pytest.approx(1), "weighted_kendall": pytest.approx(1),
        "rbo": pytest.approx(1), "top1": 1, "top3": 1,
    }  # fmt: skip


def test_rank_biased_overlap_of_three_by_hand():
    # Overlaps at depths 1, 2, 3 are 0, 1/2 and 1: (1 - p) / p (p^2 / 2 + p^3) + p^3.
    p = 0.8
    assert rank_biased_overlap(np.array([0, 1, 2]), np.array([2, 0, 1])) == pytest.approx(
        (1 - p) / p * (p**2 / 2 + p**3) + p**3
    )


def test_ties_count_halfway_between_luck_and_its_opposite():
    truth = np.array([0.3, 0.2, 0.1, 0.0])
    found = agreement(np.zeros(4), truth)
    assert found["pearson"] == found["spearman"] == found["weighted_kendall"] == 0
    assert found["top1"] == 0.5
    assert found["top3"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["rbo"] == pytest.approx((1 + rank_biased_overlap(np.arange(4)[::-1], np.arange(4))) / 2)
    # Where the truth ties, so that any order is right, the order of the concepts does not matter.
    some = agreement(np.array([0.3, 0.02, 0.01]), np.array([0.3, 0.0, 0.0]))
    assert some == agreement(np.array([0.3, 0.01, 0.02]), np.array([0.3, 0.0, 0.0]))


def test_what_is_not_a_number_is_refused():
    with pytest.raises(InputError, match="not finite"):
        agreement(np.array([0.1, np.nan]), np.array([0.1, 0.2]))
