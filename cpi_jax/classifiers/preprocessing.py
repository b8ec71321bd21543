"""What a classifier wants of an image: its size and its range of values. Part of the classifier's jitted function."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cpi_jax.errors import InputError, require_known

METHODS = ("bilinear", "bicubic")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Resize, crop, normalise, in this order; the default changes nothing.

    Attributes:
      resize: pixels of the shorter side, the other in proportion; or (height, width); 0: as they are.
      crop: side of the square cut from the middle; 0: all of it.
      mean: of each colour channel, subtracted.
      std: of each colour channel, divided by.
      method: of resizing, "bilinear" or "bicubic", with antialiasing as Pillow has it.
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
            numeric = all(isinstance(value, (int, float)) for value in values)
            if len(values) != 3 or not numeric or not np.isfinite(values).all() or (name == "std" and min(values) <= 0):
                raise InputError(f"{name} must be three numbers{' above 0' * (name == 'std')}, not {values}")
            object.__setattr__(self, name, tuple(map(float, values)))
        sizes = self.resize if isinstance(self.resize, tuple) else (self.resize,)
        if len(sizes) > 2 or min(*sizes, self.crop) < 0:
            raise InputError(f"resize = {self.resize} and crop = {self.crop} must be pixels, or 0 for none")

    def override(self, **fields) -> Preprocessing:
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
