"""What a training's folder says of itself: the configuration it was begun with, and what each export measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from flax.traverse_util import flatten_dict

from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import csv_text, read_csv
from cpi_jax.files.json_files import read_json
from cpi_jax.files.writing import write_atomically

PARTS = ("vae", "denoiser")  # folders of checkpoints
GAIN = 0.001  # of the mean AUROC, from which an export counts as better than those before


def keep_config(config: Mapping[str, Any], workdir: str | Path) -> None:
    """Writes workdir/config.json, or, where checkpoints were made there, compares with it.

    Raises:
      InputError: where the folder was begun with another configuration; names the first field that differs.
    """
    folder = Path(workdir)
    file = folder / "config.json"
    if not (file.exists() and any((folder / part).exists() for part in PARTS)):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(config, indent=2, default=list) + "\n")
        return
    old, new = _flat(read_json(file)), _flat(json.loads(json.dumps(config, default=list)))
    for name in [*old, *new]:
        if old.get(name) != new.get(name):
            raise InputError(
                f"{workdir} holds a training with {name} = {old.get(name)!r}, and it is {new.get(name)!r} now: "
                "choose another --workdir, or the same config"
            )


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    return flatten_dict(config, keep_empty_nodes=True, sep=".")


class Record:
    """workdir/progress.csv: one row for each export.

    Args:
      workdir: of the training.
    """

    def __init__(self, workdir: str | Path):
        self.file = Path(workdir) / "progress.csv"

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Writes what was measured at a step; replaces rows of this and later steps, from before the run was resumed."""
        earlier = self._read()
        row = pd.DataFrame([{"step": step, **values}])
        kept = earlier[earlier.step < step] if len(earlier) else earlier
        write_atomically(self.file, csv_text(pd.concat([kept, row], ignore_index=True)))

    def settled(self, patience: int, name: str) -> bool:
        """Whether the last `patience` rows are no better in a column than the best row before them; 0: never."""
        values = self._read().get(name, [])
        if not patience or len(values) <= patience:
            return False
        return max(values[-patience:]) <= max(values[:-patience]) + GAIN

    def _read(self) -> pd.DataFrame:
        if not self.file.exists():
            return pd.DataFrame()
        try:
            return read_csv(self.file)
        except ValueError as error:  # also of no columns, ragged rows, other bytes than text
            raise InputError(f"{self.file} is damaged: {error}; move it away, and the training goes on") from None
