"""What each field of a configuration means: said in docstrings, once, and read from there."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from cpi_jax.cli.validate_fields import has_fields

_ENTRY = re.compile(r"  (\w+(?:, \w+)*): (.*)")
# What no function or record takes.
_OWN = {
    "data.source": "shapes, table, folder, coco, tfds, or package.module:function of yours.",
    "classifiers": "several in the place of target, by name, such as {'a': {'path': 'runs/a'}, 'b': {'path': 'runs/b'}}.",
    "plan_only": "say what would be generated, and end (cpi-jax plan).",
    "note": "said at the start of a run, and above its results.",
}


def describe_fields(config: ConfigDict) -> str:
    """Every field of a configuration, with what it holds here and what it means."""
    helps = _helps(config)
    lines, before = [], ""
    for name, value in _leaves(config.to_dict()):
        section = name.partition(".")[0] if "." in name else ""
        if lines and section != before:
            lines.append("")
        before = section
        text = f"{name} ({value!r}): {helps[name]}" if name in helps else f"{name} ({value!r})"
        lines.append(
            textwrap.fill(text, 110, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False)
        )
    return "\n".join(["--config.FIELD=VALUE sets a field; in brackets stands what it holds unless you do.", "", *lines])


def field_help(config: ConfigDict, name: str) -> str:
    """What a field means, in a line; empty where nothing is said of it."""
    return _helps(config).get(name, "")


def arguments_help(documented: Any) -> dict[str, str]:
    """What a docstring says of each argument or attribute, in a line each."""
    section = re.search(
        r"^(?:Args|Attributes):\n((?:(?:  .*)?\n)*)", f"{inspect.getdoc(documented) or ''}\n", re.MULTILINE
    )
    helps: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].split("\n") if section else ():
        if entry := _ENTRY.fullmatch(line):
            names = entry[1].split(", ")
            helps |= dict.fromkeys(names, entry[2])
        elif line.startswith("    "):
            helps |= {name: f"{helps[name]} {line.strip()}" for name in names}
        else:
            names = []
    return helps


def _helps(config: ConfigDict) -> dict[str, str]:
    """By field; of `data`, from the function that reads the source, and of its columns."""
    from cpi_jax.classifiers.loading import load_scorer
    from cpi_jax.classifiers.preprocessing import Preprocessing
    from cpi_jax.data.columns import make_examples
    from cpi_jax.data.sources import find_source
    from cpi_jax.diffusion.checkpoint import load_checkpoint
    from cpi_jax.diffusion.sampler_settings import SamplerSettings
    from cpi_jax.settings import Settings
    from cpi_jax.training.classifier import train_classifier

    sections = {
        "": [Settings],
        "sampler": [SamplerSettings],
        "generator": [load_checkpoint],
        "train": [train_classifier],
    }
    sections |= {field.name: [field.default_factory] for field in dataclasses.fields(Settings)}
    sections |= {name: [load_scorer, Preprocessing] for name in ("target", "detector")}
    if source := config.get("data", {}).get("source", ""):
        sections["data"] = [make_examples, find_source(source)]
    helps = {}
    for section, places in sections.items():
        for place in places:
            helps |= {f"{section}.{name}".lstrip("."): text for name, text in arguments_help(place).items()}
    return helps | _OWN


def _leaves(fields: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of the fields of sections, and before them of those that are in none; `data` has no sections."""
    for name, value in sorted(fields.items(), key=lambda field: has_fields(field[1])):
        if has_fields(value) and at != "data.":
            yield from _leaves(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", value
