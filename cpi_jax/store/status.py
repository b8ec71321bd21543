"""How far a study is, read from its table and its workers' tallies; nothing is written."""

from __future__ import annotations

import time
from pathlib import Path

from cpi_jax.errors import InputError
from cpi_jax.files.location import find_location
from cpi_jax.store.in_use import find_in_use
from cpi_jax.store.plan_scores import unscored
from cpi_jax.store.store import Store
from cpi_jax.store.workers import read_tallies
from cpi_jax.wording import counted

CURRENT_RULE = "early_stopping/current.json"  # names the file of the stopping rule that holds
STILL_RUNNING = 600  # seconds since a worker's last unit after which it no longer counts


def status(location: str | Path) -> str:
    """Images done of every draw, every worker's rate, and the time left, as text.

    Raises:
      InputError: where there is no study.
    """
    found = find_location(location)
    if not found.startswith("gs://") and not Path(found).is_dir():
        raise InputError(f"there is no folder {location}")
    store = Store.open_existing(location)
    if store is None or not store.num_outputs:
        raise InputError(f"{location} holds no study")
    unit_size, begun = store.unit_size, max(store.units_done(), default=-1) + 1
    in_use = find_in_use(store, store.num_outputs)
    done = [
        int((~unscored({name: scores for name, scores in store.read_draw(draw).items() if name in in_use})).sum())
        for draw in range(begun)
    ]
    draws, variants = store.shape  # where it is being extended, at least what was read
    lines = [
        f"{location}: {counted(variants, 'caption')}, {counted(draws, 'draw')}, {counted(unit_size, 'image')} a work unit"
    ]
    if left_out := sorted(store.num_outputs.keys() - set(in_use)):
        lines.append(f"scores of {', '.join(in_use)}; {', '.join(left_out)} left out, whose scores are kept")
    lines += [f"draw {d}: {n:,} of {variants:,} images" for d, n in enumerate(done)]
    if begun < draws:
        lines.append(f"{counted(draws - begun, 'draw')} not begun")
    rates = []
    for name, tally in read_tallies(store).items():
        ago = time.time() - tally["time"]
        if running := ago < max(STILL_RUNNING, 10 * unit_size / max(tally["rate"], 1e-9)):
            rates.append(tally["rate"])
        lines.append(
            f"worker {name}: {counted(tally['images'], 'image')} in {counted(tally['seconds'] / 60, 'minute', 1)}, "
            f"{tally['rate']:.1f} images/s, last unit {ago:.0f} s ago" + ("" if running else " (not running, or stuck)")
        )
    rule = store.read_note(CURRENT_RULE, str)
    if rule and (decision := store.read_note(rule, sealed=True)):
        lines.append(f"a rule has ended it after {counted(decision['draws'], 'draw')}: {decision['reason']}")
        draws = min(draws, decision["draws"])
    left = draws * variants - sum(done[:draws])
    if left and rates:
        lines.append(
            f"about {counted(left / sum(rates) / 60, 'minute')} left at {sum(rates):.1f} images/s, unless draws end early"
        )
    lines.append(f"{counted(left, 'image')} to make" if left else "all images are there")
    return "\n".join(lines)
