"""Single pictures: each one's changes, how often decisions flip, and the mean score at each content of a concept."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from cpi_jax.analysis.cases import sample_weights, sampling_clusters
from cpi_jax.data.examples import Examples
from cpi_jax.plan.describe import describe_values, separator_of, stored_ids
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.dealing import Dealing, deal
from cpi_jax.statistics.flip_rates import flip_rates, mean_scores
from cpi_jax.statistics.local_changes import changes_of, decisions, flips, logits_of_classes

MOST_ROWS = 20_000_000  # of local.parquet: about 1 GB in memory
_MOST_CLASSES = 10  # whose mean scores are written
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def dealings(plan: Plan, examples: Examples, settings: Settings) -> Iterator[tuple[int, Dealing]]:
    """Every feature that is shown, pairs left out, and what permuting it gives each example; in the plan's order."""
    weights = sample_weights(examples, settings)
    strata = None if plan.strata is None else np.asarray(plan.strata)
    places = {f: (lookup, place) for lookup, features in plan.lookups for place, f in enumerate(features)}
    for f, feature in enumerate(plan.features):
        if feature.role != "pair":
            lookup, place = places[f]
            yield f, deal(lookup, place, plan.values[:, f], weights, None if strata is None else strata[:, f])


def local_table(
    plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings
) -> tuple[pd.DataFrame | None, str]:
    """Changes of single pictures with the names and texts of what was changed; or none, and why.

    Args:
      plan: of the study.
      examples: its data.
      scores: the target's logits, float32 [D, V, C].
      settings: of the study; with `statistics.local` off there is no table.

    Returns:
      See `cpi_jax.local_changes`: `example_id`, `concept`, texts `own` and `value` in the place of its indices, and
      `direction`, "appears", "disappears" or "changes".
    """
    if not settings.statistics.local:
        return None, ""
    rows = sum(int(dealing.changed.sum()) for _, dealing in dealings(plan, examples, settings))
    if rows > MOST_ROWS:
        return None, f"local.parquet is left out: single pictures would be {rows:,} rows, and {MOST_ROWS:,} are kept"
    ids, names = stored_ids(examples.ids).to_pandas().to_numpy(), pd.Index([part.name for part in plan.features])
    values = {
        f: describe_values(plan, f, separator_of(examples, settings)) for f, _ in dealings(plan, examples, settings)
    }
    texts = pd.Index(sorted({text for of_feature in values.values() for text in of_feature}))
    parts = []
    for f, dealing in dealings(plan, examples, settings):
        part = changes_of(dealing, scores, np.asarray(examples.labels))
        code = texts.get_indexer(pd.Index(values[f]))
        says = np.array([bool(text) for text in values[f]])
        own, value = part.pop("own").to_numpy(), part.pop("value").to_numpy()
        direction = np.where(says[own], np.where(says[value], 2, 1), 0)
        about = {
            "example_id": ids[part.pop("example")],
            "concept": pd.Categorical.from_codes(np.full(len(part), f), categories=names),
            "own": pd.Categorical.from_codes(code[own], categories=texts),
            "value": pd.Categorical.from_codes(code[value], categories=texts),
            "direction": pd.Categorical.from_codes(direction, categories=["appears", "disappears", "changes"]),
        }
        parts.append(pd.concat([pd.DataFrame(about), part], axis=1))
    return pd.concat(parts, ignore_index=True), ""


def flip_table(plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings) -> pd.DataFrame:
    """How often changing each concept flips the decision; see `flip_rates`. Arguments as in `local_table`."""
    labels, clusters = np.asarray(examples.labels), sampling_clusters(examples, settings)[0]
    decided, several, parts = decisions(scores, labels), labels.ndim == 2, []
    for f, dealing in dealings(plan, examples, settings):
        texts = describe_values(plan, f, separator_of(examples, settings))
        cells = decided[:, np.where(dealing.rows < 0, dealing.baseline[:, None], dealing.rows)]
        flipped = flips(cells, decided[:, dealing.baseline][:, :, None], several).mean(0)
        says = np.array([bool(text) for text in texts])
        part = flip_rates(dealing, flipped, says, clusters, settings.statistics.level)
        for name in ("own", "value"):
            part[name] = [texts[v] if v >= 0 else "" for v in part[name]]
        parts.append(part.assign(concept=plan.names[f]))
    table = pd.concat(parts, ignore_index=True)
    return table[["concept", *(name for name in table if name != "concept")]]


def response_table(plan: Plan, examples: Examples, scores: np.ndarray, settings: Settings) -> pd.DataFrame:
    """The mean score at each content of each concept, as if every caption said it; see `mean_scores`.

    Contents whose texts hold numbers (counts, ranges) come in the order of these, nothing first, and are `ordered`, from
    three contents on; a score is a logit, one for each of at most ten outputs. Arguments as in `local_table`.
    """
    num_outputs, clusters = scores.shape[2], sampling_clusters(examples, settings)[0]
    if num_outputs > _MOST_CLASSES:
        return pd.DataFrame(columns=["concept", "value", "ordered", "output", "examples", "score", "ci_low", "ci_high"])
    exclusive = num_outputs > 1 and np.ndim(examples.labels) == 1
    of_outputs = np.asarray(logits_of_classes(scores.astype(np.float64)) if exclusive else scores).mean(0)
    parts = []
    for f, dealing in dealings(plan, examples, settings):
        texts = describe_values(plan, f, separator_of(examples, settings))
        place = order_of(texts) if len(plan.features[f].slots) == 1 else None
        for output in range(num_outputs):
            part = mean_scores(dealing, of_outputs[dealing.rows, output], clusters, settings.statistics.level)
            if place is not None:
                part = part.iloc[np.argsort(place[part["value"]], kind="stable")]
            about = {
                "concept": plan.names[f],
                "value": [texts[v] for v in part.pop("value")],
                "ordered": place is not None,
            }
            parts.append(pd.DataFrame({**about, "output": output, **{name: part[name].to_numpy() for name in part}}))
    return pd.concat(parts, ignore_index=True)


def order_of(texts: list[str]) -> np.ndarray | None:
    """Where each content stands among counts or ranges, [Q], by the mean of the numbers that its text holds.

    "" stands first. None where there are fewer than three contents, or one that says something without a number.
    """
    numbers = [[float(number) for number in _NUMBER.findall(text)] for text in texts]
    if len(texts) < 3 or any(text and not of_text for text, of_text in zip(texts, numbers)):
        return None
    return np.array([np.mean(of_text) if of_text else -np.inf for of_text in numbers])
