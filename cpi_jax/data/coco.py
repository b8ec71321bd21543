"""Examples from COCO's annotations (Lin et al. 2014): the objects of an image are its concepts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles
from cpi_jax.data.table import first_rows, read_frame
from cpi_jax.errors import InputError, require_known

# The 15 objects of DEPICT's published study of COCO.
DEPICT_OBJECTS = (
    "person", "bottle", "cup", "bowl", "chair", "couch", "bed", "dining table", "tv", "laptop", "remote", "cell phone",
    "oven", "sink", "book",
)  # fmt: skip


def read_coco(
    path: str | Path,
    *,
    labels: str | Path = "",
    image_root: str | Path = "",
    objects: Sequence[str] = DEPICT_OBJECTS,
    counts: bool = False,
    image_size: int = 0,
    num_examples: int = 0,
    **columns: Any,
) -> Examples:
    """Reads instances_*.json and, for the task, a table of the images' labels, which COCO does not have.

    Args:
      path: instances_*.json.
      labels: CSV or Parquet with image_id (or file_name) and the column of the task; images that it lacks are left out.
      image_root: folder of the images; empty where there are none.
      objects: names of categories, each a concept; empty for all.
      counts: say how many there are ("2 chair") instead of whether there is one ("1 chair").
      image_size: pixels of a side; 0 for the size that the generator makes.
      num_examples: the first so many; 0 for all.
      **columns: what the columns mean, see `cpi_jax.data.columns.make_examples`.

    Raises:
      InputError: for files that cannot be read, an object that is no category, or images without labels.
    """
    if not labels:
        raise InputError("COCO has no scene labels: data.labels must name a table with image_id and the label's column")
    annotated, objects = _objects(Path(path), tuple(dict.fromkeys(objects)), counts)
    known = read_frame(Path(labels))
    key = "image_id" if "image_id" in known else "file_name"
    task = columns.get("label", "")
    task = [task] if isinstance(task, str) else list(task)
    for name in (key, *task):
        require_known(name, f"column of {labels}", tuple(map(str, known.columns)))
        if name in objects:
            raise InputError(f"the column {name!r} of {labels} is called like an object: give it another name")
    for table, place in ((known, labels), (annotated, path)):
        if (twice := table[key].duplicated()).any():
            raise InputError(f"the {key} {table[key].astype(object)[twice].iloc[0]!r} is in {place} twice")
    rows = pd.Index(annotated[key].astype(str)).get_indexer(known[key].astype(str))
    if (rows < 0).all():
        raise InputError(f"no {key} of {labels} is an image of {path}")
    annotated = annotated.iloc[rows[rows >= 0]].reset_index(drop=True)
    known = known[rows >= 0].drop(columns=[name for name in known if name in annotated]).reset_index(drop=True)
    frame = pd.concat([known, annotated], axis=1)
    frame = first_rows(frame, num_examples)
    images = ImageFiles(frame.file_name.tolist(), root=image_root, size=image_size) if image_root else None
    chosen = columns.pop("concepts", ()) or (() if columns.get("caption") else objects)
    return make_examples(frame, images=images, image="file_name", concepts=chosen, **columns)


def _objects(path: Path, names: tuple[str, ...], counts: bool) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One row an image: image_id, file_name, and the number of its objects of each name (crowds are one); the names."""
    if not path.is_file():
        raise InputError(f"there is no file {path}; data.path must name COCO's instances_*.json")
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=_without_outline)
        categories = {category["id"]: category["name"] for category in content["categories"]}
        images = pd.DataFrame({"image_id": [i["id"] for i in content["images"]]})
        images["file_name"] = [i["file_name"] for i in content["images"]]
        found = pd.DataFrame(
            {
                "image_id": [a["image_id"] for a in content["annotations"]],
                "name": [categories[a["category_id"]] for a in content["annotations"]],
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a COCO file of instances: {error!r}") from None
    names = names or tuple(categories.values())
    for name in names:
        require_known(name, "category", tuple(categories.values()))
    table = pd.crosstab(found.image_id, found.name).reindex(images.image_id, columns=list(names), fill_value=0)
    table = table if counts else table.clip(upper=1)
    return pd.concat([images, table.reset_index(drop=True)], axis=1), names


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    """The outlines of objects are most of a file, and would be most of the memory."""
    entry.pop("segmentation", None)
    return entry
