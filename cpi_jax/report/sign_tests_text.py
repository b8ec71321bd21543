"""Exact sign tests as lines of text, where there are few examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.lines import MOST, and_more, wrapped
from cpi_jax.wording import NAME, aligned, in_a_line, p_value, percent, signed


def describe_sign_tests(workdir: Path, concepts: Sequence[str], level: float) -> list[str]:
    """Tests of the log loss where a class has few examples; none elsewhere, or without sign_tests.csv."""
    if not (workdir / "sign_tests.csv").exists():
        return []
    tests = read_csv(workdir / "sign_tests.csv")
    if tests.empty or not tests["few"].any():
        return []
    tests = tests.loc[tests["loss"] == "log_loss"].set_index("concept").loc[list(concepts[:MOST])]
    shown = pd.DataFrame(
        {
            "concept": [in_a_line(concept, NAME) for concept in tests.index],
            "losses that rise": [f"{above} of {units}" for above, units in zip(tests["above"], tests["units"])],
            "median": [signed(median) for median in tests["median"]],
            f"{percent(level)} interval": [
                f"{signed(low)} to {signed(high)}" for low, high in zip(tests["ci_low"], tests["ci_high"])
            ],
            "p": [p_value(p) for p in tests["p"]],
            "holm": [p_value(p) if p == p else "" for p in tests["p_holm"]],
        }
    )
    meaning = (
        "With so few examples of a class, look at the exact sign tests too: of the log loss that permuting adds to single "
        "examples, they are about the median, not the mean that an importance is (sign_tests.csv)"
    )
    return [*wrapped(meaning), *aligned(shown).split("\n"), *and_more(len(concepts), "sign_tests.csv"), ""]
