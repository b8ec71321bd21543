"""Our own CSV files give back what was written, whatever concepts are called."""

import csv

import numpy as np
import pandas as pd

from cpi_jax.files.csv_files import csv_text, read_csv

NAMES = (
    "null", "NaN", "None", "NA", "nan", "inf", "1", "007", "1e5", "True", "$x^$", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1",
    "\r=1", "\n=1", "＝1", " =1", "'", "'=1", "''", "it's", 'say "dog"', '"dog"', "a,b", "a\nb", "a\r\nb", "a\rb", " dog",
    "dog ", " ", "", "a/b", "x" * 300, "🐕", "كلب", "<script>alert(1)</script>", "control: x", "a + b", "a x b",
    "importance.csv",
)  # fmt: skip


def test_every_text_and_number_comes_back(tmp_path):
    numbers = np.linspace(-1, 1, len(NAMES)) / 3
    numbers[3] = np.nan
    columns = {
        "concept": np.array(NAMES, object),
        "importance": numbers,
        "single": numbers.astype(np.float32),
        "rank": np.arange(len(NAMES)),
        "rank_valid": np.arange(len(NAMES)) % 2 == 0,
    }
    frame = pd.DataFrame(columns | {f"outranks {name}": numbers for name in NAMES} | dict.fromkeys(NAMES, numbers))
    file = tmp_path / "table.csv"
    file.write_text(csv_text(frame), encoding="utf-8", newline="")
    again = read_csv(file)
    assert again.concept.tolist() == list(NAMES) and again.columns.tolist() == frame.columns.tolist()
    np.testing.assert_array_equal(again.importance, numbers)
    np.testing.assert_array_equal(again.single.to_numpy(np.float32), frame.single)
    assert again["rank"].dtype == int and again.rank_valid.dtype == bool
    np.testing.assert_array_equal(again["outranks NaN"], numbers)
    # What a spreadsheet sees: no cell of text begins like a formula.
    with open(file, encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    texts = [*header, *(row[0] for row in rows)]
    assert not [text for text in texts if text.lstrip(" ")[:1] in tuple("=+-@\t\r\n＝＋－＠")]


def test_missing_text_is_empty_and_a_table_may_have_no_rows(tmp_path):
    file = tmp_path / "checks.csv"
    checks = pd.DataFrame({"permuted": [np.nan, "null"], "change": [np.nan, 0.5], "advice": ["", "=more"]})
    file.write_text(csv_text(checks))
    again = read_csv(file)
    assert again.permuted.tolist() == ["", "null"] and again.advice.tolist() == ["", "=more"]
    file.write_text(csv_text(checks[:0]))
    assert len(read_csv(file)) == 0 and "permuted" in read_csv(file)
