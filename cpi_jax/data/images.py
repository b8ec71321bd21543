"""Images that are read when they are asked for, several at a time, so that no data set has to fit in memory."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cpi_jax.data.read_ahead import read_ahead
from cpi_jax.errors import InputError
from cpi_jax.validation.ranges import validate_numbers

_AHEAD = 64  # images read before they are asked for
_ORIENTATION = 0x0112  # of EXIF


@runtime_checkable
class RandomAccess(Protocol):
    """What a list and a data source have in common."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


class ImageFiles:
    """N images on disk or in a data source; takes the place of an array uint8 [N, H, W, 3].

    A picture is turned as its EXIF data says, made RGB (transparency on white, 16 bits to 8), and, where there is a size,
    its centre of the wanted shape cut out and resized (antialiased).

    Args:
      files: paths below `root`; or, without a root, anything with a length and an index: encoded bytes, PIL images, arrays.
      root: folder of the paths.
      size: pixels of a side; 0 for as they come, which must then be the same for all.

    Raises:
      InputError: for a path that is empty, leaves the folder or names no file; names the row.
    """

    def __init__(self, files: RandomAccess, *, root: str | Path | None = None, size: int = 0):
        validate_numbers(image_size=size)
        self.root = None if root is None else Path(root)
        self.size: int | tuple[int, int] = size
        self.files = (
            files if self.root is None else _validate_paths([files[row] for row in range(len(files))], self.root)
        )
        self.rows = np.arange(len(files))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> Any:
        """One image uint8 [H, W, 3]; of a slice, a mask or indices, the images that they choose, still unread."""
        if isinstance(which, (int, np.integer)):
            return self._read(int(self.rows[which]))
        chosen = self.with_size(self.size)
        chosen.rows = self.rows[which]
        return chosen

    def with_size(self, size: int | tuple[int, int]) -> ImageFiles:
        """The same images at another size: pixels of a side, or (height, width)."""
        other = object.__new__(ImageFiles)
        other.files, other.root, other.size, other.rows = self.files, self.root, size, self.rows
        return other

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """The images in order, uint8 [size or fewer, H, W, 3], decoded ahead by several threads.

        Raises:
          InputError: for an image that cannot be read, or of another size than the first; names the row.
        """
        pictures = read_ahead(self.__getitem__, len(self), _AHEAD)
        shape = None
        for start in range(0, len(self), size):
            batch = [next(pictures) for _ in range(min(size, len(self) - start))]
            shape = shape or batch[0].shape
            yield _stack(batch, start, shape)

    def validate(self) -> None:
        """Opens every image without decoding it.

        Raises:
          InputError: for the first that is none; names the row.
        """
        if self.root is not None:
            for row in self.rows.tolist():
                try:
                    Image.open(self.root / self.files[row]).close()
                except Exception as error:
                    raise self._cannot_read(row, error) from None

    def size_in_file(self, which: int) -> tuple[int, int]:
        """Height and width of an image as its file has it.

        Raises:
          InputError: for one that cannot be read, or that its EXIF data turn: what is drawn on it may be of either.
        """
        row = int(self.rows[which])
        try:
            content = self.files[row]
            with _picture(content) if self.root is None else Image.open(self.root / content) as picture:
                (width, height), turned = picture.size, picture.getexif().get(_ORIENTATION, 1) != 1
        except Exception as error:
            raise self._cannot_read(row, error) from None
        if turned:
            raise InputError(
                f"the image of row {row + 1} ({content}) is turned by its EXIF data, and nobody says whether its outlines "
                "are: save it as it is seen"
            )
        return height, width

    def read(self) -> np.ndarray:
        """All images at once, uint8 [N, H, W, 3]."""
        return np.concatenate(list(self.batches(_AHEAD)))

    def _read(self, row: int) -> np.ndarray:
        try:
            content = self.files[row]
            if self.root is not None:
                content = (self.root / content).read_bytes()
            return _pixels(_picture(content), self.size)
        except Exception as error:  # decoders of damaged files raise what they like
            raise self._cannot_read(row, error) from None

    def _cannot_read(self, row: int, error: Exception) -> InputError:
        name = f"row {row + 1}" + (f" ({self.files[row]})" if self.root is not None else "")
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "it is no image, or of a kind that Pillow does not read"
        return InputError(f"the image of {name} cannot be read: {reason}")


