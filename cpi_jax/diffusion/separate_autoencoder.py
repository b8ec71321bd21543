"""An autoencoder that does not come with its checkpoint: a folder, or a single file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cpi_jax.checkpoints.weights import read_params
from cpi_jax.diffusion.single_file import open_single_vae
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json
from cpi_jax.files.location import find_path

_CLASS = "AutoencoderKL"
_SCALE = 0.18215  # where config.json says none


def open_vae(
    spec: str, configs: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], Callable[..., dict[str, Any]]]:
    """Looks at the autoencoder of `generator.vae`.

    Args:
      spec: a folder with config.json and weights, the folder of a checkpoint with vae/, or a single file.
      configs: of the checkpoint's own parts.

    Returns:
      Its configuration, and what reads it (`Opened.read`).

    Raises:
      InputError: where there is none, or one whose latents the UNet was not trained on.
    """
    path, own = find_path(spec), configs["vae"]
    if path.is_file():
        config, read = open_single_vae(path, own)
    else:
        folder = path / "vae" if (path / "vae").is_dir() else path
        if not (folder / "config.json").is_file():
            raise InputError(
                f"there is no autoencoder at {path}: generator.vae is a folder with config.json, or a single file"
            )
        config = read_json(folder / "config.json")
        kind = config.get("_class_name", config.get("architectures", _CLASS))
        if str(kind).removeprefix("Flax") != _CLASS:
            raise InputError(f"{folder} holds a {kind} (config.json), and generator.vae is an {_CLASS}")

        def read(shapes: dict[str, Any], *, dtype: Any, add: Any) -> dict[str, Any]:
            return {"vae": read_params(folder, shapes["vae"], dtype=dtype)}

    latent, taken = config.get("latent_channels", 4), configs["unet"].get("in_channels", 4)
    if latent != taken:
        raise InputError(
            f"the autoencoder {path} has latents of {latent} channels{', as SD 3 and FLUX,' * (latent == 16)} and the UNet "
            f"takes {taken}"
        )
    scale, wanted = (of.get("scaling_factor", _SCALE) for of in (config, own))
    if scale != wanted:
        raise InputError(
            f"the autoencoder {path} scales latents by {scale}, the checkpoint's own by {wanted}: it is of another family, "
            "and its latents are not those that the UNet was trained on"
        )
    return config, read
