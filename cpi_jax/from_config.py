"""From a configuration (see configs/) to a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cpi_jax.classifiers.scorer import load_resnet
from cpi_jax.data.shapes import make_shapes
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.embedded import SHAPES_DETECTOR, SHAPES_GENERATOR, SHAPES_TARGET
from cpi_jax.errors import InputError
from cpi_jax.explain import open_study
from cpi_jax.settings import Settings
from cpi_jax.store import Store
from cpi_jax.study import Study

_PLAIN = (
    "seed", "draws", "batch_size", "unit_size", "separator", "empty", "control",
    "max_images", "max_minutes", "sampled_examples", "keep_images", "profile",
)  # fmt: skip
_TUPLES = ("concepts", "groups", "interactions", "condition_on")


def study_from_config(config: ConfigDict, workdir: str | Path, *, readonly: bool = False) -> Study:
    """Opens the study that a configuration describes: a new one, one to resume, or one to extend.

    Raises:
      InputError: for anything that a study cannot be made of.
    """
    settings = Settings(
        **{name: config[name] for name in _PLAIN},
        **{name: tuple(config[name]) for name in _TUPLES},
        **config.statistics.to_dict(),
        **config.checks.to_dict(),
    )
    generator, tokenizer = load_generator(config.generator.path or SHAPES_GENERATOR, **config.sampler)
    scorers = {
        "target": load_resnet(config.target.path or SHAPES_TARGET),
        "detector": load_resnet(config.detector.path or SHAPES_DETECTOR),
    }
    return open_study(
        make_shapes(**config.data),
        generator=generator,
        tokenizer=tokenizer,
        scorers=scorers,
        settings=settings,
        workdir=workdir,
        config=config.to_dict(),
        readonly=readonly,
    )


def planted_from_config(config: ConfigDict) -> tuple[Any, float]:
    """Weights and intercept of the model that made the labels."""
    return tuple(config.data.weights), config.data.bias


def read_config(location: str | Path) -> ConfigDict:
    """The configuration that a study's folder was made with.

    Raises:
      InputError: where there is none.
    """
    content = None
    if str(location).startswith("gs://") or Path(location).is_dir():
        content = Store(location, readonly=True).read("config.json")
    if content is None or not (config := json.loads(content)):
        raise InputError(f"{location} holds no study that launch/explain.py has made")
    return ConfigDict(_as_tuples(config))


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_tuples(content) for name, content in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
