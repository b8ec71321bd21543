"""Exact sign tests of what permuting each concept adds to single examples' losses, as a table."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.analysis.cases import sample_weights, sampling_clusters
from cpi_jax.analysis.single_pictures import dealings
from cpi_jax.data.examples import Examples
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.dealing import Dealing
from cpi_jax.statistics.few_cases import few_cases
from cpi_jax.statistics.local_changes import measure_rows
from cpi_jax.statistics.sign_test import sign_test
from cpi_jax.statistics.significance import holm

_LOSSES = ("log_loss", "brier")  # of a decision that is right or wrong most changes are 0, and so is their median


def sign_test_table(
    plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings, verdicts: Mapping[str, str]
) -> pd.DataFrame:
    """Is the median of the losses that permuting a concept adds above 0? One difference an example, or cluster.

    An example's difference is the mean of its losses' changes over what permuting gives it, and over draws; a cluster's is
    the mean of its examples'. Sample weights say which examples are in use, and no more.

    Args:
      plan: of the study.
      examples: its data.
      scores: the target's logits, float32 [D, V, C].
      settings: of the study.
      verdicts: of the validity of each feature.

    Returns:
      One row a (loss, concept): the fields of `SignTest`, `p_holm` over the ranked concepts, `verdict`; `few` says whether
      a class has too few examples, or clusters, for the jackknife.
    """
    clusters, labels = sampling_clusters(examples, settings)[0], np.asarray(examples.labels)
    few = bool(few_cases(labels, sample_weights(examples, settings), clusters))
    rows = []
    for f, dealing in dealings(plan, examples, settings):
        for loss, added in added_losses(dealing, scores, labels).items():
            used = dealing.weights > 0
            units = np.arange(len(used)) if clusters is None else clusters
            of_units = np.bincount(units, np.where(used, added, 0)), np.bincount(units, used)
            differences = of_units[0][of_units[1] > 0] / of_units[1][of_units[1] > 0]
            test = sign_test(differences, level=settings.statistics.level, alternative=settings.statistics.alternative)
            about = {"concept": plan.names[f], "loss": loss, "ranked": plan.features[f].role != "control"}
            rows.append({**about, **test._asdict(), "verdict": verdicts[plan.names[f]]})
    table = pd.DataFrame(rows)
    corrected = np.full(len(table), np.nan, np.float32)
    for loss in _LOSSES:
        chosen = np.flatnonzero((table["loss"] == loss) & table["ranked"] & table["p"].notna())
        corrected[chosen] = holm(jnp.asarray(table["p"].to_numpy()[chosen], jnp.float32))
    table.insert(table.columns.get_loc("verdict"), "p_holm", corrected)
    return table.drop(columns="ranked").assign(few=few)


def added_losses(dealing: Dealing, scores: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """What permuting adds to each example's losses, [N] each: changes weighted by their shares, averaged over draws."""
    i, m = np.nonzero(dealing.changed)
    before = measure_rows(scores, dealing.baseline, labels)
    after = measure_rows(scores, dealing.rows[i, m], labels[i])
    return {
        loss: np.bincount(i, dealing.shares[i, m] * (after[loss] - before[loss][:, i]).mean(0), len(dealing.own))
        for loss in _LOSSES
    }
