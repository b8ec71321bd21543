"""Fashion-MNIST's garments set on photographs: real pictures whose every counterfactual can be made.

A 64x64 picture is a garment (Xiao et al. 2017, arXiv 1708.07747) in a tint, at a random place and size, on a crop of
scikit-image's photograph of grass, gravel or brick. Its caption says all three: "a red sneaker on grass". The task is to
tell footwear; how well the background predicts it is the caller's choice. Since the pictures are composites, the same
example with another background, garment or tint can be made exactly: what a generator should have drawn.
"""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage.data
from jaxtyping import Int, UInt8
from PIL import Image

from cpi_jax.data.examples import Examples
from cpi_jax.data.shapes import MOST
from cpi_jax.errors import InputError, require_known
from cpi_jax.validation.ranges import validate_numbers, whole

SOURCE = "benchmarks.shortcut.photographs:make_fashion"  # as a configuration names it
ASSETS = Path(__file__).parent / "assets"  # the generator, the detector, and both classifiers
SLOTS = ("tint", "garment", "background")
# Contents of the slots, with Fashion-MNIST's class of each garment.
TINTS = {"red": (0.92, 0.16, 0.16), "blue": (0.20, 0.36, 0.98), "yellow": (0.98, 0.86, 0.14)}
GARMENTS = {"shirt": 0, "bag": 8, "sneaker": 7, "boot": 9}
# Each photograph comes in three tints of its own, which captions do not say.
BACKGROUNDS = {
    "grass": ((0.42, 0.80, 0.34), (0.62, 0.80, 0.32), (0.34, 0.66, 0.44)),
    "gravel": ((0.74, 0.74, 0.76), (0.62, 0.66, 0.74), (0.80, 0.76, 0.68)),
    "brick": ((0.88, 0.46, 0.36), (0.80, 0.54, 0.40), (0.72, 0.42, 0.40)),
}
FOOTWEAR = ("sneaker", "boot")
FOOTWEAR_BACKGROUND = "grass"
SIZE = 64
DEFAULT_PATH = "/usr/share/datasets/fashion-mnist"
_FILES = {"train": "train", "study": "t10k"}
_PHRASES = ("a {}", "{}", "on {}")
_CONTENTS = tuple(map(tuple, (TINTS, GARMENTS, BACKGROUNDS)))


def make_fashion(
    split: str = "study",
    num_examples: int = 600,
    *,
    path: str = DEFAULT_PATH,
    seed: int = 0,
    start: int = 0,
    correlation: float = 0.0,
    masks: bool = False,
) -> Examples:
    """Draws the pictures with ids start ... start + num_examples - 1.

    Labels say whether the garment is footwear. With `correlation` c, the background is grass c more often under footwear
    than elsewhere: a share c of the examples takes a background of its label's own (footwear: grass, others: gravel or
    brick), the rest any of the three. Grass then predicts footwear in (1 + c) / 2 of balanced data; .9 gives 95 %.

    Args:
      split: "train" or "study", by Fashion-MNIST's own split; a garment's picture repeats only when all were used.
      num_examples: N > 0.
      path: folder of Fashion-MNIST's IDX files, gzipped or not.
      seed: chooses the data set.
      start: id of the first picture.
      correlation: of background and label, in [0, 1].
      masks: also returns the pixels that each slot is about (those of tint and garment are the same).

    Raises:
      InputError: for numbers out of range, or files that are missing or damaged.
    """
    ids, contents = _draw_contents(split, num_examples, path, seed, start, correlation)
    images, alphas = render_fashion(ids, contents, split=split, path=path, seed=seed)
    garment = alphas > 0.5
    names = [_CONTENTS[k][v] for k in range(len(SLOTS)) for v in range(len(_CONTENTS[k]))]
    of_slot = [k for k in range(len(SLOTS)) for _ in _CONTENTS[k]]
    concepts = np.concatenate([contents[:, k, None] == np.arange(len(_CONTENTS[k])) for k in range(len(SLOTS))], axis=1)
    said = [[_PHRASES[k].format(text) for text in _CONTENTS[k]] for k in range(len(SLOTS))]
    return Examples(
        ids=ids,
        slots=[tuple(said[k][v] for k, v in enumerate(row)) for row in contents.tolist()],
        slot_names=SLOTS,
        concepts=concepts.astype(np.int8),
        labels=_is_footwear(contents[:, 1]).astype(np.int32),
        images=images,
        masks=np.stack([garment, garment, ~garment], axis=1) if masks else None,
        concept_names=tuple(f"{SLOTS[k]}: {name}" for k, name in zip(of_slot, names)),
        concept_slots=tuple(of_slot),
    )


