"""How many images at once: doubled until memory is out or throughput no longer grows; remembered per kind of device."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cpi_jax.cache import cache_folder
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import parse_json
from cpi_jax.files.writing import write_atomically
from cpi_jax.generation.sharding import Device

WORTH_DOUBLING = 1.05  # growth of throughput below which a larger batch is not taken
SMALLEST, LARGEST = 4, 512  # images a device


def find_batch_size(
    dispatch: Callable[[int, np.ndarray], object], num_variants: int, devices: Sequence[Device], name: str
) -> int:
    """The batch size of each device, which is remembered; tries each twice, to compile and to time.

    Args:
      dispatch: (draw, variants) -> device arrays.
      num_variants: of the plan; a batch beyond it is not tried.
      devices: that share a batch.
      name: of the programs, under which the answer is remembered.

    Raises:
      InputError: where not even the smallest fits into memory.
    """
    if known := known_batch_size(devices, name):
        return known
    best, best_rate, size = SMALLEST, 0.0, SMALLEST
    while size <= LARGEST and (size == SMALLEST or size * len(devices) <= num_variants):
        rate = _throughput(dispatch, np.arange(size * len(devices)) % num_variants)
        print(f"batch of {size} a device: {rate:.2f} images/s", file=sys.stderr, flush=True)
        if not rate or rate < WORTH_DOUBLING * best_rate:
            break
        best, best_rate, size = size, rate, 2 * size
    if not best_rate:
        raise InputError(f"{best} images at once do not fit into the memory of a {devices[0].device_kind}")
    path = _remembered()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(_known() | {_key(devices, name): best}, indent=1))
    return best


def known_batch_size(devices: Sequence[Device], name: str) -> int:
    """What was found earlier; 0 where nothing was."""
    size = _known().get(_key(devices, name), 0)
    return size if type(size) is int and 0 < size <= LARGEST else 0


def _known() -> dict[str, Any]:
    """All that was found; nothing where the file is damaged."""
    try:
        return parse_json(_remembered().read_bytes())
    except (OSError, ValueError):
        return {}


def _remembered() -> Path:
    return cache_folder() / "batch_sizes.json"


def _key(devices: Sequence[Device], name: str) -> str:
    return f"{len(devices)} x {devices[0].device_kind}: {name}"


def _throughput(dispatch: Callable[[int, np.ndarray], object], variants: np.ndarray) -> float:
    """Images a second; 0 where they do not fit into memory."""
    try:
        jax.block_until_ready(dispatch(0, variants))
        started = time.monotonic()
        jax.block_until_ready(dispatch(0, variants))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return 0.0
    return len(variants) / (time.monotonic() - started)
