"""Examples from COCO's annotations (Lin et al. 2014): the objects of an image are its concepts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
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
      objects: names of categories, each a concept.
      counts: say how many there are ("2 chair") instead of whether there is one ("1 chair").
      image_size: pixels of a side; 0 for the size that the generator makes.
      num_examples: the first so many; 0 for all.
      **columns: what the columns mean, see `cpi_jax.data.columns.make_examples`.

    Raises:
      InputError: for files that cannot be read, an object that is no category, or images without labels.
    """
    objects = tuple(dict.fromkeys(objects))
    frame = _objects(Path(path), objects, counts)
    known = read_frame(Path(labels)) if labels else None
    if known is None:
        raise InputError("COCO has no scene labels: data.labels must name a table with image_id and the label's column")
    key = "image_id" if "image_id" in known else "file_name"
    require_known(key, f"column of {labels}", tuple(map(str, known.columns)))
    task = columns.get("label", "")
    wanted = list(dict.fromkeys([key, *((task,) if isinstance(task, str) else task), *columns.get("columns", ())]))
    for name in wanted:
        require_known(name, f"column of {labels}", tuple(map(str, known.columns)))
        if name in objects:
            raise InputError(f"the column {name!r} of {labels} is called like an object: give it another name")
    for table, where in ((known, labels), (frame, path)):
        if (twice := table[key].duplicated().to_numpy()).any():
            raise InputError(f"the {key} {table[key].astype(object).iloc[int(np.argmax(twice))]!r} is in {where} twice")
    found = frame.set_index(frame.pop(key).astype(str)).reindex(known[key].astype(str)).reset_index(drop=True)
    frame = pd.concat([known[wanted], found], axis=1)[found[objects[0]].notna()].reset_index(drop=True)
    if not len(frame):
        raise InputError(f"no {key} of {labels} is an image of {path}")
    frame = first_rows(frame, num_examples)
    images = ImageFiles(frame.file_name.tolist(), root=image_root, size=image_size) if image_root else None
    chosen = columns.pop("concepts", ()) or tuple(objects)
    return make_examples(frame, images=images, image="file_name", concepts=chosen, **columns)


def _objects(path: Path, names: tuple[str, ...], counts: bool) -> pd.DataFrame:
    """One row an image: image_id, file_name, and the number of its objects of each name (crowds are one)."""
    if not path.is_file():
        raise InputError(f"there is no file {path}; data.path must name COCO's instances_*.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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
    for name in names:
        require_known(name, "category", tuple(categories.values()))
    table = pd.crosstab(found.image_id, found.name).reindex(images.image_id, columns=list(names), fill_value=0)
    table = table if counts else table.clip(upper=1)
    return pd.concat([images, table.reset_index(drop=True)], axis=1)
