"""What a classifier wants of an image: its size and its range of values. Part of the classifier's jitted function."""

from __future__ import annotations

import dataclasses
from numbers import Integral, Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cpi_jax.errors import InputError, require_known
from cpi_jax.validation.ranges import PIXELS

METHODS = ("bilinear", "bicubic")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Resize, crop, normalise, in this order; the default changes nothing.

    Attributes:
      resize: pixels of the shorter side, the other in proportion; or (height, width); 0: as they are.
      crop: side of the square cut from the middle; 0: all of it.
      mean: of each colour channel, subtracted; in the unit of the images, of pixels in [0, 1] (never 0 to 255).
      std: of each colour channel, divided by; in the same unit.
      method: of resizing, "bilinear" or "bicubic", with antialiasing as Pillow has it.

    Raises:
      InputError: for sizes, means or deviations that cannot be.

    Example:
      >>> import cpi_jax
      >>> imagenet = cpi_jax.Preprocessing(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
      >>> imagenet.resized(480, 640), imagenet.size_of(480, 640)
      ((256, 341), (224, 224))
    """

    resize: int | tuple[int, int] = 0
    crop: int = 0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    method: str = "bilinear"

    def __post_init__(self):
        require_known(self.method, "method of resizing", METHODS)
        for name in ("mean", "std"):
            values = getattr(self, name)
            numeric = all(isinstance(value, Real) for value in values)
            if len(values) != 3 or not numeric or not np.isfinite(values).all() or min(values) < 0:
                raise InputError(f"{name} must be three numbers, one a colour, of pixels in [0, 1], not {values}")
            object.__setattr__(self, name, tuple(map(float, values)))
        if min(self.std) <= 0:
            raise InputError(f"std must be three numbers above 0, not {self.std}")
        if max(self.mean) > 1.01 or max(self.std) > 2:  # rounded numbers may pass 1 a little
            raise InputError(
                f"mean = {self.mean} and std = {self.std} are of pixels from 0 to 255, and images are in [0, 1]: "
                "divide both by 255"
            )
        sides = self.resize if isinstance(self.resize, tuple) else (self.resize,)
        whole = all(isinstance(side, Integral) and not isinstance(side, bool) for side in (*sides, self.crop))
        fewest = 1 if isinstance(self.resize, tuple) else 0
        known = whole and min(*sides, self.crop) >= 0 and max(*sides, self.crop) <= PIXELS.high
        if not known or len(sides) != 1 + fewest or min(sides) < fewest:
            raise InputError(
                f"resize = {self.resize!r} and crop = {self.crop!r} must be whole pixels up to {PIXELS.high:,}, 0 for "
                "none; resize may be (height, width)"
            )
        if self.resize and self.crop > min(sides):
            raise InputError(f"a crop of {self.crop} px is larger than what resize = {self.resize} leaves: set both")
        object.__setattr__(self, "resize", tuple(map(int, sides)) if fewest else int(sides[0]))
        object.__setattr__(self, "crop", int(self.crop))

    def override(self, **fields: Any) -> Preprocessing:
        """With those of the fields that are not 0 or empty."""
        return dataclasses.replace(self, **{name: value for name, value in fields.items() if value})

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of an image after resizing, before the crop."""
        if not self.resize:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        long = int(self.resize * max(height, width) / min(height, width))
        return (self.resize, long) if height <= width else (long, self.resize)

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of an image after resizing and the crop."""
        return (self.crop, self.crop) if self.crop else self.resized(height, width)


def preprocess(images: Float[Array, "b h w 3"], spec: Preprocessing) -> Float[Array, "b i j 3"]:
    """Images in [0, 1] as a classifier wants them.

    Args:
      images: of any size.
      spec: what to do; static under `jit`.

    Returns:
      Images, no longer in [0, 1] where there is a mean.

    Raises:
      InputError: where the images are smaller than the crop.
    """
    size = spec.resized(*images.shape[1:3])
    for shape in ((images.shape[1], size[1]), size):  # the width first, and cubic weights overshoot: as Pillow
        if shape != images.shape[1:3]:
            images = jax.image.resize(images, (len(images), *shape, 3), spec.method).clip(0, 1)
    if spec.crop:
        if min(size) < spec.crop:
            raise InputError(f"a crop of {spec.crop} px is larger than images of {size[0]}x{size[1]} px: set resize")
        top, left = ((side - spec.crop) // 2 for side in size)
        images = images[:, top : top + spec.crop, left : left + spec.crop]
    mean, std = (jnp.asarray(values, images.dtype).reshape(1, 1, 1, 3) for values in (spec.mean, spec.std))
    return (images - mean) / std
