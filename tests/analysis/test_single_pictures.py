"""Which contents are counts or ranges, and what the report says of flips and of mean scores."""

from unittest import mock

import numpy as np
import pandas as pd
import pytest

from cpi_jax.analysis.single_pictures import local_table, order_of
from cpi_jax.files.csv_files import csv_text
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.report.local_text import describe_flips, describe_responses
from cpi_jax.settings import Settings, Statistics
from tests.painter import scenes


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["10 dog", "", "2 dog"], ["", "2 dog", "10 dog"]),
        (["age 40 to 60", "age 60 or more", "age under 40"], ["age under 40", "age 40 to 60", "age 60 or more"]),
        (["0.5 to 1.5 m", "1.5 m or more", "under 0.5 m"], ["under 0.5 m", "0.5 to 1.5 m", "1.5 m or more"]),
        (["1 dog", ""], None),  # of two contents there is no curve
        (["2 dog", "", "many dogs"], None),
    ],
)
def test_contents_with_numbers_are_ordered_by_them(texts, expected):
    place = order_of(texts)
    assert (place is None) if expected is None else [texts[i] for i in np.argsort(place)] == expected


def test_too_many_rows_are_left_out_and_that_is_said(tokenizer):
    examples = scenes(12)
    plan = make_plan(examples, tokenizer, 32, Settings())
    scores = np.zeros((1, plan.num_variants, 1), np.float32)
    assert len(local_table(plan, examples, scores, Settings())[0]) == 12 * 6
    assert local_table(plan, examples, scores, Settings(statistics=Statistics(local=False))) == (None, "")
    with mock.patch("cpi_jax.analysis.single_pictures.MOST_ROWS", 71):
        table, note = local_table(plan, examples, scores, Settings())
    assert table is None and note == "local.parquet is left out: single pictures would be 72 rows, and 71 are kept"


def test_the_report_says_how_often_decisions_flip_and_what_counts_do(tmp_path):
    assert describe_flips(tmp_path, ["dog"], 0.95) == describe_responses(tmp_path, ["dog"], 0.95) == []
    rows = [("dog", "permuted", 0.25, 0.2, 0.31), ("dog", "appears", 0.5, 0.4, 0.6), ("dog", "a to b", 1, 0, 1)]
    flips = pd.DataFrame(rows, columns=["concept", "direction", "rate", "ci_low", "ci_high"])
    (tmp_path / "flips.csv").write_text(csv_text(flips))
    *meaning, head, dog, cat, end = describe_flips(tmp_path, ["dog", "cat"], 0.95)
    assert "95% intervals" in " ".join(meaning) and head.split() == ["concept", "permuted", "appears"] and end == ""
    assert dog.split() == ["dog", "25%", "(20-31)", "50%", "(40-60)"] and cat == "cat"
    curve = pd.DataFrame({"concept": "dog", "value": ["", "1 dog", "2 dog"], "ordered": True, "output": 0})
    curve = curve.assign(score=[-1, 0, 0.5], ci_low=[-1.5, -0.5, 0], ci_high=[-0.5, 0.5, 1])
    (tmp_path / "responses.csv").write_text(csv_text(curve))
    said = " ".join(describe_responses(tmp_path, ["cat", "dog"], 0.95))
    assert "dog: nothing -1.00 (-1.50 to -0.50); 1 dog 0.00 (-0.50 to +0.50); 2 dog +0.50 (0.00 to +1.00)" in said
    (tmp_path / "responses.csv").write_text(csv_text(pd.concat([curve, curve.assign(output=1)])))
    assert describe_responses(tmp_path, ["dog"], 0.95) == []  # of several outputs
