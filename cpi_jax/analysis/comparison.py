"""`Comparison`: what a study of several classifiers has to say, and the files that hold it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cpi_jax.analysis.explanation import Explanation
from cpi_jax.files.csv_files import csv_text, read_csv
from cpi_jax.files.writing import write_atomically
from cpi_jax.report.comparison_text import describe_comparison
from cpi_jax.wording import counted


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a study found of several classifiers that score the same pictures.

    Attributes:
      explanations: of each classifier by name, in the order in which they were given.
      differences: of importances between every pair of them: `classifier` minus `against`, a row for each metric and
        concept, with interval, two-sided p and p corrected over concepts and pairs; empty where there is one classifier.
      workdir: the study's folder, with report.html; comparison.json and differences are in its folder results/, each
        classifier's files in a folder of its name there. None where nothing was kept.
      text: what `summary` says, but for the files.
    """

    explanations: Mapping[str, Explanation]
    differences: pd.DataFrame
    workdir: Path | None
    text: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against any of the explanations."""
        return tuple(dict.fromkeys(warning for own in self.explanations.values() for warning in own.warnings))

    def without_folder(self) -> Comparison:
        """The same where its files are not kept."""
        explanations = {name: own.without_folder() for name, own in self.explanations.items()}
        return dataclasses.replace(self, explanations=explanations, workdir=None)

    def summary(self) -> str:
        """What launch/explain.py prints: rankings side by side, what differs, the checks, and where the files are."""
        return (
            self.text
            if self.workdir is None
            else f"{self.text}\nFiles: {self.workdir}/ (report.html, and a folder for each classifier in results/)"
        )

    def __repr__(self) -> str:
        names, differing = list(self.explanations), self.differences.loc[self.differences["differs"].astype(bool)]
        differ = ", ".join(dict.fromkeys(differing["concept"])) or "none"
        lines = [
            f"{counted(len(names), 'classifier')}: {', '.join(names)}",
            f"concepts whose importance differs: {differ}",
            f"workdir: {self.workdir}" if self.workdir else "",
        ]
        return "\n".join([*filter(None, lines), "summary() says the rest"])


def remove_comparison(folder: Path) -> None:
    """Takes away what compares results that others are about to take the place of, so that no run cut short leaves both."""
    (folder / "comparison.json").unlink(missing_ok=True)


def write_comparison(folder: Path, names: list[str], differences: pd.DataFrame) -> None:
    """Writes comparison.json, which names the classifiers in order, and target_differences.csv."""
    write_atomically(folder / "target_differences.csv", csv_text(differences))
    write_atomically(folder / "comparison.json", json.dumps({"classifiers": names}, indent=2))


def read_comparison(folder: Path, explanations: Mapping[str, Explanation]) -> Comparison:
    """What `write_comparison` wrote there, with the explanations that were read beside it."""
    differences = read_csv(folder / "target_differences.csv")
    return Comparison(explanations, differences, folder.parent, describe_comparison(folder))
