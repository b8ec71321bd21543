"""Examples from COCO's annotations (Lin et al. 2014): the objects of an image are its concepts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.ids import id_key, read_ids
from cpi_jax.data.images import ImageFiles
from cpi_jax.data.outlines import Outlines, validate_outline
from cpi_jax.data.table import first_rows, read_frame
from cpi_jax.errors import InputError, require_known

# The 15 objects of DEPICT's published study of COCO.
DEPICT_OBJECTS = (
    "person", "bottle", "cup", "bowl", "chair", "couch", "bed", "dining table", "tv", "laptop", "remote", "cell phone",
    "oven", "sink", "book",
)  # fmt: skip


class _Annotated(NamedTuple):
    """What an instances_*.json says.

    Attributes:
      frame: one row an image: image_id, file_name, and the number of its objects of each name (crowds are one).
      names: of the objects.
      notes: sentences on annotations that are left out.
      sizes: height and width of each image, as the file has them.
      outlines: of each image's objects: (name, the annotation's id, its segmentation); none where they are not read.
    """

    frame: pd.DataFrame
    names: tuple[str, ...]
    notes: list[str]
    sizes: list[tuple[Any, Any]]
    outlines: list[list[tuple[str, Any, Any]]]


def read_coco(
    path: str | Path,
    *,
    labels: str | Path = "",
    image_root: str | Path = "",
    objects: Sequence[str] = DEPICT_OBJECTS,
    counts: bool = False,
    masks: bool = False,
    image_size: int = 0,
    sep: str = ",",
    num_examples: int = 0,
    **columns: Any,
) -> Examples:
    """Reads instances_*.json and, for the task, a table of the images' labels, which COCO does not have.

    Args:
      path: instances_*.json.
      labels: CSV or Parquet with image_id (or file_name) and the column of the task; images that it lacks are left out,
        and so are its rows of other images; a plan says how many.
      image_root: folder of the images; empty where there are none.
      objects: names of categories, each a concept; empty for all.
      counts: say how many there are ("2 chair") instead of whether there is one ("1 chair").
      masks: also read the segmentations: the pixels of a concept are those of all its objects and crowds. They are drawn
        when they are asked for, cut and resized as the images are.
      image_size: pixels of a side; 0 for the size that the generator makes.
      sep: what parts the cells of a CSV of labels: ",", ";" or a tab.
      num_examples: the first so many; 0 for all.
      **columns: what the columns mean, see `cpi_jax.data.columns.make_examples`.

    Raises:
      InputError: for files that cannot be read, an object that is no category, images without labels, or a segmentation
        that is missing or does not fit its image.

    Example:
      >>> import json, tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> instances = {
      ...     "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}],
      ...     "categories": [{"id": 7, "name": "bed"}, {"id": 8, "name": "tv"}],
      ...     "annotations": [{"image_id": 1, "category_id": 7}, {"image_id": 2, "category_id": 8}],
      ... }
      >>> _ = (folder / "instances.json").write_text(json.dumps(instances))
      >>> _ = (folder / "scenes.csv").write_text("image_id,home\\n1,1\\n2,0\\n")
      >>> examples = cpi_jax.read_coco(
      ...     folder / "instances.json", labels=folder / "scenes.csv", objects=("bed", "tv"), label="home"
      ... )
      >>> examples.slots, examples.labels.tolist()
      ([('1 bed', ''), ('', '1 tv')], [1, 0])
    """
    if not labels:
        raise InputError("COCO has no scene labels: data.labels must name a table with image_id and the label's column")
    if masks and not image_root:
        raise InputError("data.masks are of the images: name their folder, data.image_root")
    path, labels = Path(path), Path(labels)
    content = _objects(path, tuple(dict.fromkeys(objects)), counts, masks)
    annotated, objects, notes = content.frame, content.names, content.notes
    known = read_frame(labels, sep=sep)
    key = "image_id" if "image_id" in known else "file_name"
    task = columns.get("label", "")
    task = [task] if isinstance(task, str) else list(task)
    for name in (key, *task):
        require_known(name, f"column of {labels}", tuple(map(str, known.columns)))
        if name in objects:
            raise InputError(f"the column {name!r} of {labels} is called like an object: give it another name")
    chosen, other, left_out = _join(known, labels, annotated, path, key)
    matched = known.iloc[chosen].reset_index(drop=True)
    annotated = annotated.iloc[other].reset_index(drop=True)
    both = [name for name in known if name in annotated]
    frame, limit = first_rows(pd.concat([matched.drop(columns=both), annotated], axis=1), num_examples)
    if unused := [name for name in both if name in objects]:
        notes.append(
            f"the columns {', '.join(unused)} of {labels.name} are not used: {path.name} says which objects there are"
        )
    images = ImageFiles(frame.file_name.tolist(), root=image_root, size=image_size) if image_root else None
    concepts = columns.pop("concepts", ()) or (() if columns.get("caption") else objects)
    examples = make_examples(frame, images=images, image="file_name", concepts=concepts, **columns)
    if masks:
        assert isinstance(examples.images, ImageFiles)
        rows = other[examples.images.rows].tolist()  # of those that `make_examples` keeps
        examples = dataclasses.replace(examples, masks=_outlines(path, content, rows, examples))
    return examples.after(*notes, *left_out, *limit)


def _outlines(path: Path, content: _Annotated, rows: Sequence[int], examples: Examples) -> Outlines:
    """The outlines of each example's objects, by the slots that are called like them.

    Raises:
      InputError: for one that is missing or does not fit its image, or an image of another size than the file says.
    """
    assert isinstance(examples.images, ImageFiles)
    objects, sizes, slots = [], [], {name: k for k, name in enumerate(examples.slot_names)}
    for n, row in enumerate(rows):
        size, file_name = content.sizes[row], content.frame.file_name[row]
        if size != (stored := examples.images.size_in_file(n)):
            raise InputError(
                f"{path}: the segmentations of {file_name!r} are of [height, width] {list(size)}, and the image has "
                f"{list(stored)}: they are of another image"
            )
        drawn: list[list[Any]] = [[] for _ in slots]
        for name, annotation, outline in content.outlines[row]:
            try:
                validate_outline(outline, *size)
            except InputError as error:
                raise InputError(
                    f"{path}: the segmentation of annotation {annotation} ({name} in {file_name!r}) cannot be: {error}"
                ) from None
            if name in slots:
                drawn[slots[name]].append(outline)
        objects.append(drawn)
        sizes.append(size)
    return Outlines(objects, sizes)


def _join(
    known: pd.DataFrame, labels: Path, annotated: pd.DataFrame, path: Path, key: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Which rows of the labels' table are an image's, and which image is theirs; sentences on what is left out.

    Raises:
      InputError: for an id that is missing, twice or none, a table without a common one, or file names that disagree.
    """
    keys = []
    for table, place in ((known, labels), (annotated, path)):
        try:
            keys.append(read_ids(table[key])[1])
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
    place = {image: n for n, image in enumerate(keys[1])}
    chosen = np.array([n for n, image in enumerate(keys[0]) if image in place], int)
    if not len(chosen):
        raise InputError(
            f"no {key} of {labels} is an image of {path}: the first is {known[key].iloc[0]!r} there and "
            f"{annotated[key].iloc[0]!r} here"
        )
    other = np.array([place[keys[0][n]] for n in chosen])
    if key == "image_id" and "file_name" in known:
        for row, n, m in zip(chosen, known.file_name.iloc[chosen], annotated.file_name.iloc[other]):
            if isinstance(n, str) and n.strip() and Path(n.strip()).name != Path(str(m)).name:
                raise InputError(
                    f"row {row + 1} of {labels}: the image_id {known.image_id.iloc[row]!r} has the file_name {n!r} there "
                    f"and {m!r} in {path}, so they are of different images"
                )
    notes = []
    if len(chosen) < len(known):
        first = known[key].iloc[int(np.setdiff1d(np.arange(len(known)), chosen)[0])]
        notes.append(
            f"{len(known):,} rows in {labels.name}, {len(known) - len(chosen):,} left out: their {key} is that of no image "
            f"of {path.name} (the first: {first!r})"
        )
    if len(chosen) < len(annotated):
        notes.append(
            f"{len(annotated):,} images in {path.name}, {len(annotated) - len(chosen):,} left out: {labels.name} has no "
            "row of them"
        )
    return chosen, other, notes


