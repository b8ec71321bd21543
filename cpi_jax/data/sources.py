"""Where examples come from: a source is a function of a configuration's fields that returns `Examples`.

A source of the package is a module beside this one and an entry of `SOURCES`; one of the user's is named
"package.module:function".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from cpi_jax.data.coco import read_coco
from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.folder import read_folder
from cpi_jax.data.shapes import make_shapes
from cpi_jax.data.table import read_table
from cpi_jax.data.tfds import read_tfds
from cpi_jax.errors import InputError, nearest, require_known
from cpi_jax.user_code import import_function

SOURCES: dict[str, Callable[..., Examples]] = {
    "shapes": make_shapes, "table": read_table, "folder": read_folder, "coco": read_coco, "tfds": read_tfds,
}  # fmt: skip
REQUIRED = inspect.Parameter.empty  # in place of a default


def source_fields(source: str) -> dict[str, Any]:
    """The fields of a source and their defaults: the function's parameters, `REQUIRED` where one has no default.

    A parameter `**columns` stands for what users say of a table's columns, the keywords of `make_examples`.

    Args:
      source: one of `SOURCES`, or "package.module:function".

    Raises:
      InputError: for an unknown source, what is no function, or one whose parameters cannot be given by name.
    """
    function = find_source(source)
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # of some functions written in C
        raise InputError(f"the parameters of {source} are not known: name a Python function that calls it") from None
    fields: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD and name == "columns":
            keywords = inspect.signature(make_examples).parameters.values()
            keywords = [k for k in keywords if k.kind is inspect.Parameter.KEYWORD_ONLY and k.name not in fields]
            fields |= {keyword.name: keyword.default for keyword in keywords}
        elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY or name == "source":
            raise InputError(
                f"{source} has a parameter {name!r} that no field of a configuration can be: fields are given by name, and "
                "`source` is the function's own"
            )
        elif parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            fields[name] = parameter.default
    return fields


def read_source(source: str, fields: Mapping[str, Any]) -> Examples:
    """Reads the examples of a source.

    Args:
      source: as of `source_fields`.
      fields: their values; those that are left out have their defaults.

    Raises:
      InputError: for a field that the source does not have, a required one that is missing or empty, data that cannot be
        used, or a function that returns something else than `Examples`.
    """
    known = source_fields(source)
    if unknown := [name for name in fields if name not in known]:
        has = ", ".join(known) or "none"
        near = nearest(unknown[0], tuple(known), repr)
        config = f"--config=own:{source}" if ":" in source else f"one whose data are data_config({source!r})"
        raise InputError(
            f"the source of data {source} has no field {unknown[0]!r}{near} (it has {has}): a config is made for one "
            f"source; write {config}"
        )
    for name, default in known.items():
        if default is REQUIRED and fields.get(name, "") in ("", (), None):
            raise InputError(f"--config.data.{name} must name the data's {name}")
    examples = find_source(source)(**fields)
    if not isinstance(examples, Examples):
        raise InputError(f"{source} returned a {type(examples).__name__}, and a source must return cpi_jax.Examples")
    return examples


def find_source(source: str) -> Callable[..., Examples]:
    """The function that reads a source.

    Raises:
      InputError: for an unknown one.
    """
    if ":" in source:
        return import_function(source)
    require_known(source, "source of data", tuple(SOURCES))
    return SOURCES[source]
