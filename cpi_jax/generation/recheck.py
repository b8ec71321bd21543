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
from cpi_jax.generation.batches import BatchScorer
from cpi_jax.store.identity import source_hash
from cpi_jax.store.plan_scores import PlanScores
from cpi_jax.store.store import Store
from cpi_jax.store.workers import running
from cpi_jax.wording import scorer_called

ROWS = 16  # that are generated again, of the first and of the last draw that is begun
# Another device, batch or release of JAX moves logits of fp32 samplers by 2e-4 (BUILD_NOTES.md), of bf16 or TF32 by more,
# and a pixel of a host classifier by 1/255; an edit that moves less than this moves no importance that counts.
TOLERANCE = 0.05  # standard deviations of an output's scores
ABSOLUTE = 1e-3
FEW = 8  # one row in so many may differ by more: a decision at its threshold
_FILE = "sources.json"


def recheck_finished(scorer: BatchScorer, scores: PlanScores, num_draws: int) -> None:
    """Scores a few finished rows again, where some are left to generate or the source of a function changed.

    Args:
      scorer: makes and scores the images of the study to go on with.
      scores: that there are; nothing happens where the store is readonly.
      num_draws: that the study needs.

    Raises:
      InputError: where the scores differ by more than `TOLERANCE`; names the scorer, the example and both scores.
    """
    store = scores.store
    if store.readonly:
        return
    sources = {name: source_hash(f) for name, f in {"generator": scorer.generator, **scorer.scorers}.items()}
    known = read_sources(store)
    known = None if known is None else {**sources, **known}  # one that is new has no scores to compare
    edited = [name for name in sources if known is not None and known[name] != sources[name]]
    sources = {**(known or {}), **sources}
    missing = [list(scores.missing_of(draw).values()) for draw in range(num_draws)]
    if begun := [draw for draw, tables in enumerate(missing) if not np.all(tables)]:
        if not np.any(missing) and known == sources:
            return
        for draw in sorted({begun[0], begun[-1]}):
            _compare(scorer, scores, draw, edited)
    elif edited and running(store):
        raise InputError(
            f"a worker that runs in {store.location} has another source of the {scorer_called(edited[0])}: end it, or "
            "choose another --workdir"
        )
    if read_sources(store) != sources:
        store.write(_FILE, json.dumps(sources, indent=2))


def read_sources(store: Store) -> dict[str, str] | None:
    """Hashes of the sources that the store's scores are of, by name; None where nothing says so."""
    return store.read_note(_FILE)


def _compare(scorer: BatchScorer, scores: PlanScores, draw: int, edited: list[str]) -> None:
    tables = {name: table[scores.rows] for name, table in scores.store.read_draw(draw).items()}
    order = scores.in_order()
    finished = {name: order[np.isfinite(table[order]).all(-1)] for name, table in tables.items()}  # not alike in all
    samples = [rows[np.linspace(0, len(rows) - 1, ROWS).astype(int)] for rows in finished.values() if len(rows)]
    rendered = np.unique(np.concatenate(samples))
    _, all_again = scorer.render(rendered, draw)
    for name, table in tables.items():
        of_table = np.isin(rendered, finished[name])
        if not of_table.any():  # yet to be added
            continue
        chosen, again = rendered[of_table], all_again[name][of_table]
        apart = np.abs(again - table[chosen])
        allowed = TOLERANCE * table[finished[name]].std(0) + ABSOLUTE
        if (apart > allowed).any(1).sum() <= len(chosen) // FEW:
            continue
        row, output = np.unravel_index(np.argmax(apart / allowed), apart.shape)
        which = f" (output {output})" if apart.shape[1] > 1 else ""
        hidden = "something that the source does not show, such as a file that it reads, was changed"
        sources = " and the ".join(map(scorer_called, edited))
        reason = f"the source of the {sources} was edited" if edited else hidden
        example = name_example(scorer.plan, scorer.example_ids, chosen[row])
        raise InputError(
            f"the {scorer_called(name)} scores {example} {again[row, output]:.4g} now and {scores.store.location} holds "
            f"{table[chosen[row], output]:.4g}{which}: {reason}, so choose another --workdir"
        )
