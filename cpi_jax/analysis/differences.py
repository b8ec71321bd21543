"""Do importances differ between subgroups? Every pair of them, concept by concept."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.analysis.importances import metric_names
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.contrasts import summarize_contrasts
from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.significance import holm
from cpi_jax.statistics.subgroup_differences import subgroup_difference


def difference_table(
    plan: Plan,
    inferences: Mapping[str, tuple[np.ndarray, Inference]],
    settings: Settings,
    verdicts: Mapping[str, str],
) -> pd.DataFrame | None:
    """Differences of importances between all pairs of subgroups; None where there are fewer than two.

    Args:
      plan: of the study.
      inferences: members and importances of each subgroup.
      settings: of the study.
      verdicts: of the validity of each feature.

    Returns:
      One row a (pair, metric, concept): `between` the column, `group` minus `against`; `difference`, `error`, `ci_low`,
      `ci_high`, two-sided `p`, `p_holm` over the ranked concepts and the pairs, `verdict`, and whether it `differs`: a
      corrected p of at most one minus the level.
    """
    if len(inferences) < 2:
        return None
    shown = [f for f, part in enumerate(plan.features) if part.role != "pair"]
    ranked = np.array([plan.features[f].role != "control" for f in shown])
    parts = []
    for first, second in itertools.combinations(inferences, 2):
        of_both = (inferences[name][1].take(np.array(shown)) for name in (first, second))
        found = summarize_contrasts(subgroup_difference(*of_both), (), settings.statistics.level)
        for m, metric in enumerate(metric_names(settings, found.value.shape[1])):
            about = {"between": settings.statistics.subgroups, "group": second, "against": first, "metric": metric}
            names = {"difference": "value"} | {name: name for name in ("error", "ci_low", "ci_high", "p")}
            numbers = {name: np.asarray(getattr(found, field))[:, m] for name, field in names.items()}
            concepts = [plan.names[f] for f in shown]
            verdict = [verdicts[concept] for concept in concepts]
            part = {**about, "concept": concepts, **numbers, "verdict": verdict, "_ranked": ranked}
            parts.append(pd.DataFrame(part))
    table = pd.concat(parts, ignore_index=True)
    corrected = np.full(len(table), np.nan, np.float32)
    for metric in table["metric"].unique():
        rows = np.flatnonzero((table["metric"] == metric) & table["_ranked"] & table["p"].notna())
        corrected[rows] = holm(jnp.asarray(table["p"].to_numpy()[rows]))
    table.insert(table.columns.get_loc("verdict"), "p_holm", corrected)
    return table.drop(columns="_ranked").assign(differs=corrected <= 1 - settings.statistics.level)
