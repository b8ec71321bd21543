"""The results of a study that was made before, read from its folder; nothing is opened, generated or evaluated."""

from __future__ import annotations

import json
from pathlib import Path

from cpi_jax.analysis.comparison import Comparison, read_comparison
from cpi_jax.analysis.explanation import Explanation, read_explanation
from cpi_jax.analysis.finished import describe_changed, is_there
from cpi_jax.errors import InputError, nearest

_RESULTS, _COMPARED, _STUDY = "importance.json", "comparison.json", "study.json"


def read_study(workdir: str | Path) -> Explanation | Comparison:
    """Reads what a study found, as `explain` returned it, from the files that it wrote.

    Of several classifiers that is a `Comparison`.

    They are of what was complete when they were written: `Explanation.unfinished` says of how much. launch/report.py
    evaluates what came since. The example of `explain` reads its study.

    Args:
      workdir: the study's folder, on this machine.

    Raises:
      InputError: for a folder that holds no study, or no results yet, files that were changed or damaged since they were
        written, or those of another version of this package; names the mend.
    """
    if str(workdir).startswith("gs://"):
        raise InputError(f"{workdir} is in a bucket: copy the folder here first, as with gcloud storage rsync")
    folder = Path(workdir).expanduser()
    again = f"`python launch/report.py --workdir={folder}` makes them again"
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        raise InputError(f"there is no folder {folder}{nearest(folder.name, beside)}")
    several = folder / "results"
    if not ((folder / _RESULTS).is_file() or (several / _COMPARED).is_file()):
        if not (folder / _STUDY).is_file():
            raise InputError(f"{folder} holds no study: there is no {_STUDY} in it")
        raise InputError(
            f"{folder} holds no results yet: `python launch/report.py --workdir={folder}` evaluates what is complete"
        )
    try:
        if not (several / _COMPARED).is_file():
            return _read(folder)
        names = json.loads((several / _COMPARED).read_text(encoding="utf-8"))["classifiers"]
        _validate_unchanged(several)
        return read_comparison(several, {name: _read(several / name) for name in names})
    except InputError as error:
        raise InputError(f"{error}: {again}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # of an earlier version, or damaged
        raise InputError(f"the results in {folder} cannot be read ({type(error).__name__}: {error}): {again}") from None


def _read(folder: Path) -> Explanation:
    _validate_unchanged(folder)
    return read_explanation(folder)


def _validate_unchanged(folder: Path) -> None:
    if is_there(folder) and (changed := describe_changed(folder)):
        raise InputError(f"{changed} in {folder} since the study's results were written")
