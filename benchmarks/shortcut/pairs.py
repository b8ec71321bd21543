"""What a hundred true pictures mend: corrected importances of random subsets of the examples, beside the oracle's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks.shortcut.record import CLASSIFIERS
from cpi_jax.analysis.corrected import corrected_table
from cpi_jax.analysis.drawn_pairs import find_needed
from cpi_jax.analysis.importances import infer_study
from cpi_jax.analysis.true_pairs import TruePairs, TrueScores
from cpi_jax.data.images import ImageFiles
from cpi_jax.statistics.prediction_powered import draw_subset
from cpi_jax.statistics.record import Importance
from cpi_jax.study import Study


def correct_by_subsets(
    study: Study,
    generated: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    oracle: Mapping[str, Importance],
    num_subsets: int,
    num_pairs: int = 100,
) -> pd.DataFrame:
    """Corrected importances by random subsets of the examples, whose true counterfactuals are known.

    Args:
      study: of both classifiers.
      generated: scores [D, V, C] of the generated pictures, by classifier.
      exact: scores [1, V, C] of the true counterfactuals (`counterfactual_scores`).
      oracle: importances on these, of all examples.
      num_subsets: how many subsets.
      num_pairs: examples of a subset; all, where there are fewer.

    Returns:
      One row a (classifier, concept): the `oracle`; of the first subset what `corrected_table` gives of the ranking metric;
      in how many of the `subsets` the oracle lies inside the corrected interval, and inside that of the pairs alone
      (`held`, `held_alone`); how many there are (`subsets`); the intervals' mean widths, `width` and `width_alone`.
    """
    plan, examples, settings = study.plan, study.examples, study.settings
    num_pairs = min(num_pairs, len(examples))
    verdicts, tables = dict.fromkeys(plan.names, "unchecked"), []
    for name in CLASSIFIERS:
        inference = infer_study(plan, examples, generated[name], settings, num_bootstrap=0)
        for subset in range(num_subsets):
            paired = np.zeros(len(examples), bool)
            paired[draw_subset(np.asarray(examples.labels), np.ones(len(examples)), num_pairs, subset)] = True
            rows = np.unique(find_needed(plan, examples, settings, paired).row)
            pictures = ImageFiles([])  # their scores are here already
            of_real = exact[name][0, np.asarray(plan.baseline)]
            true = TrueScores(TruePairs(paired, rows, pictures, ()), exact[name][0, rows], of_real)
            table = corrected_table(plan, examples, inference, generated[name], true, settings, verdicts)
            assert table is not None
            ranking = table.loc[table["metric"] == settings.statistics.metrics[0]]
            known = [oracle[name].value[0][list(oracle[name].names).index(concept)] for concept in ranking["concept"]]
            tables.append(ranking.assign(classifier=name, subset=subset, oracle=np.array(known, float)))
    each = pd.concat(tables, ignore_index=True)
    each["held"] = (each["ci_low"] <= each["oracle"]) & (each["oracle"] <= each["ci_high"])
    each["held_alone"] = (each["pairs_low"] <= each["oracle"]) & (each["oracle"] <= each["pairs_high"])
    each["width"], each["width_alone"] = each["ci_high"] - each["ci_low"], each["pairs_high"] - each["pairs_low"]
    of_all = each.groupby(["classifier", "concept"], sort=False)
    counted = of_all[["held", "held_alone"]].sum()
    widths = of_all[["width", "width_alone"]].mean()
    first = each.loc[each["subset"] == 0].drop(columns=["subset", *counted, *widths])
    found = first.merge(counted.join(widths).reset_index(), on=["classifier", "concept"])
    return found.assign(subsets=num_subsets)
