"""What of a study is complete: statistics are made of that alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from cpi_jax.analysis.cases import validate_settings
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError
from cpi_jax.plan.hashes import find_codes
from cpi_jax.plan.make_plan import plan_part
from cpi_jax.plan.record import Plan
from cpi_jax.study import Study
from cpi_jax.wording import counted


@dataclasses.dataclass(frozen=True)
class CompletePart:
    """Examples that are complete in some draws, with their own plan and scores.

    Attributes:
      examples: which ones.
      plan: of these alone.
      scores: of its variants, float32 [D, V, C] by scorer.
      unfinished: of how much of the study this is; None where it is all.
      rows: the examples' places among all, int64 [N].
    """

    examples: Examples
    plan: Plan
    scores: Mapping[str, np.ndarray]
    unfinished: str | None
    rows: np.ndarray


def find_complete_part(study: Study, num_draws: int) -> tuple[CompletePart | None, str]:
    """All draws that are complete, or else the examples that are complete in the first; or why there is nothing.

    Args:
      study: which one.
      num_draws: that the study needs.
    """
    done = study.scores.count_done(num_draws)
    whole = done == study.plan.num_variants
    draws = len(done) if whole.all() else int(np.argmin(whole))
    if draws:
        unfinished = None if whole.all() else f"{draws} of {counted(len(done), 'draw')}"
        everybody = np.arange(len(study.examples))
        return CompletePart(study.examples, study.plan, study.scores.read(draws), unfinished, everybody), ""
    if not done[0]:
        return None, "no example is complete yet"
    scores = study.scores.read(1)
    missing = np.any([np.isnan(table[0]).any(-1) for table in scores.values()], axis=0)
    complete = np.ones(len(study.examples), bool)
    complete[study.plan.variants.example[missing]] = False
    if complete.sum() < 2:
        return None, f"only {counted(complete.sum(), 'example')} of {len(complete):,} complete yet"
    examples = study.examples.take(np.flatnonzero(complete))
    try:
        validate_settings(examples, study.settings)
        plan = plan_part(study.plan, examples, complete, study.settings)
    except InputError as error:
        return None, f"of the {len(examples)} examples that are complete nothing can be said: {error}"
    at = find_codes(plan.codes, study.plan.codes)
    if (at < 0).any() or missing[at].any():
        return None, "a slot with many values is shuffled over all examples, and no draw is complete yet"
    scores = {name: table[:, at] for name, table in scores.items()}
    unfinished = f"{len(examples)} of {len(study.examples)} examples, one draw"
    return CompletePart(examples, plan, scores, unfinished, np.flatnonzero(complete)), ""
