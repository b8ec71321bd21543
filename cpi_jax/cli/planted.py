"""The planted truth of the shapes: importances of the logistic model that made the labels, beside the estimates."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from cpi_jax.analysis.cases import sample_weights
from cpi_jax.analysis.comparison import Comparison
from cpi_jax.analysis.explanation import Explanation, read_explanation
from cpi_jax.analysis.finished import is_signed, remember_again
from cpi_jax.analysis.importances import in_order_of_features, metrics_of, strata_of
from cpi_jax.analysis.validity import concepts_of_rows
from cpi_jax.data.examples import Examples
from cpi_jax.data.shapes import PLANTED_BIAS, PLANTED_WEIGHTS
from cpi_jax.embedded import SHAPES_TARGET, find_embedded
from cpi_jax.files.csv_files import csv_text
from cpi_jax.files.writing import write_atomically
from cpi_jax.plan.record import Plan
from cpi_jax.report.page.page import NAME as REPORT
from cpi_jax.report.page.page import write_page
from cpi_jax.report.text import describe_results
from cpi_jax.settings import Settings
from cpi_jax.statistics.functional import importance
from cpi_jax.study import Study


def planted_from_config(config: ConfigDict) -> tuple[Any, float] | None:
    """Weights and intercept of the model that made the labels, where the embedded target, which learnt it, is explained."""
    fields = config.to_dict()
    data, target = fields["data"], fields["target"]
    if fields["classifiers"]:  # it is one of them at most
        return None
    if data["source"] != "shapes" or target["module"] or not target["path"]:
        return None
    planted = (tuple(data["weights"]), data["bias"])
    learnt = planted == (PLANTED_WEIGHTS, PLANTED_BIAS)
    return planted if learnt and Path(find_embedded("target", target["path"])) == SHAPES_TARGET else None


def append_oracle(
    study: Study, explanation: Explanation | Comparison, weights: Any, bias: float
) -> Explanation | Comparison:
    """Puts the planted weights and their importances (over all examples) beside the estimates.

    In the table, in importance.csv, ranking.png, report.html and the text. Whoever calls it holds the lock "results": where
    another launch has written other results meanwhile, its files stay as they are.
    """
    if isinstance(explanation, Comparison) or "oracle" in explanation.table:
        return explanation
    oracle = np.asarray(planted_importance(study.plan, study.examples, weights, bias, study.settings))
    oracle = oracle[:, [study.plan.names.index(name) for name in explanation.importance.names]]
    planted = explanation.table.concept.map(dict(zip(study.examples.slot_names, weights)))
    table = explanation.table.assign(planted_weight=planted, oracle=oracle.reshape(-1))
    explanation = dataclasses.replace(explanation, table=table)
    with study.store.results() as folder:
        if read_explanation(folder).importance.to_json() != explanation.importance.to_json():
            return explanation
        from cpi_jax.report.plots import write_ranking  # only here: matplotlib takes a while to import

        signed = is_signed(folder)
        write_atomically(folder / "importance.csv", csv_text(table))
        figures = study.settings.output.figures
        write_ranking(folder, besides="" if figures == "png" else figures)
        write_page({"": folder}, folder / REPORT)
        if signed:
            remember_again(folder)
        return dataclasses.replace(explanation, text=describe_results(folder))


def planted_importance(
    plan: Plan, examples: Examples, weights: Any, bias: float, settings: Settings
) -> Float[Array, "metrics f"]:
    """The oracle: importances of the planted logistic model on the concepts themselves, by the same functional."""
    concepts = concepts_of_rows(plan, examples)[0][:, : len(examples.concept_names)]
    logits = concepts @ jnp.asarray(weights, jnp.float32) + bias
    ones = jnp.asarray(sample_weights(examples, settings), jnp.float32)
    labels = jnp.asarray(examples.labels, jnp.int32)
    parts = [
        importance(logits[None], labels, lookup, ones, metrics_of(settings), strata_of(plan, features))[0]
        for lookup, features in plan.lookups
    ]
    return jnp.concatenate(parts)[in_order_of_features(plan)].T
