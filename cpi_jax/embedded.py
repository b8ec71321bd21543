"""The checkpoints that come with the package: a small Stable Diffusion of the shapes, and two classifiers of them."""

from pathlib import Path

_SHAPES = Path(__file__).parent / "assets" / "shapes"
SHAPES_GENERATOR = _SHAPES / "generator"
SHAPES_TARGET = _SHAPES / "target"
SHAPES_DETECTOR = _SHAPES / "detector"
