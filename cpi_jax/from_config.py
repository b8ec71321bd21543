"""From a configuration (see configs/) to a study."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from cpi_jax.classifiers.scorer import load_resnet
from cpi_jax.data.shapes import make_shapes
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.embedded import SHAPES_DETECTOR, SHAPES_GENERATOR, SHAPES_TARGET
from cpi_jax.explain import Explanation, explain
from cpi_jax.settings import Settings


def explain_from_config(config: ConfigDict, workdir: str | Path) -> Explanation:
    """Runs or resumes the study that a configuration describes.

    Raises:
      InputError: for anything that a study cannot be made of.
    """
    settings = Settings(
        **{
            name: config[name] for name in ("seed", "draws", "batch_size", "unit_size", "separator", "empty", "control")
        },
        **{name: tuple(config[name]) for name in ("concepts", "groups", "interactions", "condition_on")},
        **config.statistics.to_dict(),
        **config.checks.to_dict(),
    )
    examples = make_shapes(**config.data)
    generator, tokenizer = load_generator(config.generator.path or SHAPES_GENERATOR, **config.sampler)
    return explain(
        examples,
        generator=generator,
        tokenizer=tokenizer,
        target=load_resnet(config.target.path or SHAPES_TARGET),
        detector=load_resnet(config.detector.path or SHAPES_DETECTOR),
        settings=settings,
        planted=(tuple(config.data.weights), config.data.bias),
        workdir=workdir,
        config=config.to_dict(),
    )