def fashion_contents(slots: Sequence[tuple[str, ...]]) -> Int[np.ndarray, "n 3"]:
    """Indices of tint, garment and background in `TINTS`, `GARMENTS` and `BACKGROUNDS` that slot texts say."""
    index = [{_PHRASES[k].format(text): v for v, text in enumerate(_CONTENTS[k])} for k in range(len(SLOTS))]
    return np.array([[index[k][text] for k, text in enumerate(row)] for row in slots], np.int64).reshape(-1, len(SLOTS))


def render_fashion(
    ids: Int[np.ndarray, " n"], contents: Int[np.ndarray, "n 3"], *, split: str, path: str = DEFAULT_PATH, seed: int = 0
) -> tuple[UInt8[np.ndarray, "n h w 3"], np.ndarray]:
    """Pictures of examples with contents of anybody's choice, and how much of each pixel is the garment's, [N, H, W].

    Place, size, crop and shades follow from (seed, id) alone, so that pictures of one id differ in what `contents` differ.
    A garment of another kind than the example's own is a picture of that kind which the id chooses.

    Args:
      ids: of the examples.
      contents: of tint, garment and background, as `fashion_contents` gives them.
      split: "train" or "study".
      path: folder of Fashion-MNIST's IDX files.
      seed: of the data set.
    """
    pictures, kinds = _read_garments(split, path)
    own = _own_pictures(ids, kinds, seed)
    of_kind = [np.flatnonzero(kinds == g) for g in range(len(GARMENTS))]
    tints, shades = np.array(list(TINTS.values())), np.array(list(BACKGROUNDS.values()))
    images = np.empty((len(ids), SIZE, SIZE, 3), np.uint8)
    alphas = np.empty((len(ids), SIZE, SIZE), np.float32)
    for n, (i, (tint, garment, background)) in enumerate(zip(ids.tolist(), contents.tolist())):
        u = _chances(seed, i)[6:]
        choices = of_kind[garment]
        which = own[n] if kinds[own[n]] == garment else choices[int(u[0] * len(choices))]
        scene = _crop(tuple(BACKGROUNDS)[background], u[1:5]) * shades[background, int(3 * u[5])] * (0.85 + 0.4 * u[6])
        brightness, alpha = _place(pictures[which], u[7:10])
        image = scene + alpha[..., None] * (brightness[..., None] * tints[tint] - scene)
        images[n], alphas[n] = np.round(np.clip(image, 0, 1) * 255), alpha
    return images, alphas


def read_idx(path: str | Path, stem: str) -> np.ndarray:
    """An array of unsigned bytes from an IDX file, gzipped (stem.gz) or not.

    Raises:
      InputError: where the file is missing or damaged; names the Debian package and the option.
    """
    mend = "install the Debian package dataset-fashion-mnist, or name a folder of its IDX files in --config.data.path"
    files = [
        file for file in (Path(path).expanduser() / f"{stem}.gz", Path(path).expanduser() / stem) if file.is_file()
    ]
    if not files:
        raise InputError(f"{Path(path) / stem}.gz is missing: {mend}")
    try:
        content = files[0].read_bytes()
        content = gzip.decompress(content) if files[0].suffix == ".gz" else content
        if content[:3] != b"\0\0\x08":
            raise ValueError
        ndim = content[3]
        shape = tuple(np.frombuffer(content, ">u4", ndim, 4).tolist())
        return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)
    except (ValueError, IndexError, EOFError, OSError, zlib.error):
        raise InputError(f"{files[0]} is damaged or no IDX file: {mend}") from None


