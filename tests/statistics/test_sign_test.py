"""The exact sign test against scipy's, and what it is of: the losses that permuting adds to single examples."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_jax.analysis.sign_tests import added_losses
from cpi_jax.files.csv_files import csv_text
from cpi_jax.report.sign_tests_text import describe_sign_tests
from cpi_jax.statistics.dealing import deal
from cpi_jax.statistics.functional import importance
from cpi_jax.statistics.metrics import METRICS
from cpi_jax.statistics.sign_test import sign_test
from tests.statistics.test_functional import world


@pytest.mark.parametrize("n", [6, 13, 40, 1500])
def test_the_test_and_the_interval_are_scipys(n):
    x = np.random.default_rng(n).normal(0.2, 1, n)
    for alternative in ("greater", "two-sided"):
        found = sign_test(x, alternative=alternative)
        expected = stats.quantile_test(x, q=0, p=0.5, alternative=alternative)
        np.testing.assert_allclose(found.p, expected.pvalue, rtol=1e-9)
    low, high = expected.confidence_interval(0.95)
    assert (found.ci_low, found.ci_high) == (low, high) and found.median == np.median(x)
    assert (found.above, found.below) == ((x > 0).sum(), (x < 0).sum())


def test_few_differences_have_no_limits_and_zeros_are_not_above():
    found = sign_test(np.array([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert (found.ci_low, found.ci_high) == (-np.inf, np.inf) and found.p == 1 / 32  # 2 / 32 is more than 5 %
    assert sign_test(np.zeros(9)).p == 1 and sign_test(np.zeros(9))[3:6] == (0, 0, 0)
    np.testing.assert_allclose(sign_test(np.r_[np.ones(5), np.zeros(5)]).p, stats.binom.sf(4, 10, 0.5))
    assert np.isnan(sign_test(np.zeros(0)).p)


def test_the_mean_of_the_added_losses_is_the_importance():
    _, _, lookup, scores, labels = world()
    expected = importance(scores, labels, lookup, jnp.ones(12), METRICS["neg_log_loss"]).mean(0)
    for f in range(3):
        dealing = deal(lookup, f, np.asarray(lookup.values)[:, f], np.ones(12))
        added = added_losses(dealing, np.asarray(scores), np.asarray(labels))
        np.testing.assert_allclose(added["log_loss"].mean(), expected[f], atol=1e-6)


def test_the_report_recommends_it_where_examples_are_few(tmp_path):
    assert describe_sign_tests(tmp_path, ["dog"], 0.95) == []
    row = {
        "concept": "dog",
        "loss": "log_loss",
        **sign_test(np.arange(-1, 11) / 10)._asdict(),
        "p_holm": 0.02,
        "few": True,
    }
    (tmp_path / "sign_tests.csv").write_text(csv_text(pd.DataFrame([row])))
    text = " ".join(describe_sign_tests(tmp_path, ["dog"], 0.95))
    assert "about the median, not the mean" in text and "10 of 12" in text and "+0.1000 to +0.8000" in text
    (tmp_path / "sign_tests.csv").write_text(csv_text(pd.DataFrame([row | {"few": False}])))
    assert describe_sign_tests(tmp_path, ["dog"], 0.95) == []
