"""How far a study is, read from the names of its chunks and its workers' tallies; nothing is written."""

from __future__ import annotations

import json
import time
from pathlib import Path

from cpi_jax.errors import InputError
from cpi_jax.store import Store
from cpi_jax.workers import read_tallies

STILL_RUNNING = 600  # seconds since a worker's last unit after which it no longer counts


def status(location: str | Path) -> str:
    """Units done of every draw, every worker's rate, and the time left, as text.

    Raises:
      InputError: where there is no study.
    """
    if not str(location).startswith("gs://") and not Path(location).is_dir():
        raise InputError(f"there is no folder {location}")
    store = Store(location, readonly=True)
    table = store.read("scores.zarr/target/zarr.json")
    if table is None:
        raise InputError(f"{location} holds no study")
    table = json.loads(table)
    draws, variants, _ = table["shape"]
    unit_size = table["chunk_grid"]["configuration"]["chunk_shape"][1]
    units, done = -(-variants // unit_size), store.units_done()
    lines = [f"{location}: {variants:,} variants in {draws} draws, {units:,} units of {unit_size} a draw"]
    lines += [f"draw {d}: {len(done.get(d, ())):,} of {units:,} units written" for d in range(draws)]
    rates = []
    for name, tally in read_tallies(store).items():
        ago = time.time() - tally["time"]
        if running := ago < max(STILL_RUNNING, 10 * unit_size / max(tally["rate"], 1e-9)):
            rates.append(tally["rate"])
        lines.append(
            f"worker {name}: {tally['images']:,} images in {tally['seconds'] / 60:.1f} minutes, "
            f"{tally['rate']:.1f} images/s, last unit {ago:.0f} s ago" + ("" if running else " (not running, or stuck)")
        )
    left = (draws * units - sum(len(done.get(d, ())) for d in range(draws))) * unit_size
    if left and rates:
        lines.append(
            f"about {left / sum(rates) / 60:.0f} minutes left at {sum(rates):.1f} images/s, unless draws end early"
        )
    if not left:
        lines.append("every unit is written")
    for name in store.names("early_end/"):
        ended, reason = json.loads(store.read(name))
        lines.append(f"ends after {ended} draws: {reason}")
    return "\n".join(lines)
