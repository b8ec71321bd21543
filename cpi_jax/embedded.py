"""The checkpoints that come with the package: small Stable Diffusions, and classifiers of what they draw."""

from pathlib import Path

from cpi_jax.errors import require_known
from cpi_jax.location import HUB, find_path

_ASSETS = Path(__file__).parent / "assets"
_SHAPES = _ASSETS / "shapes"
SHAPES_GENERATOR = _SHAPES / "generator"
SHAPES_TARGET = _SHAPES / "target"
SHAPES_DETECTOR = _SHAPES / "detector"
RECOVERY_TRUNK = _ASSETS / "recovery" / "trunk"
RECOVERY_NETWORKS = _ASSETS / "recovery" / "networks"
_FASHION = _ASSETS / "fashion"
# What a configuration may name in place of a folder.
EMBEDDED = {
    "generator": {"embedded": SHAPES_GENERATOR, "embedded/fashion": _FASHION / "generator"},
    "classifier": {
        "embedded": SHAPES_TARGET,
        "embedded/fashion/biased": _FASHION / "biased",
        "embedded/fashion/balanced": _FASHION / "balanced",
    },
    "detector": {"embedded": SHAPES_DETECTOR, "embedded/fashion": _FASHION / "detector"},
}
_DRAWN = {
    "embedded": "scenes of six shapes, red, green and blue circles and rectangles,",
    "embedded/fashion": "a shirt, sneaker, bag or boot on one of six backgrounds",
}


def describe_embedded(path: str) -> str:
    """What an embedded generator draws, and where others come from; empty for another generator."""
    if path not in _DRAWN:
        return ""
    return f". The generator {path!r} draws {_DRAWN[path]} and nothing else: docs/stable_diffusion.md says how to use yours"


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