def _draw_contents(
    split: str, num_examples: int, path: str, seed: int, start: int, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    require_known(split, "split", tuple(_FILES))
    whole(1, MOST).validate("num_examples", num_examples)
    validate_numbers(seed=seed, start=start, correlation=correlation)
    ids = np.arange(start, start + num_examples, dtype=np.int64)
    _, kinds = _read_garments(split, path)
    garments = kinds[_own_pictures(ids, kinds, seed)]
    u = np.stack([_chances(seed, i)[:3] for i in ids.tolist()])
    grass = list(BACKGROUNDS).index(FOOTWEAR_BACKGROUND)
    others = np.array([b for b in range(len(BACKGROUNDS)) if b != grass])
    matching = np.where(_is_footwear(garments), grass, others[(u[:, 1] * len(others)).astype(int)])
    anything = (u[:, 1] * len(BACKGROUNDS)).astype(int)
    backgrounds = np.where(u[:, 0] < correlation, matching, anything)
    return ids, np.stack([(u[:, 2] * len(TINTS)).astype(int), garments, backgrounds], axis=1)


def _chances(seed: int, i: int) -> np.ndarray:
    """All that is random about example i: of its contents the first six numbers, of its picture the others."""
    return np.random.default_rng([seed, i]).random(16)


def _is_footwear(garments: np.ndarray) -> np.ndarray:
    return np.isin(garments, [list(GARMENTS).index(name) for name in FOOTWEAR])


@functools.lru_cache(maxsize=4)
def _read_garments(split: str, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the garments that are used, uint8 [M, 28, 28], and their kinds, [M]."""
    images, labels = (read_idx(path, f"{_FILES[split]}-{part}") for part in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    if images.shape != (len(labels), 28, 28):
        raise InputError(f"{path} holds {len(labels)} labels and images of shape {images.shape}: not Fashion-MNIST's")
    kinds = np.full(len(labels), -1)
    for kind, number in enumerate(GARMENTS.values()):
        kinds[labels == number] = kind
    if missing := set(range(len(GARMENTS))) - set(kinds.tolist()):
        raise InputError(f"{path} holds no {list(GARMENTS)[min(missing)]} in its {split} split: not Fashion-MNIST's")
    return images[kinds >= 0], kinds[kinds >= 0]


def _own_pictures(ids: np.ndarray, kinds: np.ndarray, seed: int) -> np.ndarray:
    """The garment's picture of each example: all are used before one comes again."""
    return np.random.default_rng(seed).permutation(len(kinds))[ids % len(kinds)]


@functools.cache
def _photograph(name: str) -> np.ndarray:
    """Grey levels about [0, 1], with one mean and contrast for all photographs."""
    grey = getattr(skimage.data, name)().astype(np.float32)
    return 0.62 + 0.2 * (grey - grey.mean()) / grey.std()


def _crop(name: str, u: np.ndarray) -> np.ndarray:
    """A random square of a photograph, or its mirror image, [64, 64, 1]."""
    photo = _photograph(name)
    side = int(64 + 48 * u[0])
    row, column = (int(v * (len(photo) - side)) for v in u[1:3])
    square = Image.fromarray(photo[row : row + side, column : column + side]).resize((SIZE, SIZE), Image.BOX)
    return np.asarray(square)[:, :: 1 if u[3] < 0.5 else -1, None]


def _place(picture: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A garment's brightness and coverage on the canvas, float [64, 64] each."""
    side = int(32 + 14 * u[0])
    row, column = (int(v * (SIZE - side + 1)) for v in u[1:3])
    brightness, alpha = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    grown = np.asarray(Image.fromarray(picture).resize((side, side), Image.BILINEAR), np.float32) / 255
    brightness[row : row + side, column : column + side] = 0.4 + 0.6 * grown
    alpha[row : row + side, column : column + side] = np.clip(6 * grown - 0.3, 0, 1)
    return brightness, alpha
