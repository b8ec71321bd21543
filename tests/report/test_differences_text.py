"""Importances that differ between subgroups are listed, and marked in the plot."""

import pandas as pd

from cpi_jax.files.csv_files import csv_text
from cpi_jax.report.differences_text import concepts_that_differ, describe_differences


def test_differences_are_listed_the_surest_first(tmp_path):
    assert describe_differences(tmp_path, "auroc", 0.95) == [] and concepts_that_differ(tmp_path, "auroc") == (
        "",
        set(),
    )
    rows = [("dog", 0.1, 0.03, True), ("cat", -0.2, 0.001, True), ("tv", 0.01, 0.7, False)]
    table = pd.DataFrame(rows, columns=["concept", "difference", "p", "differs"]).assign(p_holm=lambda t: 2 * t.p)
    table = table.assign(between="site", group="south", against="north", metric="auroc", ci_low=0.0, ci_high=0.2)
    (tmp_path / "differences.csv").write_text(csv_text(table))
    meaning, head, cat, dog, end = describe_differences(tmp_path, "auroc", 0.95)
    assert (
        "differ between subgroups of site" in meaning
        and head.split()[:3] == ["concept", "site", "difference"]
        and end == ""
    )
    assert cat.split()[:5] == ["cat", "south", "minus", "north", "-0.2000"] and dog.startswith("dog") and ".0020" in cat
    assert concepts_that_differ(tmp_path, "auroc") == ("site", {"dog", "cat"})
    (tmp_path / "differences.csv").write_text(csv_text(table.assign(differs=False)))
    assert "No importance is shown to differ" in " ".join(describe_differences(tmp_path, "auroc", 0.95))
