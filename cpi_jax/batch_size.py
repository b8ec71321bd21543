"""How many images at once: doubled until memory is out or throughput no longer grows; remembered per kind of device."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from cpi_jax.cache import cache_folder
from cpi_jax.errors import InputError
from cpi_jax.store import write_atomically

WORTH_DOUBLING = 1.05  # growth of throughput below which a larger batch is not taken
SMALLEST, LARGEST = 4, 512  # images a device


def find_batch_size(
    dispatch: Callable[[int, np.ndarray], object], num_variants: int, devices: Sequence[jax.Device], name: str
) -> int:
    """The batch size of each device; tries each twice, to compile and to time.

    Args:
      dispatch: (draw, variants) -> device arrays.
      num_variants: of the plan; a batch beyond it is not tried.
      devices: that share a batch.
      name: of generator and scorers, under which the answer is remembered.

    Raises:
      InputError: where not even the smallest fits into memory.
    """
    path = cache_folder() / "batch_sizes.json"
    key = f"{len(devices)} x {devices[0].device_kind}: {name}"
    held = json.loads(path.read_text()) if path.exists() else {}
    if key in held:
        return held[key]
    best, best_rate, size = SMALLEST, 0.0, SMALLEST
    while size <= LARGEST and (size == SMALLEST or size * len(devices) <= num_variants):
        rate = _throughput(dispatch, np.arange(size * len(devices)) % num_variants)
        print(f"batch of {size} a device: {rate:.2f} images/s", file=sys.stderr, flush=True)
        if not rate or rate < WORTH_DOUBLING * best_rate:
            break
        best, best_rate, size = size, rate, 2 * size
    if not best_rate:
        raise InputError(f"{best} images at once do not fit into the memory of a {devices[0].device_kind}")
    path.parent.mkdir(parents=True, exist_ok=True)
    held = json.loads(path.read_text()) if path.exists() else {}
    write_atomically(path, json.dumps(held | {key: best}, indent=1))
    return best


def _throughput(dispatch, variants: np.ndarray) -> float:
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
