"""Orbax checkpoints as numpy arrays, wherever they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from cpi_jax.errors import InputError

_METADATA = "_METADATA"
_ITEM = "default"  # the folder of the item that `CheckpointManager` saves without a name


def is_orbax(folder: str | Path) -> bool:
    """Whether a folder looks like an orbax checkpoint."""
    return (Path(folder) / _METADATA).is_file() or (Path(folder) / _ITEM).is_dir()


def read_orbax(folder: str | Path) -> dict[str, Any]:
    """All of a checkpoint as numpy arrays.

    Args:
      folder: of the checkpoint; of a `CheckpointManager`, that of one step.

    Raises:
      InputError: where there is none.
    """
    folder = Path(folder).absolute()
    folder = folder / _ITEM if (folder / _ITEM).is_dir() else folder
    if not (folder / _METADATA).is_file():
        steps = sorted((int(child.name) for child in folder.glob("*") if child.name.isdigit()), reverse=True)
        hint = f"; name one of its steps, such as {folder / str(steps[0])}" if steps else ""
        raise InputError(f"there is no orbax checkpoint at {folder}{hint}")
    import orbax.checkpoint as ocp  # only here: it takes a while to import

    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = checkpointer.metadata(folder).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return checkpointer.restore(folder, ocp.args.PyTreeRestore(restore_args=as_numpy))
