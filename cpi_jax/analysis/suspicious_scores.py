"""What scores look like that is reason to warn: decisions, probabilities read as logits, pictures that change nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cpi_jax.analysis.chance import warn_generated
from cpi_jax.classifiers.scorer import HostScorer, Scorer, to_logits
from cpi_jax.classifiers.scores import MULTICLASS, are_probabilities
from cpi_jax.data.examples import Examples
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.wording import scorer_called


def warn_of_pictures(
    name: str, plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings
) -> Iterator[str]:
    """What a target's logits [D, V, C] of generated pictures are reason to warn of."""
    own = np.asarray(plan.baseline)
    yield from warn_generated(scores[0, own], name, examples, settings)
    if (scores == scores[:, own[np.asarray(plan.variants.example)]]).all():
        yield (
            f"no permuted caption changes any score of the {scorer_called(name)}: see whether the generator reads its "
            f"captions, and whether the {scorer_called(name)} looks at the pictures"
        )


def warn_of_scores(name: str, scores: np.ndarray, scorer: Scorer | HostScorer) -> Iterator[str]:
    """What a scorer's scores [N, C] or [D, V, C] are reason to warn of."""
    if scores.min() >= 0 and scores.max() <= 1:
        yield from _warn_of_range(name, scores, scorer)
    if name == "detector" and scores.ndim == 3:
        yes = (to_logits(scores, scorer) > 0).reshape(-1, scores.shape[-1])
        if blind := np.flatnonzero(yes.all(0) | ~yes.any(0)).tolist():
            yield (
                "the detector gives one decision (score > 0, or not) for all images about concept "
                f"{', '.join(map(str, blind))}, counted from 0: what leaks into it cannot be seen"
            )


def _warn_of_range(name: str, scores: np.ndarray, scorer: Scorer | HostScorer) -> Iterator[str]:
    """What scores look like that all lie in [0, 1]."""
    called = scorer_called(name)
    if np.isin(scores, (0, 1)).all():
        yield f"every score of the {called} is 0 or 1, as decisions are: nothing says how sure it is"
    elif scorer.probabilities:
        return
    elif are_probabilities(scores):
        yield (
            f"the scores of the {called} lie in [0, 1] and sum to 1 for every image, as probabilities do, and are read as "
            "logits: say probabilities=True"
        )
    elif scorer.task == MULTICLASS and scores.shape[-1] > 1:
        yield (
            f"every score of the {called} lies in [0, 1] and is read as a logit, as those of an image do not sum to 1: "
            "where each is a probability of its own, give log p - log(1 - p)"
        )
    else:
        yield (
            f"every score of the {called} lies in [0, 1] and is read as a logit, a yes for every image; if it is a "
            "probability, say probabilities=True"
        )
