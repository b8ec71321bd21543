"""Draws that end early: decided by the worker that finds a draw complete, and written down for the others."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from absl import logging

from cpi_jax.analysis.importances import infer_study, ranking_metric
from cpi_jax.classifiers.named import TARGET
from cpi_jax.classifiers.scorer import to_logits
from cpi_jax.files.json_files import seal_json
from cpi_jax.statistics.stopping import reason_to_stop
from cpi_jax.store.status import CURRENT_RULE as CURRENT
from cpi_jax.study import Study


class EarlyStopping:
    """The rules `stop_width`, `stop_top_k` and `stop_share_of_draws` of a study; of several targets each must allow it.

    Args:
      study: whose draws may end early.
    """

    def __init__(self, study: Study):
        self._study, settings = study, study.settings
        statistics = settings.statistics
        self._rule = {
            "width": statistics.stop_width,
            "top_k": statistics.stop_top_k,
            "share_of_draws": statistics.stop_share_of_draws,
        }
        digest = hashlib.sha256(json.dumps(settings.deciding("scores", "results"), sort_keys=True).encode())
        digest.update(study.plan.codes.tobytes())
        digest.update(repr([study.hashes[name] for name in ("generator", *study.targets)]).encode())
        digest.update(np.ascontiguousarray(study.examples.labels).tobytes())
        for name in sorted({statistics.weights, statistics.cluster} & set(study.examples.columns)):
            digest.update(str(np.asarray(study.examples.columns[name]).tolist()).encode())
        self._file = f"early_stopping/{digest.hexdigest()[:16]}.json"

    def make_current(self) -> None:
        """Notes for `launch/status.py` that this is the rule which holds: other settings have other files."""
        if any(self._rule.values()):
            self._study.store.write(CURRENT, json.dumps(self._file))
        elif self._study.store.read(CURRENT) is not None:
            self._study.store.write(CURRENT, json.dumps(""))

    def decision(self) -> tuple[int, str] | None:
        """After how many draws the study ends, and why; None where nobody has found that it does."""
        if not any(self._rule.values()):
            return None
        decision = self._study.store.read_note(self._file, sealed=True)
        if decision is None or not {"draws", "reason"} <= decision.keys():  # none, or another file in its place
            return None
        return decision["draws"], decision["reason"]

    def describe(self) -> str | None:
        """The decision as a sentence; None where there is none."""
        if (decision := self.decision()) is None:
            return None
        return f"after {decision[0]} of at most {self._study.settings.draws} draws: {decision[1]}"

    def most_draws(self) -> int:
        """How many draws the study needs, as far as is known."""
        decision = self.decision()
        return self._study.settings.draws if decision is None else decision[0]

    def is_stopped(self, num_draws: int) -> bool:
        """Whether it is written that so many draws are enough."""
        decision = self.decision()
        return decision is not None and decision[0] <= num_draws

    def should_stop(self, num_draws: int) -> bool:
        """Whether the study ends after so many draws or fewer; evaluates the rule where all of these are complete."""
        if not num_draws or not any(self._rule.values()):
            return False
        if self.decision() is not None:
            return self.is_stopped(num_draws)
        study, settings = self._study, self._study.settings
        tables, reasons = study.scores.read(num_draws), []
        for name in study.targets:
            if not np.isfinite(tables[name]).all():
                return False
            scores = to_logits(tables[name], study.scorers[name])
            inference = infer_study(study.plan, study.examples, scores, settings, num_bootstrap=0)
            inference = ranking_metric(study.plan, inference)
            level = settings.statistics.level
            reason = reason_to_stop(inference, look=num_draws, num_looks=settings.draws, level=level, **self._rule)
            if reason is None:
                return False
            reasons.append(reason if name == TARGET else f"{name}: {reason}")
        reason = "; ".join(reasons)
        logging.info("ends after %d of at most %d draws: %s", num_draws, settings.draws, reason)
        study.store.write_first(self._file, seal_json({"draws": num_draws, "reason": reason}))
        if self.decision() is None:  # a damaged one was there
            study.store.write_sealed(self._file, {"draws": num_draws, "reason": reason})
        return self.is_stopped(num_draws)
