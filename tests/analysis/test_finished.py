"""A study that is asked for again is read, not evaluated, unless something that its results follow from is another."""

import dataclasses
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from cpi_jax.analysis import importances
from cpi_jax.analysis.finished import are_there, is_signed, remember, remember_again
from cpi_jax.statistics.metrics import METRICS, Metric
from tests import painter
from tests.painter import scenes


@pytest.mark.slow
def test_results_are_evaluated_once(tokenizer, tmp_path):
    examples = scenes(60)

    def evaluated(examples=examples, **more):
        """Whether a run evaluates, and what it finds."""
        with mock.patch("cpi_jax.analysis.target_results.infer_study", wraps=importances.infer_study) as infer:
            found = painter.study(tokenizer, tmp_path, examples=examples, **painter.SMALL | more)
        return infer.called, found

    _, first = evaluated()
    called, again = evaluated()
    assert not called and again.summary() == first.summary() and again.unfinished is None
    assert again.importance.to_json() == first.importance.to_json()
    for name in ("table", "local", "flips", "responses", "sign_tests"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(first, name), check_dtype=False, rtol=1e-6)
    other = dataclasses.replace(examples, labels=np.roll(examples.labels, 1))
    assert evaluated(other)[0] and evaluated()[0] and not evaluated()[0]
    assert (tmp_path / "local.parquet").exists()
    called, without = evaluated(level=0.9, local=False)
    assert called and without.local is None and not (tmp_path / "local.parquet").exists()
    assert evaluated(pictures=True)[0]
    ranking = (tmp_path / "ranking.png").read_bytes()
    (tmp_path / "ranking.png").write_bytes(b"")
    assert evaluated(pictures=True)[0] and (tmp_path / "ranking.png").read_bytes() == ranking
    wrong = {"accuracy": Metric(lambda scores, labels: METRICS["neg_brier"].prepare(scores, labels))}
    with mock.patch.dict(METRICS, wrong):  # under the name of another
        assert not np.allclose(evaluated()[1].importance.value, first.importance.value)
    called, again = evaluated()
    assert called and again.importance.to_json() == first.importance.to_json() and not evaluated()[0]
    (tmp_path / "importance.csv").unlink()
    assert evaluated()[0] and (tmp_path / "importance.csv").exists()


def test_a_damaged_record_is_no_record(tmp_path):
    for content in ("", "{", "[]", "{}", '{"of": "x"}', '{"of": "x", "files": 3}'):
        (tmp_path / "results.json").write_text(content)
        assert not are_there(tmp_path, "x"), content


def test_files_that_others_wrote_are_not_signed(tmp_path):
    (tmp_path / "importance.csv").write_text("ours")
    remember(tmp_path, "digest", ["importance.csv"])
    assert is_signed(tmp_path)
    (tmp_path / "importance.csv").write_text("of a run that signs nothing")
    assert not is_signed(tmp_path) and not is_signed(tmp_path / "nowhere")
    remember_again(tmp_path)
    assert are_there(tmp_path, "digest")  # so that `append_oracle` asks before it writes
