"""Do importances differ between subgroups, or between classifiers? Every pair of them, concept by concept."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import jax.numpy as jnp
import numpy as np
import pandas as pd

from cpi_jax.analysis.importances import metric_names
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.contrasts import summarize_contrasts
from cpi_jax.statistics.differences import subgroup_difference, target_difference
from cpi_jax.statistics.inference import Inference
from cpi_jax.statistics.significance import holm
from cpi_jax.statistics.verdicts import worst

_COLUMNS = ("metric", "concept", "difference", "error", "ci_low", "ci_high", "p", "p_holm", "verdict", "differs")


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
      One row a (pair, metric, concept): `between` the column, `group` minus `against`, and the columns of `_tabulate`.
    """
    if len(inferences) < 2:
        return None
    return _tabulate(
        plan,
        settings,
        (
            (
                {"between": settings.statistics.subgroups, "group": second, "against": first},
                subgroup_difference(inferences[first][1], inferences[second][1]),
                verdicts,
            )
            for first, second in itertools.combinations(inferences, 2)
        ),
    )


def target_difference_table(
    plan: Plan,
    inferences: Mapping[str, Inference],
    settings: Settings,
    verdicts: Mapping[str, Mapping[str, str]],
) -> pd.DataFrame:
    """Differences of importances between all pairs of classifiers; none of a single one.

    Args:
      plan: of the study.
      inferences: importances of each classifier.
      settings: of the study.
      verdicts: of the validity of each feature for each classifier; a difference has the worse one of both.

    Returns:
      One row a (pair, metric, concept): `classifier` minus `against`, and the columns of `_tabulate`.
    """
    if len(inferences) < 2:
        return pd.DataFrame(columns=["classifier", "against", *_COLUMNS])
    return _tabulate(
        plan,
        settings,
        (
            (
                {"classifier": second, "against": first},
                target_difference(inferences[first], inferences[second]),
                {name: worst([verdicts[which][name] for which in (first, second)]) for name in verdicts[first]},
            )
            for first, second in itertools.combinations(inferences, 2)
        ),
    )


def _tabulate(
    plan: Plan, settings: Settings, differences: Iterable[tuple[Mapping[str, str], Inference, Mapping[str, str]]]
) -> pd.DataFrame:
    """One row a (difference, metric, concept), pairs of interactions left out.

    Args:
      plan: of the study.
      settings: of the study.
      differences: the columns that say what each is between, the differences of all features, and their verdicts.

    Returns:
      Those columns, `metric`, `concept`, `difference`, `error`, `ci_low`, `ci_high`, two-sided `p`, `p_holm` over the
      ranked concepts and the pairs, `verdict`, and whether it `differs`: a corrected p of at most one minus the level.
    """
    shown = [f for f, part in enumerate(plan.features) if part.role != "pair"]
    ranked = np.array([plan.features[f].role != "control" for f in shown])
    parts = []
    for about, inferred, verdicts in differences:
        found = summarize_contrasts(inferred.take(np.array(shown)), (), settings.statistics.level)
        for m, metric in enumerate(metric_names(settings, found.value.shape[1])):
            names = {"difference": "value"} | {name: name for name in ("error", "ci_low", "ci_high", "p")}
            numbers = {name: np.asarray(getattr(found, field))[:, m] for name, field in names.items()}
            concepts = [plan.names[f] for f in shown]
            verdict = [verdicts[concept] for concept in concepts]
            part = {**about, "metric": metric, "concept": concepts, **numbers, "verdict": verdict, "_ranked": ranked}
            parts.append(pd.DataFrame(part))
    table = pd.concat(parts, ignore_index=True)
    corrected = np.full(len(table), np.nan, np.float32)
    for metric in table["metric"].unique():
        rows = np.flatnonzero((table["metric"] == metric) & table["_ranked"] & table["p"].notna())
        corrected[rows] = holm(jnp.asarray(table["p"].to_numpy()[rows]))
    table.insert(table.columns.get_loc("verdict"), "p_holm", corrected)
    return table.drop(columns="_ranked").assign(differs=corrected <= 1 - settings.statistics.level)
