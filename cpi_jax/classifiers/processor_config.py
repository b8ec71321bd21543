"""Preprocessing from the preprocessor_config.json of a Hugging Face folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from cpi_jax.classifiers.preprocessing import Preprocessing
from cpi_jax.errors import InputError, require_known
from cpi_jax.files.json_files import read_json

_METHODS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
_HALF = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
_CLIP = {"image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711)}
# What a processor does where its file does not say.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "ViT": {"size": 224, "resample": 2, **_HALF},
    "ConvNext": {"size": 384, "resample": 2, "crop_pct": 224 / 256, **_IMAGENET},
    "CLIP": {"size": 224, "resample": 3, "do_center_crop": True, "crop_size": 224, **_CLIP},
}
_STEPS = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
_KNOWN_STEPS = {*_STEPS, "do_convert_rgb"}


def read_preprocessing(path: Path, default: str) -> Preprocessing:
    """Reads the settings of a ViT, ConvNext (ResNet's too) or CLIP image processor.

    Args:
      path: of preprocessor_config.json.
      default: "ViT", "ConvNext" or "CLIP": the processor where the file does not name one.

    Raises:
      InputError: where the file is missing, or for a setting that is not supported; names it.
    """
    config = read_json(path)
    try:
        return _read(config, path, default)
    except (TypeError, ValueError, KeyError, AttributeError, ZeroDivisionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} has settings that cannot be read: {error!r}") from None


def _read(config: dict[str, Any], path: Path, default: str) -> Preprocessing:
    written = config.get("image_processor_type") or config.get("feature_extractor_type") or default
    kind = re.sub(r"(ImageProcessor|FeatureExtractor)(Fast)?$", "", written)
    require_known(kind, f"image processor in {path.name} that is supported", tuple(_DEFAULTS))
    given = {name: value for name, value in config.items() if value is not None}
    steps = _KNOWN_STEPS | ({"do_center_crop"} if kind == "CLIP" else set())
    for name, value in given.items():
        if name.startswith("do_") and not isinstance(value, bool):
            raise InputError(f"{path} has {name} = {value!r}, which must be true or false")
        if name.startswith("do_") and value and name not in steps:
            raise InputError(f"{path} has {name} = {value}, which is not supported")
    config = _STEPS | _DEFAULTS[kind] | given
    if config["resample"] not in _METHODS:
        raise InputError(f"{path} has resample = {config['resample']}; 2 (bilinear) and 3 (bicubic) are supported")
    resize, crop = _sizes(kind, config, path)
    # The file's numbers are for pixels of 0 to 255 times a factor; ours are of 0 to 1.
    unit = 255 * config["rescale_factor"] if config["do_rescale"] else 255.0
    numbers = (config["image_mean"], config["image_std"]) if config["do_normalize"] else (0, 1)
    if config["do_normalize"] and unit > 10 and max(np.max(x) for x in numbers) <= 1:
        raise InputError(
            f"{path} normalises pixels from 0 to {unit:g} by a mean and std of pixels in [0, 1]: set do_rescale to true "
            "there where the classifier was trained on images in [0, 1], as most are"
        )
    mean, std = (tuple((np.broadcast_to(x, 3) / unit).tolist()) for x in numbers)
    try:
        return Preprocessing(resize, crop, mean, std, _METHODS[config["resample"]])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _sizes(kind: str, config: dict[str, Any], path: Path) -> tuple[int | tuple[int, int], int]:
    """Size after resizing, and of the crop."""
    size = _one_size(config["size"], "size", path, whole=kind == "ViT")
    if kind == "ConvNext":
        if not config["do_resize"]:
            return 0, 0
        if isinstance(size, tuple):
            raise InputError(f"{path} has size = {config['size']}; shortest_edge is supported")
        return (int(size / config["crop_pct"]), size) if size < 384 else ((size, size), 0)
    crop = 0
    if config.get("do_center_crop"):
        sides = _one_size(config["crop_size"], "crop_size", path, whole=True)
        if sides[0] != sides[1]:
            raise InputError(f"{path} has crop_size = {config['crop_size']}; square crops are supported")
        crop = sides[0]
    return size if config["do_resize"] else 0, crop


@overload
def _one_size(value: Any, name: str, path: Path, whole: Literal[True]) -> tuple[int, int]: ...
@overload
def _one_size(value: Any, name: str, path: Path, whole: bool) -> int | tuple[int, int]: ...
def _one_size(value: Any, name: str, path: Path, whole: bool) -> int | tuple[int, int]:
    """The shorter side, or (height, width); a single number says both where `whole`."""
    if isinstance(value, int):
        return (value, value) if whole else value
    if isinstance(value, dict) and value.keys() == {"height", "width"}:
        return value["height"], value["width"]
    if isinstance(value, dict) and value.keys() == {"shortest_edge"} and not whole:
        return value["shortest_edge"]
    raise InputError(f"{path} has {name} = {value}, which is not supported")
