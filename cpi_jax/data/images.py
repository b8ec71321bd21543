"""Images that are read when they are asked for, several at a time, so that no data set has to fit in memory."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image, ImageOps

from cpi_jax.errors import InputError

_AHEAD = 64  # images read before they are asked for
_ORIENTATION = 0x0112  # of EXIF


@runtime_checkable
class RandomAccess(Protocol):
    """What a list and a data source have in common."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


class ImageFiles:
    """N images on disk or in a data source; takes the place of an array uint8 [N, H, W, 3].

    A picture is turned as its EXIF data says, made RGB (transparency on white, 16 bits to 8), and, where there is a size,
    its shorter side resized (antialiased) and its centre cut out.

    Args:
      files: paths below `root`; or, without a root, anything with a length and an index: encoded bytes, PIL images, arrays.
      root: folder of the paths.
      size: pixels of a side; 0 for as they come, which must then be the same for all.

    Raises:
      InputError: for a path that is empty, leaves the folder or names no file; names the row.
    """

    def __init__(self, files: RandomAccess, *, root: str | Path | None = None, size: int = 0):
        self.files, self.root, self.size = files, None if root is None else Path(root), size
        self.rows = np.arange(len(files))
        if self.root is not None:
            _check_paths(files, self.root)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> Any:
        """One image uint8 [H, W, 3]; of a slice, a mask or indices, the images that they choose, still unread."""
        if isinstance(which, (int, np.integer)):
            return self._read(int(self.rows[which]))
        chosen = self.with_size(self.size)
        chosen.rows = self.rows[which]
        return chosen

    def with_size(self, size: int) -> ImageFiles:
        """The same images at another size."""
        other = object.__new__(ImageFiles)
        other.files, other.root, other.size, other.rows = self.files, self.root, size, self.rows
        return other

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """The images in order, uint8 [size or fewer, H, W, 3], decoded ahead by several threads.

        Raises:
          InputError: for an image that cannot be read, or of another size than the first; names the row.
        """
        import grain  # takes a second to import

        threads = os.cpu_count() or 1
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(_AHEAD, threads))
        pictures = iter(grain.MapDataset.source(self).to_iter_dataset(options))
        shape = None
        for start in range(0, len(self), size):
            batch = [next(pictures) for _ in range(min(size, len(self) - start))]
            shape = shape or batch[0].shape
            yield _stack(batch, start, shape)

    def check(self) -> None:
        """Opens every image without decoding it.

        Raises:
          InputError: for the first that is none; names the row.
        """
        if self.root is not None:
            for row in self.rows.tolist():
                try:
                    Image.open(self.root / self.files[row]).close()
                except (OSError, Image.DecompressionBombError) as error:
                    raise InputError(
                        f"the image of row {row + 1} ({self.files[row]}) cannot be read: {error}"
                    ) from None

    def read(self) -> np.ndarray:
        """All images at once, uint8 [N, H, W, 3]."""
        return np.concatenate(list(self.batches(_AHEAD)))

    def _read(self, row: int) -> np.ndarray:
        content = self.files[row]
        name = f"row {row + 1}" + (f" ({content})" if self.root is not None else "")
        try:
            if self.root is not None:
                content = (self.root / str(content)).read_bytes()
            if isinstance(content, np.ndarray):
                content = Image.fromarray(content[..., 0] if content.shape[-1] == 1 else content)
            picture = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else content
            return _pixels(picture, self.size)
        except Exception as error:  # decoders of damaged files raise what they like
            raise InputError(f"the image of {name} cannot be read: {error or type(error).__name__}") from None


def batches_of(images: np.ndarray | ImageFiles, size: int) -> Iterator[np.ndarray]:
    """Images in order, uint8 [size or fewer, H, W, 3]."""
    if isinstance(images, ImageFiles):
        return images.batches(size)
    return (images[start : start + size] for start in range(0, len(images), size))


def _check_paths(paths: Sequence[Any], root: Path) -> None:
    if not root.is_dir():
        raise InputError(f"there is no folder {root} of images; data.image_root names it")
    listed: dict[str, set[str]] = {}
    for row, path in enumerate(paths):
        if not isinstance(path, str) or not path.strip():
            raise InputError(f"row {row + 1} has no image path, but {path!r}")
        folder, name = os.path.split(path)
        if "\0" in path or os.path.isabs(path) or ".." in path.replace("\\", "/").split("/"):
            raise InputError(f"row {row + 1}: the image path {path!r} leaves the folder {root}; paths start from there")
        if folder not in listed:
            try:
                listed[folder] = set(os.listdir(root / folder))
            except OSError:
                listed[folder] = set()
        if name not in listed[folder]:
            raise InputError(f"row {row + 1}: there is no image {path!r} in {root}")


def _pixels(picture: Image.Image, size: int) -> np.ndarray:
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels have more than 16 bits; save it with 8 or 16")
        picture = Image.fromarray(
            (values >> 8 if picture.mode.startswith("I;16") else values).clip(0, 255).astype(np.uint8)
        )
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    if size and picture.size != (size, size):
        width, height = picture.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        picture = picture.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.asarray(picture)


def _stack(pictures: list[np.ndarray], start: int, shape: tuple[int, ...]) -> np.ndarray:
    for n, picture in enumerate(pictures):
        if picture.shape != shape:
            raise InputError(
                f"image {start + n + 1} has {picture.shape[1]} x {picture.shape[0]} pixels and others have "
                f"{shape[1]} x {shape[0]}: name one size, data.image_size"
            )
    return np.stack(pictures)
