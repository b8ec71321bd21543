"""The results of a study that was made before, read from its folder; nothing is opened, generated or evaluated."""

from __future__ import annotations

from pathlib import Path

from cpi_jax.analysis.explanation import Explanation, read_explanation
from cpi_jax.analysis.finished import describe_changed, is_there
from cpi_jax.errors import InputError, nearest

_RESULTS, _STUDY = "importance.json", "study.json"


def read_study(workdir: str | Path) -> Explanation:
    """Reads what a study found, as `explain` returned it, from the files that it wrote.

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
    if not (folder / _RESULTS).is_file():
        if not (folder / _STUDY).is_file():
            raise InputError(f"{folder} holds no study: there is no {_STUDY} in it")
        raise InputError(
            f"{folder} holds no results yet: `python launch/report.py --workdir={folder}` evaluates what is complete"
        )
    if is_there(folder) and (changed := describe_changed(folder)):
        raise InputError(f"{changed} in {folder} since the study's results were written: {again}")
    try:
        return read_explanation(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # of an earlier version, or damaged
        reason = error.args[0] if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise InputError(f"the results in {folder} cannot be read ({reason}): {again}") from None