def _objects(path: Path, names: tuple[str, ...], counts: bool, with_outlines: bool) -> _Annotated:
    """Reads an instances_*.json.

    Raises:
      InputError: for a file that is none, or an annotation of no category or image.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; data.path must name COCO's instances_*.json")
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=None if with_outlines else _without_outline)
        categories = pd.DataFrame(content["categories"], columns=["id", "name"], dtype=object)
        images = pd.DataFrame(content["images"], columns=["id", "file_name"], dtype=object)
        annotations = [(a["image_id"], a["category_id"], a) for a in content["annotations"]]
        sizes = [(image.get("height"), image.get("width")) for image in content["images"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a COCO file of instances: {error!r}") from None
    images = images.rename(columns={"id": "image_id"})
    if not len(images) or not all(isinstance(name, str) for name in categories["name"]):
        raise InputError(f"{path} is not a COCO file of instances: it has no images, or a category without a name")
    try:
        name_of = dict(zip(read_ids(categories["id"])[1], categories["name"]))
        row_of = {image: n for n, image in enumerate(read_ids(images["image_id"])[1])}
        annotations = [(id_key(image), id_key(category), image, category, a) for image, category, a in annotations]
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    names = names or tuple(dict.fromkeys(name_of.values()))
    for name in names:
        require_known(name, "category", tuple(name_of.values()))
    column_of, lost = {name: k for k, name in enumerate(names)}, []
    table = np.zeros((len(images), len(names)), int)
    outlines: list[list[tuple[str, Any, Any]]] = [[] for _ in range(len(images))]
    for image, category, written, kind, annotation in annotations:
        if category not in name_of:
            raise InputError(
                f"{path}: an annotation of image {written!r} has the category_id {kind!r}, which is no category"
            )
        if image is None:
            raise InputError(f"{path}: an annotation of category_id {kind!r} has the image_id {written!r}")
        if image not in row_of:
            lost.append(written)
        elif (name := name_of[category]) in column_of:
            table[row_of[image], column_of[name]] += 1
            if with_outlines:
                outlines[row_of[image]].append((name, annotation.get("id"), annotation.get("segmentation")))
    if lost and len(lost) == len(annotations):
        raise InputError(f"{path}: no annotation is of one of its images; the first is of image_id {lost[0]!r}")
    notes = []
    if lost:
        notes.append(
            f"{len(annotations):,} annotations in {path.name}, {len(lost):,} left out: their image_id is that of no image "
            f"there (the first: {lost[0]!r})"
        )
    table = pd.DataFrame(table if counts else table.clip(max=1), columns=list(names))
    return _Annotated(pd.concat([images, table], axis=1), names, notes, sizes, outlines)


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    """The outlines of objects are most of a file, and would be most of the memory."""
    entry.pop("segmentation", None)
    return entry