def batches_of(images: np.ndarray | ImageFiles, size: int) -> Iterator[np.ndarray]:
    """Images in order, uint8 [size or fewer, H, W, 3]."""
    if isinstance(images, ImageFiles):
        return images.batches(size)
    return (images[start : start + size] for start in range(0, len(images), size))


def _validate_paths(paths: Sequence[Any], root: Path) -> list[str]:
    if not root.is_dir():
        raise InputError(f"there is no folder {root} of images; data.image_root names it")
    below, listed = root.resolve(), {}
    paths = [os.fspath(path) if isinstance(path, os.PathLike) else path for path in paths]
    for row, path in enumerate(paths):
        if not isinstance(path, str) or not path.strip():
            raise InputError(f"row {row + 1} has no image path, but {path!r}")
        folder, name = os.path.split(path)
        if "\0" in path or os.path.isabs(path) or ".." in path.replace("\\", "/").split("/"):
            raise InputError(f"row {row + 1}: the image path {path!r} leaves the folder {root}; paths start from there")
        if folder not in listed:
            listed[folder] = _list_files(root / folder, below)
        if name not in listed[folder]:
            if os.path.exists(root / path):
                raise InputError(f"row {row + 1}: the image path {path!r} leaves the folder {root} by a link")
            raise InputError(f"row {row + 1}: there is no image {path!r} in {root}")
    return paths


def _list_files(folder: Path, below: Path) -> set[str]:
    """Names in a folder, but for links that lead out of `below`."""
    if not folder.is_dir() or not folder.resolve().is_relative_to(below):
        return set()
    with os.scandir(folder) as entries:
        return {e.name for e in entries if not e.is_symlink() or Path(e.path).resolve().is_relative_to(below)}


def _picture(content: Any) -> Image.Image:
    """From encoded bytes, an array uint8 [H, W] or [H, W, 1, 3 or 4], or a picture that is one already."""
    if isinstance(content, bytes):
        return Image.open(io.BytesIO(content))
    if isinstance(content, np.ndarray):
        return Image.fromarray(content[..., 0] if content.ndim == 3 and content.shape[-1] == 1 else content)
    if not isinstance(content, Image.Image):
        raise TypeError(
            f"it is a {type(content).__name__}, not encoded bytes, a PIL image or an array; paths need a root"
        )
    return content


def _pixels(picture: Image.Image, size: int | tuple[int, int]) -> np.ndarray:
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        values = values >> 8 if picture.mode.startswith("I;16") else values
        if values.min() < 0 or values.max() > 255:
            raise ValueError("its pixels are 32-bit numbers beyond 255; save it with 8 or 16 bits")
        picture = Image.fromarray(values.astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    height, width = (size, size) if isinstance(size, int) else size
    if size and picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _stack(pictures: list[np.ndarray], start: int, shape: tuple[int, ...]) -> np.ndarray:
    for n, picture in enumerate(pictures):
        if picture.shape != shape:
            raise InputError(
                f"image {start + n + 1} has {picture.shape[1]} x {picture.shape[0]} pixels and others have "
                f"{shape[1]} x {shape[0]}: name one size, data.image_size"
            )
    return np.stack(pictures)


def at_size_of_generated(images: np.ndarray | ImageFiles, height: int, width: int) -> np.ndarray | ImageFiles:
    """Real images at the size of generated ones, unless their files were given another size."""
    if isinstance(images, np.ndarray) and images.shape[1:3] != (height, width):
        images = ImageFiles(images)
    if isinstance(images, ImageFiles) and not images.size:
        return images.with_size(height if height == width else (height, width))
    return images
