"""Which pipelines can be read, and repositories of the Hugging Face Hub: the pipeline is judged before gigabytes come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cpi_jax.checkpoints.weights import has_weights
from cpi_jax.diffusion.families import SUPPORTED, family_of_pipeline
from cpi_jax.diffusion.part_configs import REFINER
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json
from cpi_jax.files.location import HUB, HUB_NAME

INDEX = "model_index.json"
_PARTS = ("text_encoder", "unet", "vae")
_PARTS_XL = ("text_encoder", "text_encoder_2", "unet", "vae")
_PIPELINES = {"StableDiffusionPipeline", "FlaxStableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"}
_PIPELINES_XL = {"StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"}
# Of weights the first kind that a part has, and no copies beside it.
_COPIES = ["*fp16*", "*non_ema*", "*ema_only*"]
_WEIGHT_KINDS = [
    (["*.safetensors"], _COPIES),
    (["*.msgpack"], _COPIES),
    (["*fp16*.safetensors", "*fp16*.json"], []),
]


def validate_pipeline(index: Path, name: str) -> tuple[str, ...]:
    """Refuses other pipelines than text to image by Stable Diffusion 1.x, 2.x or XL.

    Args:
      index: model_index.json.
      name: of the checkpoint, for messages.

    Returns:
      The names of the networks' folders.

    Raises:
      InputError: names the pipeline.
    """
    content = read_json(index)
    kind = content.get("_class_name", "StableDiffusionPipeline")
    if not isinstance(kind, str) or kind not in _PIPELINES | _PIPELINES_XL:
        family = family_of_pipeline(str(kind))
        of = f", of the family {family}" if family else ""
        raise InputError(f"{name} holds a {kind} ({INDEX}){of}; only {SUPPORTED} are supported")
    if kind in _PIPELINES_XL and (
        content.get("requires_aesthetics_score") or content.get("text_encoder", True) in (None, [None, None])
    ):
        raise InputError(f"{name}: {REFINER}")
    return _PARTS_XL if kind in _PIPELINES_XL else _PARTS


def download(name: str) -> Path:
    """Where the Hub's cache has a repository: what pipeline it holds is looked at first, and the weights come afterwards.

    Args:
      name: "owner/name" or "owner/name@revision".

    Raises:
      InputError: for another kind of pipeline, or a repository that cannot be had.
    """
    if not HUB_NAME.fullmatch(name):
        raise InputError(f"{HUB}{name} must be {HUB}owner/name or {HUB}owner/name@revision")
    from huggingface_hub import hf_hub_download, snapshot_download  # only here: nothing else asks the network

    repository, _, revision = name.partition("@")

    def fetch(function: Callable[..., str], *args: str, **kwargs: Any) -> Path:
        try:
            return Path(function(repository, *args, revision=revision or None, **kwargs))
        except Exception as error:  # its kinds differ between releases: no network, no such repository, no permission
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise InputError(f"{HUB}{name} could not be had from the Hugging Face Hub: {reason}") from error

    lacking = list(validate_pipeline(fetch(hf_hub_download, INDEX), f"{HUB}{name}"))
    folder, small = Path(), [INDEX, "scheduler/*.json", "tokenizer*/*.json", "tokenizer*/*.txt"]
    small += [f"{part}/*.json" for part in lacking]
    for kinds, ignored in _WEIGHT_KINDS:
        wanted = [*small, *(f"{part}/{kind}" for part in lacking for kind in kinds)]
        folder, small = fetch(snapshot_download, allow_patterns=wanted, ignore_patterns=ignored), []
        lacking = [part for part in lacking if not has_weights(folder / part)]
        if not lacking:
            break
    return folder  # what is lacking is said when it is read
