"""From a configuration to what it describes: examples, generator, scorers, and the study of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from cpi_jax.captions.encoding import Tokenizer, UnknownWordError
from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.classifiers.named import DETECTOR, TARGET, name_scorers
from cpi_jax.classifiers.recorded import RecordedScorer
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.cli.empty_fields import find_empty, refuse_empty
from cpi_jax.cli.validate_fields import classifiers_of, validate_fields
from cpi_jax.data.examples import Examples
from cpi_jax.data.sources import read_source
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.generator import Generator
from cpi_jax.embedded import describe_embedded, find_embedded
from cpi_jax.errors import InputError
from cpi_jax.files.location import find_path
from cpi_jax.settings import Settings
from cpi_jax.store.store import Store
from cpi_jax.study import Study
from cpi_jax.user_code import only_data
from cpi_jax.wording import scorer_called

_PATHS = {"path", "labels", "image_root", "data_dir"}  # of data


def study_from_config(
    config: ConfigDict,
    workdir: str | Path,
    *,
    readonly: bool = False,
    trusted: bool = True,
) -> Study:
    """Opens the study that a configuration describes: a new one, one to resume, or one to extend.

    Args:
      config: its configuration.
      workdir: its folder.
      readonly: changes nothing in the folder.
      trusted: whether the modules that the configuration names are imported; else the scores that the folder holds stand
        for the classifiers in them, and nothing can be generated.

    Raises:
      InputError: for anything that a study cannot be made of.
    """
    from cpi_jax.opening import open_study  # only here: to read a configuration takes none of the statistics' libraries

    validate_fields(config)
    fields, settings = config.to_dict(), settings_of(config)
    with nullcontext() if trusted else only_data():
        empty = find_empty(config)
        if any(name.startswith("data.") for name in empty):
            refuse_empty(empty)
        examples = examples_from_config(config)
        refuse_empty(empty)
        generator, tokenizer = generator_from_config(config)
        scorers = scorers_from_config(config, None if trusted else _read_recorded(workdir))
    try:
        return open_study(
            examples,
            generator=generator,
            tokenizer=tokenizer,
            scorers=scorers,
            settings=settings,
            workdir=workdir,
            config=fields,
            readonly=readonly,
        )
    except UnknownWordError as error:
        raise InputError(f"{error}{describe_embedded(fields['generator']['path'])}") from None


def settings_of(config: ConfigDict) -> Settings:
    """What the study does.

    Raises:
      InputError: for a value that a field cannot have.
    """
    fields = config.to_dict()
    return Settings.from_dict({field.name: fields[field.name] for field in dataclasses.fields(Settings)})


def examples_from_config(config: ConfigDict) -> Examples:
    """Reads the data.

    Raises:
      InputError: for data that cannot be used.
    """
    fields = config.to_dict()["data"]
    source = fields.pop("source", "")
    for name in _PATHS & fields.keys():
        if fields[name]:
            try:
                fields[name] = str(find_path(fields[name]))
            except InputError as error:
                raise InputError(f"--config.data.{name}: {error}") from None
    return read_source(source, fields)


def generator_from_config(config: ConfigDict) -> tuple[Generator, Tokenizer]:
    """Reads the generator."""
    fields = config.to_dict()
    also = {name: value for name, value in fields["generator"].items() if name != "path"}
    return load_generator(_path(fields["generator"]["path"], "generator"), **also, **fields["sampler"])


def scorers_from_config(
    config: ConfigDict, recorded: Mapping[str, tuple[str, int]] | None = None
) -> dict[str, Scorer | HostScorer]:
    """Reads the classifier under study, or several, and the detector where there is one.

    Args:
      config: of the study.
      recorded: what the study knows each scorer by, and its scores an image: those that it holds stand for classifiers of
        the user's code; None: that code is imported.
    """
    sections = config.to_dict()
    target = targets = detector = None
    if sections["classifiers"]:
        all_fields = classifiers_of(sections["classifiers"])
        if sections[TARGET]["path"] or sections[TARGET]["module"]:
            logging.warning("config.target is not used: config.classifiers says what is explained")
        targets = {name: _scorer(fields, f"classifiers.{name}", recorded) for name, fields in all_fields.items()}
    else:
        target = _scorer(sections[TARGET], TARGET, recorded)
    if sections[DETECTOR]["path"] or sections[DETECTOR]["module"]:
        detector = _scorer(sections[DETECTOR], DETECTOR, recorded)
    return name_scorers(target, targets, detector)


def _scorer(section: Mapping[str, Any], at: str, recorded: Mapping[str, tuple[str, int]] | None) -> Scorer | HostScorer:
    """Reads one of the classifiers; `at` is where its section is: "target", "detector" or "classifiers.NAME"."""
    fields, name = dict(section), at.rpartition(".")[2]
    try:
        if fields["module"] and recorded is not None:
            if name not in recorded:
                raise InputError("the folder holds no scores of it")
            reading = {field: fields[field] for field in ("classes", "task", "probabilities")}
            return RecordedScorer(fields["module"], *recorded[name], **reading)
        if not fields["module"]:
            fields["path"] = _path(fields["path"], at)
        return load_scorer(**fields)
    except InputError as error:
        raise InputError(f"{at}: {error}") from None


def _read_recorded(workdir: str | Path) -> dict[str, tuple[str, int]]:
    """What the study in a folder knows each scorer by, and its scores an image."""
    store = Store.open_existing(workdir)
    return {} if store is None else {name: (store.scorers[name], count) for name, count in store.num_outputs.items()}


def _path(path: str, at: str) -> str | Path:
    name = at.rpartition(".")[2]
    if not path:
        also = "" if name == "generator" else f", or --config.{at}.module a function"
        raise InputError(f"--config.{at}.path must name the {scorer_called(name)}{also}")
    return find_embedded(name if name == at else TARGET, path)
