"""The checkpoints that come with the package: a small Stable Diffusion of the shapes, and classifiers of them."""

from pathlib import Path

_ASSETS = Path(__file__).parent / "assets"
_SHAPES = _ASSETS / "shapes"
SHAPES_GENERATOR = _SHAPES / "generator"
SHAPES_TARGET = _SHAPES / "target"
SHAPES_DETECTOR = _SHAPES / "detector"
RECOVERY_TRUNK = _ASSETS / "recovery" / "trunk"
RECOVERY_NETWORKS = _ASSETS / "recovery" / "networks"
