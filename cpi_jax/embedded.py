"""The checkpoints that come with the package: a small Stable Diffusion, and classifiers of what it draws.

`SHAPES_GENERATOR` draws scenes of six shapes, 64 x 64 pixels (`load_generator`); `SHAPES_TARGET` is the classifier under
study and `SHAPES_DETECTOR` the concept detector, one logit for each shape (`load_resnet`).

>>> import cpi_jax
>>> sorted(path.name for path in cpi_jax.SHAPES_GENERATOR.iterdir() if path.is_dir())
['scheduler', 'text_encoder', 'tokenizer', 'unet', 'vae']
>>> sorted(path.name for path in cpi_jax.SHAPES_TARGET.iterdir())
['model.safetensors']
"""

from pathlib import Path

from cpi_jax.errors import require_known
from cpi_jax.files.location import HUB, find_path

_SHAPES = Path(__file__).parent / "assets" / "shapes"
SHAPES_GENERATOR = _SHAPES / "generator"
SHAPES_TARGET = _SHAPES / "target"
SHAPES_DETECTOR = _SHAPES / "detector"
# What a configuration may name in place of a folder.
EMBEDDED = {
    "generator": {"embedded": SHAPES_GENERATOR},
    "target": {"embedded": SHAPES_TARGET},
    "detector": {"embedded": SHAPES_DETECTOR},
}


def describe_embedded(path: str) -> str:
    """What an embedded generator draws, and where others come from; empty for another generator."""
    if path != "embedded":
        return ""
    return (
        ". The generator 'embedded' draws scenes of six shapes, red, green and blue circles and rectangles, and "
        "nothing else: docs/stable_diffusion.md says how to use yours"
    )


def find_embedded(part: str, path: str) -> str | Path:
    """What a configuration names: the folder of one of `EMBEDDED`, its own, or a generator's "hub:owner/name" as it stands.

    Raises:
      InputError: for a name that begins with "embedded" and is none, or what is no path.
    """
    if part == "generator" and path.startswith(HUB):
        return path
    if path.split("/")[0] == "embedded":
        require_known(path, part, tuple(EMBEDDED[part]))
    return EMBEDDED[part].get(path) or str(find_path(path))
