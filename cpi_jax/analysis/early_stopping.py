"""Draws that end early: decided by the worker that finds a draw complete, and written down for the others."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from absl import logging

from cpi_jax.analysis import evaluate
from cpi_jax.classifiers.scorer import to_logits
from cpi_jax.statistics.stopping import reason_to_stop
from cpi_jax.study import Study


class EarlyEnd:
    """The rules `stop_width`, `stop_top_k` and `stop_share_of_draws` of a study.

    Args:
      study: whose draws may end early.
    """

    def __init__(self, study: Study):
        self._study, settings = study, study.settings
        self._rule = {
            "width": settings.statistics.stop_width,
            "top_k": settings.statistics.stop_top_k,
            "share_of_draws": settings.statistics.stop_share_of_draws,
        }
        decides = settings.deciding("scores", "results")
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
        digest.update(study.plan.codes.tobytes())
        digest.update(np.ascontiguousarray(study.examples.labels).tobytes())
        for name in sorted({settings.statistics.weights, settings.statistics.cluster} & set(study.examples.columns)):
            digest.update(str(np.asarray(study.examples.columns[name]).tolist()).encode())
        self._name = f"early_end/{digest.hexdigest()[:16]}.json"

    def written(self) -> tuple[int, str] | None:
        """After how many draws the study ends, and why; None where nobody has found that it does."""
        if not any(self._rule.values()):
            return None
        held = self._study.store.read(self._name)
        return None if held is None else tuple(json.loads(held))

    def most_draws(self) -> int:
        """How many draws the study needs, as far as is known."""
        found = self.written()
        return self._study.settings.draws if found is None else found[0]

    def told(self, draws: int) -> bool:
        """Whether it is written that so many draws are enough."""
        found = self.written()
        return found is not None and found[0] <= draws

    def decide(self, draws: int) -> bool:
        """Whether the study ends after so many draws or fewer; evaluates the rule where all of these are complete."""
        if not draws or not any(self._rule.values()):
            return False
        if self.written() is not None:
            return self.told(draws)
        study, settings = self._study, self._study.settings
        scores = study.read_scores(draws)["target"]
        if not np.isfinite(scores).all():
            return False
        scores = to_logits(scores, study.scorers["target"])
        found = evaluate.infer_study(study.plan, study.examples, scores, settings)
        found = evaluate.ranking_metric(study.plan, found)
        reason = reason_to_stop(
            found, look=draws, num_looks=settings.draws, level=settings.statistics.level, **self._rule
        )
        if reason is None:
            return False
        logging.info("ends after %d of at most %d draws: %s", draws, settings.draws, reason)
        held = json.loads(study.store.write_first(self._name, json.dumps([draws, reason])))
        return held[0] <= draws
