"""Examples from TensorFlow Datasets by their random-access sources, without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cpi_jax.data.coco import DEPICT_OBJECTS
from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.images import ImageFiles
from cpi_jax.data.read_ahead import read_ahead
from cpi_jax.data.table import first_rows
from cpi_jax.errors import InputError, require_known
from cpi_jax.extras import import_extra
from cpi_jax.user_code import import_function, require_trust

_AHEAD = 500  # examples read before they are asked for

ToColumns = Callable[[Mapping[str, Any], Any], Mapping[str, Any]]


def coco_objects(example: Mapping[str, Any], info: Any) -> dict[str, Any]:
    """Columns of an example of TFDS' `coco/2017`: its id, and whether each of DEPICT's 15 objects is there."""
    names = info.features["objects"]["label"].names
    seen = {names[int(label)] for label in example["objects"]["label"]}
    return {"image_id": int(example["image/id"]), **{name: int(name in seen) for name in DEPICT_OBJECTS}}


def scalars(example: Mapping[str, Any], info: Any) -> dict[str, Any]:
    """An example's numbers and texts as they are; classes by their names."""
    columns = {}
    for name, value in example.items():
        if np.ndim(value) or isinstance(value, Mapping) or type(info.features[name]).__name__ == "Image":
            continue
        value = np.asarray(value).item()
        if known := getattr(info.features[name], "names", None):
            value = known[value] if value >= 0 else None  # -1: unknown
        columns[name] = value.decode() if isinstance(value, bytes) else value
    return columns


class _Pictures:
    """The encoded images of a data source, by index."""

    def __init__(self, source: Sequence[Mapping[str, Any]], feature: str):
        self.source, self.feature = source, feature

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        return self.source[index][self.feature]


def read_tfds(
    name: str,
    *,
    split: str = "train",
    data_dir: str = "",
    mapping: str | ToColumns = "",
    image: str = "image",
    image_size: int = 0,
    num_examples: int = 0,
    **columns: Any,
) -> Examples:
    """Reads a prepared TFDS data set (`tfds build NAME --file_format=array_record`).

    One pass over the split reads every column but the images, which are decoded when they are needed.

    Args:
      name: of the data set, "coco/2017".
      split: of it.
      data_dir: where it was prepared; empty for TFDS' own folder.
      mapping: function of (example, the data set's info) that returns the example's columns, also as "module:function";
        empty for its numbers, texts and classes. Several threads call it.
      image: feature that holds the image; empty for none.
      image_size: pixels of a side; 0 for the size that the generator makes.
      num_examples: the first so many; 0 for all.
      **columns: what the columns mean, see `cpi_jax.data.columns.make_examples`.

    Raises:
      InputError: where TFDS or the data set is missing, or columns cannot be used.

    Example:
      Of a data set that was prepared before::

        cpi_jax.read_tfds("coco/2017", split="validation", mapping=my_columns, label="home", id="image_id")
    """
    tfds = import_extra("tensorflow_datasets", "data", "data sets of TFDS")
    if re.match(r"[^/:]+:[A-Za-z_]", name):  # of a community's or another library's, which TFDS downloads and runs
        require_trust(f"the data set {name}")
    try:
        builder = tfds.builder(name, **({"data_dir": data_dir} if data_dir else {}))
        decoders = {image: tfds.decode.SkipDecoding()} if image else None
        source = builder.as_data_source(split=split, decoders=decoders)
    except Exception as error:  # its kinds are many: no such data set, split, file format, or not prepared
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"the TFDS data set {name} ({split}) cannot be read: {reason}") from None
    features, label = dict(builder.info.features.items()), columns.get("label")
    if image:
        require_known(image, "feature", tuple(features))
    if not mapping and isinstance(label, str) and hasattr(features.get(label), "names"):
        columns["classes"] = columns.get("classes") or features[label].names
    function = (import_function(mapping) if isinstance(mapping, str) else mapping) if mapping else scalars

    def read(example: Mapping[str, Any]) -> Mapping[str, Any]:
        row = function(example, builder.info)
        if not isinstance(row, Mapping):
            raise InputError(f"the mapping must return an example's columns, a dict, and returned {row!r}")
        return row

    rows, limit = first_rows(range(len(source)), num_examples)
    images = ImageFiles(_Pictures(source, image), size=image_size)[: len(rows)] if image else None
    frame = pd.DataFrame(_columns(source, read, len(rows)), dtype=object)
    return make_examples(frame, images=images, **columns).after(*limit)


def _columns(
    source: Sequence[Mapping[str, Any]], function: Callable[[Mapping[str, Any]], Mapping[str, Any]], count: int
) -> list[Mapping[str, Any]]:
    """The columns of the first examples, read by several threads."""
    return list(read_ahead(lambda row: function(source[row]), count, _AHEAD))
