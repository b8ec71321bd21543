"""`Explanation`: what a study has to say, as records, tables and text, and the files that hold it."""

from __future__ import annotations

import collections
import dataclasses
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import csv_text, read_csv
from cpi_jax.files.writing import write_atomically
from cpi_jax.report.page.page import write_page
from cpi_jax.report.text import describe_files, describe_results
from cpi_jax.statistics.record import Importance
from cpi_jax.wording import html_paragraphs

TABLES = (
    "flips",
    "responses",
    "gaps",
    "differences",
    "shares",
    "sign_tests",
    "corrected",
)  # fields that hold a table, or None: each is a file NAME.csv


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a study found.

    Attributes:
      importance: signed importances with intervals, p-values, ranks and verdicts.
      table: the same as a tidy frame.
      checks: effective generation and independent permutation, one row per comparison.
      interactions: of the pairs that were asked for; None where none was.
      subgroups: importances within each content of the subgroup column.
      stopped: why the draws ended before the most that were allowed; None where they did not.
      unfinished: of how much of the study all this is; None where it is of all.
      workdir: where the files are; None where nothing was kept.
      notes: what was known before anything was generated: how the data were read, what the scorers are worth on the real
        images, what the captions alone tell of the label.
      text: what `summary` says, but for the files.
      local: changes of every single picture's score and losses (`local_changes`), with names and texts; None where the
        settings or their number leave them out.
      flips: how often changing each concept flips the decision, by direction.
      responses: the mean score at each content of each concept.
      gaps: between groups of a column or concept, and what of them comes from each concept, where they are asked for.
      differences: of importances between subgroups, where there are two at least.
      shares: importances as shares of what the target knows, where they are asked for.
      sign_tests: exact tests of the median loss that permuting each concept adds to single examples.
      corrected: importances on true counterfactuals, where a few are given (`Settings.true_pairs`).
    """

    importance: Importance
    table: pd.DataFrame
    checks: pd.DataFrame
    interactions: Importance | None
    subgroups: Mapping[str, Importance]
    stopped: str | None
    unfinished: str | None
    workdir: Path | None
    notes: tuple[str, ...] = ()
    text: str = ""
    local: pd.DataFrame | None = None
    flips: pd.DataFrame | None = None
    responses: pd.DataFrame | None = None
    gaps: pd.DataFrame | None = None
    differences: pd.DataFrame | None = None
    shares: pd.DataFrame | None = None
    sign_tests: pd.DataFrame | None = None
    corrected: pd.DataFrame | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against it."""
        return self.importance.warnings

    def without_folder(self) -> Explanation:
        """The same where its files are not kept."""
        return dataclasses.replace(self, workdir=None)

    def summary(self) -> str:
        """What launch/explain.py prints: the ranking, the checks, what is claimed, and where the files are."""
        return self.text if self.workdir is None else f"{self.text}\n{describe_files(self.workdir)}"

    def report(self, path: str | Path = "report.html") -> Path:
        """Writes report.html: answer, checks, ranking, pictures and methods as one page that needs nothing else.

        A study in a folder of this machine has one there already.

        Args:
          path: the file to write.

        Returns:
          The file's path.

        Raises:
          InputError: where nothing was kept to make it of, or the file cannot be written.
        """
        if self.workdir is None:
            raise InputError("no file of this study was kept to make a page of: give explain a workdir")
        return write_page({"": self.workdir}, path)

    def __repr__(self) -> str:
        return "\n".join([repr(self.importance), *self._facts(), "summary() says the rest"])

    def _repr_html_(self) -> str:
        """What notebooks show: the ranking, what is known of it, and the summary to be opened."""
        table = self.table.loc[self.table["metric"] == self.importance.metrics[0]]
        summary = f"<details><summary>summary()</summary><pre>{html.escape(self.summary())}</pre></details>"
        return "\n".join([self.importance.ranking_html(table), html_paragraphs(self._facts()), summary])

    def _facts(self) -> list[str]:
        verdicts = collections.Counter(self.checks.get("verdict", ()))
        notes = {
            "checks": ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items()) or "none",
            "stopped": self.stopped,
            "unfinished": self.unfinished,
            "subgroups": ", ".join(self.subgroups),
            "workdir": self.workdir,
        }
        return [f"{name}: {note}" for name, note in notes.items() if note]


def write_explanation(folder: Path, explanation: Explanation, skipped: Sequence[str]) -> None:
    """Writes importance.json, importance.csv, checks.csv and the tables that there are besides.

    Args:
      folder: of the results.
      explanation: to write.
      skipped: concepts that never vary.
    """
    tables = {"importance": explanation.table, "checks": explanation.checks}
    if explanation.interactions is not None:
        tables["interactions"] = explanation.interactions.to_frame()
    if explanation.subgroups:
        frames = [record.to_frame().assign(subgroup=name) for name, record in explanation.subgroups.items()]
        tables["subgroups"] = pd.concat(frames, ignore_index=True)
        if (differences := explanation.differences) is not None:
            marked = _marked(differences)
            subgroups = tables["subgroups"]
            keys = zip(subgroups["subgroup"], subgroups["metric"], subgroups["concept"])
            tables["subgroups"] = subgroups.assign(differs=[key in marked for key in keys])
    tables |= {name: table for name in TABLES if (table := getattr(explanation, name)) is not None}
    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", csv_text(table))
    for name in {"interactions", "subgroups", *TABLES} - set(tables):  # of other settings
        (folder / f"{name}.csv").unlink(missing_ok=True)
    local = folder / "local.parquet"
    if explanation.local is None:
        local.unlink(missing_ok=True)
    else:
        content = io.BytesIO()
        explanation.local.to_parquet(content, index=False)
        write_atomically(local, content.getvalue())
    content = {
        "importance": json.loads(explanation.importance.to_json()),
        "interactions": None if explanation.interactions is None else json.loads(explanation.interactions.to_json()),
        "subgroups": {name: json.loads(record.to_json()) for name, record in explanation.subgroups.items()},
        "notes": list(explanation.notes),
        "skipped": list(skipped),
        "stopped": explanation.stopped,
        "unfinished": explanation.unfinished,
    }
    write_atomically(folder / "importance.json", json.dumps(content, indent=2))


def _marked(differences: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Subgroup, metric and concept of importances that are shown to differ from those of some other subgroup."""
    rows = differences.loc[differences["differs"]]
    return {key for side in ("group", "against") for key in zip(rows[side], rows["metric"], rows["concept"])}


def read_explanation(folder: Path) -> Explanation:
    """What `write_explanation` wrote there."""
    content = json.loads((folder / "importance.json").read_text(encoding="utf-8"))
    pairs, local = content["interactions"], folder / "local.parquet"
    tables = {name: read_csv(path) for name in TABLES if (path := folder / f"{name}.csv").exists()}
    return Explanation(
        Importance.from_json(content["importance"]),
        read_csv(folder / "importance.csv"),
        read_csv(folder / "checks.csv"),
        None if pairs is None else Importance.from_json(pairs),
        {name: Importance.from_json(record) for name, record in content["subgroups"].items()},
        content["stopped"],
        content["unfinished"],
        folder,
        tuple(content["notes"]),
        describe_results(folder),
        pd.read_parquet(local) if local.exists() else None,
        **tables,
    )
