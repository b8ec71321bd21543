"""A random subset of the examples, and the table of the true counterfactual pictures that somebody is to make of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from cpi_jax.analysis.cases import sample_weights
from cpi_jax.analysis.single_pictures import dealings
from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import csv_text
from cpi_jax.files.json_files import seal_json, unseal_json
from cpi_jax.files.writing import write_atomically
from cpi_jax.plan.describe import describe_values, describe_variants, separator_of
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.prediction_powered import draw_subset
from cpi_jax.validation.ranges import validate_numbers

FEWEST = 10  # examples


@dataclasses.dataclass(frozen=True)
class Needed:
    """The counterfactuals of some examples that a correction needs, each a feature's other value of an example.

    Attributes:
      example, feature, value: indices, int [R].
      row: of the score table, int [R]; one caption may be a value of several features (of groups).
      texts: of each feature's values, by the feature's index.
    """

    example: np.ndarray
    feature: np.ndarray
    value: np.ndarray
    row: np.ndarray
    texts: dict[int, list[str]]


def find_needed(plan: Plan, examples: Examples, settings: Settings, paired: np.ndarray) -> Needed:
    """Every value that permuting a concept or a group can give an example, other than its own.

    A control says nothing, so that its true counterfactual is the picture itself, and pairs are of interactions alone: they
    need none.

    Args:
      plan: of the study.
      examples: its data.
      settings: of the study.
      paired: which examples have, or will have, true pictures, bool [N].
    """
    separator, parts, texts = separator_of(examples, settings), [], {}
    for f, dealing in dealings(plan, examples, settings):
        if plan.features[f].role != "control":
            i, m = np.nonzero(dealing.changed & (dealing.shares > 0) & paired[:, None])
            parts.append(np.stack([i, np.full(len(i), f), dealing.values[i, m], dealing.rows[i, m]]))
            texts[f] = describe_values(plan, f, separator)
    # Several shuffles give the same value; in the order of the examples.
    example, feature, value, row = np.unique(np.concatenate(parts, axis=1), axis=1)
    return Needed(example, feature, value, row, texts)


def draw_pairs(plan: Plan, examples: Examples, settings: Settings, num: int, path: Path, seed: int = 0) -> pd.DataFrame:
    """Draws a random subset of the examples and writes the table of their true counterfactuals, to be filled.

    Each class has its share of the subset. Beside the table, NAME.json says which examples were drawn, and among which.

    Args:
      plan: of the study.
      examples: its data, with real pictures: these are the true ones of the examples' own captions.
      settings: of the study.
      num: examples to draw.
      path: of the table, NAME.csv.
      seed: of the draw.

    Returns:
      What was written, a row for each picture to make: `example`, `concept`, `value`, `caption` (what the picture is to
      show) and `image`, empty: its file, from the table's folder on.

    Raises:
      InputError: for more examples than there are, too few of a class, or a table that is there already.
    """
    validate_numbers(seed=seed)
    require_pictures(examples)
    used = int((sample_weights(examples, settings) > 0).sum())
    if not FEWEST <= num <= used:
        raise InputError(f"draw at least {FEWEST} and at most all {used:,} examples, not {num:,}")
    if path.exists():
        raise InputError(f"{path} is there already, and may hold pictures' names: name another file")
    weights = sample_weights(examples, settings)
    paired = np.zeros(len(examples), bool)
    paired[draw_subset(np.asarray(examples.labels), weights, num, seed)] = True
    validate_classes(examples, weights, paired)
    needed = find_needed(plan, examples, settings, paired)
    once = np.sort(np.unique(needed.row, return_index=True)[1])
    example, feature, value, row = (getattr(needed, name)[once] for name in ("example", "feature", "value", "row"))
    table = pd.DataFrame(
        {
            "example": list(map(str, np.asarray(examples.ids)[example].tolist())),
            "concept": [plan.names[f] for f in feature],
            "value": [needed.texts[f][v] for f, v in zip(feature, value)],
            "caption": describe_variants(plan, examples, settings, row)["caption"].to_pylist(),
            "image": "",
        }
    )
    write_atomically(path, csv_text(table))
    ids = np.asarray(examples.ids)
    record = {"seed": seed, "examples": list(map(str, ids[paired].tolist())), "among": hash_of_ids(ids[weights > 0])}
    write_atomically(record_beside(path), seal_json(record))
    return table


def require_pictures(examples: Examples) -> None:
    """Refuses a study without real pictures, which are the true ones of the examples' own captions."""
    if examples.images is None:
        raise InputError(
            "true pairs are compared with the examples' real pictures, and this study has none: name them (data.image)"
        )


def validate_classes(examples: Examples, weights: np.ndarray, paired: np.ndarray) -> None:
    """Refuses pairs of fewer than two examples of a class, or of a content of one of several labels.

    Raises:
      InputError: names the class.
    """
    labels = np.asarray(examples.labels)
    used = weights > 0
    columns = {"class": labels} if labels.ndim == 1 else {f"label {c} =": labels[:, c] for c in range(labels.shape[1])}
    for name, column in columns.items():
        for value in np.unique(column[used]):
            if (count := int((paired & used & (column == value)).sum())) < 2:
                raise InputError(
                    f"{count or 'none'} of the {int(paired.sum())} examples with true pairs is of {name} {value}, and "
                    "metrics need two at least: draw more examples"
                )


def describe_assumed(path: Path, examples: Examples, weights: np.ndarray, paired: np.ndarray) -> str:
    """What has to be assumed of examples that are not, or not known to be, the random subset that was drawn; else empty."""
    record, ids = record_beside(path), np.asarray(examples.ids)
    assumed = f"that the {int(paired.sum())} examples of {path.name} are a random subset is assumed:"
    try:
        drawn = unseal_json(record.read_bytes())
        those, among = set(drawn["examples"]), drawn["among"]
    except FileNotFoundError:
        return f"{assumed} {record.name}, which launch/draw_pairs.py writes beside it, is not there"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{assumed} {record.name} cannot be read, or was changed"
    given = set(map(str, ids[paired].tolist()))
    if given != those:
        return (
            f"{assumed} of the {len(those)} that were drawn {len(those - given)} are missing, and {len(given - those)} "
            "others are there"
        )
    if among != hash_of_ids(ids[weights > 0]):
        return f"{assumed} they were drawn among other examples than this study's"
    return ""


def record_beside(path: Path) -> Path:
    """The file that says which examples were drawn."""
    return path.with_suffix(".json")


def hash_of_ids(ids: Iterable) -> str:
    """A hash of the ids of the examples that a subset is drawn among, in any order."""
    return hashlib.sha256(json.dumps(sorted(map(str, np.asarray(ids).tolist()))).encode()).hexdigest()[:16]
