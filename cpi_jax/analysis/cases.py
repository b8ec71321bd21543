"""The cases in use: which examples count, with what weight, in which clusters and subgroups; refused before any image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.analysis.groups import validate_groups
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError, require_known
from cpi_jax.settings import Settings
from cpi_jax.statistics.metrics import METRICS
from cpi_jax.validation.score_table import validate_cases, validate_labels
from cpi_jax.wording import scorer_called


def validate_settings(examples: Examples, settings: Settings) -> None:
    """Refuses unknown metrics, and columns or groups that are missing or cannot be used, before any image.

    Raises:
      InputError: one sentence.
    """
    for name in settings.statistics.metrics:
        require_known(name, "metric", tuple(METRICS))
    subgroups_of(examples, settings)
    weights = sample_weights(examples, settings)
    validate_cases(weights, clusters=sampling_clusters(examples, settings)[0])
    _validate_classes(np.asarray(examples.labels)[weights > 0])
    if settings.statistics.gaps:
        validate_groups(examples, settings.statistics.gaps, weights)


def _validate_classes(labels: np.ndarray) -> None:
    """Refuses the labels of the examples in use where a class is missing of two, or has one example."""
    validate_labels(labels, None)
    values, counts = np.unique(labels, return_counts=True)
    if labels.ndim == 1 and len(values) == 2 and counts.min() == 1:
        raise InputError(
            f"one of {len(labels)} labels is {values[counts.argmin()]}: the sampling error of a class cannot be known from "
            "one example, so give at least two"
        )


def validate_outputs(examples: Examples, num_outputs: int, settings: Settings) -> tuple[str, ...]:
    """What to warn of, before any image: classes of the target that no example in use has, and subgroups left out.

    Raises:
      InputError: where one of them would rank.
    """
    absent = absent_classes(np.asarray(examples.labels), sample_weights(examples, settings), num_outputs)
    ranking = settings.statistics.metrics[0]
    if absent and absent[0] == 0 and ranking.endswith("_per_class"):
        raise InputError(
            f"the ranking is by {ranking} of class 0, and no example is of class 0: name another metric first"
        )
    left_out = [
        f"subgroup {settings.statistics.subgroups} = {content} is left out: {reason}"
        for content, _, reason in _subgroups(examples, settings)
        if reason
    ]
    return (*describe_absent(absent, num_outputs), *left_out)


def absent_classes(labels: np.ndarray, weights: np.ndarray, num_outputs: int) -> list[int]:
    """Outputs of the target whose class no example with weight has."""
    if labels.ndim == 2 or num_outputs == 1:
        return []
    return sorted(set(range(num_outputs)) - set(labels[weights > 0].astype(int).tolist()))


def describe_absent(absent: list[int], num_outputs: int) -> tuple[str, ...]:
    if not absent:
        return ()
    listed = ", ".join(map(str, absent[:5])) + (", ..." if len(absent) > 5 else "")
    which = f"class {listed}" if len(absent) == 1 else f"the classes {listed}"
    return (f"no example is of {which} (of {num_outputs} outputs): what is a mean over classes leaves that out",)


def subgroups_of(examples: Examples, settings: Settings) -> dict[str, np.ndarray]:
    """Members of every content of the subgroup column that can be evaluated, bool [N].

    Raises:
      InputError: where there is no such column, or it cannot be told what it holds (`Examples.contents_of`).
    """
    return {content: inside for content, inside, reason in _subgroups(examples, settings) if not reason}


def _subgroups(examples: Examples, settings: Settings) -> Iterator[tuple[str, np.ndarray, str]]:
    """Contents of the subgroup column, their members, and why they cannot be evaluated; empty where they can."""
    if not settings.statistics.subgroups:
        return
    require_known(settings.statistics.subgroups, "column", tuple(examples.columns))
    contents, which = examples.contents_of(settings.statistics.subgroups)
    clusters, _ = sampling_clusters(examples, settings)
    for n, content in enumerate(contents):
        inside = which == n
        try:
            validate_cases(sample_weights(examples, settings, inside), None, clusters)
            _validate_classes(np.asarray(examples.labels)[inside])
        except InputError as error:
            yield str(content), inside, str(error)
        else:
            yield str(content), inside, ""


def sample_weights(examples: Examples, settings: Settings, subgroup: np.ndarray | None = None) -> np.ndarray:
    """Weight of every example, float [N]; zero outside the subgroup."""
    weights = np.ones(len(examples))
    if settings.statistics.weights:
        require_known(settings.statistics.weights, "column", tuple(examples.columns))
        try:
            weights = np.asarray(examples.columns[settings.statistics.weights], float)
        except ValueError as error:
            raise InputError(
                f"the weights in column {settings.statistics.weights!r} must be numbers: {error}"
            ) from None
    return weights if subgroup is None else weights * subgroup


def sampling_clusters(examples: Examples, settings: Settings) -> tuple[np.ndarray | None, int | None]:
    """Cluster of every example, int32 [N], and how many there are."""
    if not settings.statistics.cluster:
        return None, None
    require_known(settings.statistics.cluster, "column", tuple(examples.columns))
    names, clusters = examples.contents_of(settings.statistics.cluster)
    return clusters.astype(np.int32), len(names)


def label_names(num_outputs: int) -> tuple[str, ...]:
    return ("label",) if num_outputs == 1 else tuple(f"class {c}" for c in range(num_outputs))


def validate_numbers_of_outputs(examples: Examples, outputs: Mapping[str, int]) -> None:
    """Refuses scorers whose number of outputs, which targets have in common, does not fit the concepts or labels."""
    names = examples.concept_names
    if (found := outputs.get("detector", len(names))) != len(names):
        raise InputError(
            f"the detector gives {found} scores an image and must give {len(names)}, one for each of {', '.join(names)}"
        )
    labels = np.asarray(examples.labels)
    called, count = next((scorer_called(name), count) for name, count in outputs.items() if name != "detector")
    if labels.ndim == 1 and count > 2 and set(labels.tolist()) == {0, 1}:
        raise InputError(
            f"the {called} gives {count} scores an image and the labels are of two classes, 0 and 1: "
            "say in `classes` of load_scorer (or of the config) which outputs mean 1"
        )
    validate_labels(labels, count)


def validate_metrics(examples: Examples, num_outputs: int, settings: Settings) -> None:
    """Traces every metric, so that one that does not fit the labels fails before any image."""
    scores = jax.ShapeDtypeStruct((len(examples), *((num_outputs,) if num_outputs > 1 else ())), jnp.float32)
    labels = jax.ShapeDtypeStruct(np.shape(examples.labels), jnp.int32)
    for name in settings.statistics.metrics:
        jax.eval_shape(METRICS[name].prepare, scores, labels)
