"""True counterfactual pictures of some examples: the table that names them, and the scores of the pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cpi_jax.analysis.cases import sample_weights, sampling_clusters
from cpi_jax.analysis.chance import measure
from cpi_jax.analysis.drawn_pairs import (
    FEWEST,
    Needed,
    describe_assumed,
    find_needed,
    require_pictures,
    validate_classes,
)
from cpi_jax.analysis.real_images import score_pictures
from cpi_jax.analysis.validity import concepts_of_rows
from cpi_jax.classifiers.named import DETECTOR
from cpi_jax.classifiers.scorer import to_logits
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles
from cpi_jax.data.table import read_frame
from cpi_jax.errors import InputError, nearest, require_known
from cpi_jax.files.location import find_path
from cpi_jax.plan.record import Plan
from cpi_jax.settings import Settings
from cpi_jax.statistics.few_cases import few_cases
from cpi_jax.study import Study
from cpi_jax.wording import counted

_COLUMNS = ("example", "concept", "value", "image")
WHERE = "the true pictures"


@dataclasses.dataclass(frozen=True)
class TruePairs:
    """Examples whose every counterfactual has a true picture.

    Attributes:
      paired: which ones, bool [N].
      rows: of the score table, whose caption each picture shows, int [R].
      images: the R pictures, yet unread.
      warnings: what is assumed of them, and what is weak.
    """

    paired: np.ndarray
    rows: np.ndarray
    images: ImageFiles
    warnings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class TrueScores:
    """What a target makes of the true pictures.

    Attributes:
      pairs: which they are.
      of_pictures: logits of the R pictures, float32 [R, C].
      of_real: logits of every example's real picture, the true one of its own caption, float32 [N, C].
    """

    pairs: TruePairs
    of_pictures: np.ndarray
    of_real: np.ndarray


def read_pairs(plan: Plan, examples: Examples, settings: Settings) -> TruePairs | None:
    """Reads the table that `settings.true_pairs` names; None where it names none.

    Pictures that no permuted concept needs are left alone.

    Raises:
      InputError: for a table that cannot be read, unknown examples, concepts or values, a picture that is missing, named
        twice or no image, fewer than ten examples, or one that lacks a value; one sentence that names the row.
    """
    if not settings.true_pairs:
        return None
    require_pictures(examples)
    path = find_path(settings.true_pairs)
    try:
        table = _read(path)
        paired = np.zeros(len(examples), bool)
        paired[_places(table, examples)] = True
        needed = find_needed(plan, examples, settings, paired)
        picture_of = _match(table, plan, examples, needed)
        weights = sample_weights(examples, settings)
        if (count := int((paired & (weights > 0)).sum())) < FEWEST:
            raise InputError(f"it has {counted(count, 'example')}, and a correction needs at least {FEWEST}: draw more")
        validate_classes(examples, weights, paired)
        files = ImageFiles(table["image"].tolist(), root=path.parent)
        rows = np.array(list(picture_of), int)
        images = files[np.array(list(picture_of.values()), int)]
        images.validate()
    except InputError as error:
        raise InputError(f"true_pairs {path}: {error}") from None
    few = few_cases(np.asarray(examples.labels), weights * paired, sampling_clusters(examples, settings)[0])
    warnings = [describe_assumed(path, examples, weights, paired), *(f"true pairs: {sentence}" for sentence in few)]
    images = images.with_size(_size_of(examples))
    return TruePairs(paired, rows, images, tuple(filter(None, warnings)))


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError("there is no such file; launch/draw_pairs.py writes one")
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    table = read_frame(path, sep=max(",;\t", key=header.count))  # spreadsheets of some languages write semicolons
    for column in _COLUMNS:
        require_known(column, "column", tuple(table.columns))
    for column in _COLUMNS:  # an apostrophe keeps a spreadsheet from running a cell
        table[column] = [str(cell).strip().removeprefix("'") for cell in table[column]]
    if not len(table):
        raise InputError("it has no rows")
    if (empty := table["image"] == "").any():
        verb, one = "have" if empty.sum() > 1 else "has", _row(table, int(np.argmax(empty)))
        raise InputError(f"{counted(empty.sum(), 'row')} of {len(table):,} {verb} no image yet, such as {one}")
    if (twice := table["image"].duplicated()).any():
        row = int(np.argmax(twice))
        first = int(np.argmax(table["image"] == table["image"][row]))
        raise InputError(
            f"the image {table['image'][row]!r} is named in rows {first + 1} and {row + 1}, which say different captions"
        )
    return table


def _row(table: pd.DataFrame, row: int) -> str:
    example, concept, value = (table[name][row] for name in ("example", "concept", "value"))
    return f"row {row + 1} (example {example}, {concept}: {value or 'nothing'})"


def _places(table: pd.DataFrame, examples: Examples) -> list[int]:
    """Which example each row is about."""
    places = {text: i for i, text in enumerate(map(str, np.asarray(examples.ids).tolist()))}
    for row, name in enumerate(table["example"]):
        if name not in places:
            raise InputError(f"row {row + 1}: this study has no example {name!r}{nearest(name, places, repr)}")
    return [places[name] for name in table["example"]]


def _match(table: pd.DataFrame, plan: Plan, examples: Examples, needed: Needed) -> dict[int, int]:
    """The table's row that names the picture of each row of the score table.

    Raises:
      InputError: for concepts or values that there are not, two pictures of the same, or one that is missing.
    """
    features = {plan.names[f]: f for f in needed.texts}
    places = {f: {text: v for v, text in enumerate(texts)} for f, texts in needed.texts.items()}
    row_of = dict(zip(zip(needed.example, needed.feature, needed.value), needed.row.tolist()))
    picture_of: dict[int, int] = {}
    for row, (i, concept, value) in enumerate(zip(_places(table, examples), table["concept"], table["value"])):
        try:
            require_known(concept, "permuted concept", tuple(features))
            f = features[concept]
            require_known(value or "nothing", f"content of {concept}", tuple(text or "nothing" for text in places[f]))
        except InputError as error:
            raise InputError(f"row {row + 1}: {error}") from None
        if (at := row_of.get((i, f, places[f][value]))) is not None and picture_of.setdefault(at, row) != row:
            raise InputError(
                f"rows {picture_of[at] + 1} and {row + 1} name two pictures of the same caption: leave one"
            )
    missing = [key for key, at in row_of.items() if at not in picture_of]
    if missing:
        i, f, v = missing[0]
        raise InputError(
            f"{counted(len(missing), 'picture')} {'are' if len(missing) > 1 else 'is'} missing, such as that of example "
            f"{examples.ids[i]} with {plan.names[f]}: {needed.texts[f][v] or 'nothing'}; each example needs one for every "
            "value that it can receive"
        )
    return picture_of


def _size_of(examples: Examples) -> int | tuple[int, int]:
    """Of the real pictures, as they are scored."""
    images = examples.images
    assert images is not None  # `require_pictures`
    return images.size if isinstance(images, ImageFiles) else (images.shape[1], images.shape[2])


def score_pairs(study: Study, pairs: TruePairs | None) -> dict[str, np.ndarray]:
    """Scores [R, C] of the true pictures by scorer, from the store where they are there; empty without pairs.

    Raises:
      InputError: for a score that is not a finite number.
    """
    if pairs is None:
        return {}
    scores = score_pictures(study, pairs.images, pairs.rows, "pairs")
    for name, of_pictures in scores.items():
        if (bad := ~np.isfinite(of_pictures).all(-1)).any():
            picture = pairs.images.files[int(pairs.images.rows[int(np.argmax(bad))])]
            raise InputError(f"the {name} gave a score that is not a finite number for the true picture {picture}")
    return scores


def true_scores(
    study: Study,
    pairs: TruePairs | None,
    of_pictures: Mapping[str, np.ndarray],
    of_real: Mapping[str, np.ndarray],
    name: str,
) -> tuple[TrueScores | None, str]:
    """A target's logits of the true pictures and of the real ones; or none, and why where there are pairs.

    Args:
      study: which one.
      pairs: its true pairs.
      of_pictures: scores [R, C] of the true pictures by scorer.
      of_real: scores [N, C] by scorer of the real pictures of those examples that are complete.
      name: of the target.
    """
    if pairs is None:
        return None, ""
    if name not in of_pictures or name not in of_real:
        return None, (
            f"corrected.csv is left out: the {name}'s scores of the true pictures are not in the study's folder, and "
            "without --trust its code is not run"
        )
    if len(of_real[name]) < len(study.examples):
        return None, "corrected.csv is left out until every example is complete in one draw"
    logits = (to_logits(scores[name], study.scorers[name]) for scores in (of_pictures, of_real))
    return TrueScores(pairs, *logits), ""


def describe_detected(
    study: Study, pairs: TruePairs | None, scores: Mapping[str, np.ndarray]
) -> tuple[list[str], list[str]]:
    """What the detector sees in the true pictures, in a sentence, and what of it speaks against their captions."""
    if pairs is None or DETECTOR not in scores:
        return [], []
    concepts, _ = concepts_of_rows(study.plan, study.examples)
    shown = dataclasses.replace(study.examples, images=None, masks=None)
    shown = shown.take(np.asarray(study.plan.variants.example)[pairs.rows])
    own = slice(len(study.examples.concept_names))
    shown = dataclasses.replace(shown, concepts=concepts[pairs.rows][:, own].astype(np.int8))
    measured = measure(to_logits(scores[DETECTOR], study.scorers[DETECTOR]), DETECTOR, shown, study.settings)
    return [f"on {len(shown):,} true pictures {measured.describe()}"], measured.warnings(WHERE)
