"""The files of one classifier's results, read for the page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import read_csv

_TABLES = ("flips", "responses", "gaps", "differences", "shares", "sign_tests", "interactions", "subgroups")


@dataclasses.dataclass(frozen=True)
class Results:
    """What the folder of one classifier's results holds.

    Attributes:
      folder: where it is.
      importance: the table of importances, one row a metric and concept.
      checks: of validity, one row a comparison.
      tables: the other tables that there are, by name.
      content: of importance.json.
      provenance: with what the study was made, and what it took.
      config: of the study; empty where it had none.
      shown: of images/shown.json: which pictures are shown; None where there are none.
    """

    folder: Path
    importance: pd.DataFrame
    checks: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    content: Mapping[str, Any]
    provenance: Mapping[str, Any]
    config: Mapping[str, Any]
    shown: Mapping[str, Any] | None

    @property
    def record(self) -> Mapping[str, Any]:
        """The importances as importance.json has them."""
        return self.content["importance"]

    @property
    def metric(self) -> str:
        """The one that ranks."""
        return self.record["metrics"][0]

    @property
    def level(self) -> float:
        """Of the intervals."""
        return self.record["level"]

    def ranking(self, metric: str = "") -> pd.DataFrame:
        """The importances by one metric, the most important concept first."""
        rows = self.importance.loc[self.importance["metric"] == (metric or self.metric)]
        return rows.sort_values("importance", ascending=False, kind="stable")

    def local(self) -> pd.DataFrame | None:
        """Changes of single pictures; None where they were not kept."""
        path = self.folder / "local.parquet"
        return pd.read_parquet(path) if path.exists() else None


def read_results(folder: Path) -> Results:
    """Reads what `write_explanation` and others wrote there.

    Raises:
      InputError: for a folder without results, or with those of a release whose files were others.
    """
    if not (folder / "importance.json").exists():
        raise InputError(f"there are no results in {folder} yet: launch/report.py --workdir={folder} makes them")
    try:
        content, provenance = _json(folder / "importance.json"), _json(folder / "provenance.json")
        results = Results(
            folder=folder,
            importance=read_csv(folder / "importance.csv"),
            checks=read_csv(folder / "checks.csv"),
            tables={name: read_csv(path) for name in _TABLES if (path := folder / f"{name}.csv").exists()},
            content=content,
            provenance=provenance,
            config=next((_json(path) for path in _configs(folder) if path.exists()), {}),
            shown=_json(path) if (path := folder / "images" / "shown.json").exists() else None,
        )
        _ = results.ranking()[["concept", "rank_low", "p_holm", "verdict"]], results.level, content["notes"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"the results in {folder} are damaged or of an earlier release ({type(error).__name__}: {error}): "
            f"launch/report.py --workdir={folder} makes them anew"
        ) from error
    return results


def _configs(folder: Path) -> tuple[Path, Path]:
    """Where the study's configuration may be: beside the results, or above those of one of several classifiers."""
    return folder / "config.json", folder.parent.parent / "config.json"


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
