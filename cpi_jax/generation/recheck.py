"""A folder that holds scores: are they those of the functions that are here now?

A host function is known by its name, a Flax module or a generator of the user by its weights: whether their code was
edited since only their scores tell. A few finished rows are therefore generated and scored again before others are
added. The hash of the source says when a finished study needs that too, and names the reason.
"""

from __future__ import annotations

import json

import numpy as np

from cpi_jax.errors import InputError
from cpi_jax.generation.batch_checks import name_example
from cpi_jax.store.identity import source_hash
from cpi_jax.store.store import Store
from cpi_jax.store.workers import running
from cpi_jax.study import Study, render

ROWS = 16  # that are generated again
# Another device, batch or release of JAX moves logits of fp32 samplers by 2e-4 (BUILD_NOTES.md), of bf16 or TF32 by more,
# and a pixel of a host classifier by 1/255; an edit that moves less than this moves no importance that counts.
TOLERANCE = 0.05  # standard deviations of an output's scores
ABSOLUTE = 1e-3
FEW = 8  # one row in so many may differ by more: a decision at its threshold
_FILE = "sources.json"


def check_finished(study: Study, num_draws: int) -> None:
    """Scores a few finished rows again, where some are left to generate or the source of a function changed.

    Args:
      study: to go on with; nothing happens where its store is readonly.
      num_draws: that the study needs.

    Raises:
      InputError: where the scores differ by more than `TOLERANCE`; names the scorer, the example and both scores.
    """
    if study.store.readonly:
        return
    sources = {name: source_hash(f) for name, f in {"generator": study.generator, **study.scorers}.items()}
    held = read_sources(study.store)
    edited = [name for name in sources if held is not None and held.get(name) != sources[name]]
    done = study.count_done()
    whole = done[:num_draws].sum() == num_draws * study.plan.num_variants
    if done.any():
        if whole and held == sources:
            return
        _compare(study, int(np.argmax(done > 0)), edited)
    elif edited and running(study.store):
        raise InputError(
            f"a worker that runs in {study.store.location} has another source of the {edited[0]}: end it, or choose "
            "another --workdir"
        )
    if held != sources:
        study.store.write(_FILE, json.dumps(sources, indent=2))


def read_sources(store: Store) -> dict[str, str] | None:
    """Hashes of the sources that the store's scores are of, by name; None where nothing says so."""
    return store.read_json(_FILE)


def _compare(study: Study, draw: int, edited: list[str]) -> None:
    tables = {name: table[study.rows] for name, table in study.store.read_draw(draw).items()}
    finished = np.flatnonzero(np.all([np.isfinite(table).all(-1) for table in tables.values()], axis=0))
    order = finished[np.argsort(study.rows[finished], kind="stable")]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, ROWS).astype(int))]
    _, again = render(study, chosen, draw)
    for name, table in tables.items():
        apart = np.abs(again[name] - table[chosen])
        allowed = TOLERANCE * table[finished].std(0) + ABSOLUTE
        if (apart > allowed).any(1).sum() <= len(chosen) // FEW:
            continue
        row, output = np.unravel_index(np.argmax(apart / allowed), apart.shape)
        which = f" (output {output})" if apart.shape[1] > 1 else ""
        hidden = "something that the source does not show, such as a file that it reads, was changed"
        reason = f"the source of the {' and the '.join(edited)} was edited" if edited else hidden
        raise InputError(
            f"the {name} scores {name_example(study.plan, study.examples, chosen[row])} {again[name][row, output]:.4g} now "
            f"and {study.store.location} holds {table[chosen[row], output]:.4g}{which}: {reason}, so choose another "
            "--workdir"
        )
