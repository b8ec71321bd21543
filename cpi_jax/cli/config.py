"""The fields of a configuration (see configs/), their defaults, and the sources of data that there are."""

from __future__ import annotations

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from cpi_jax.data.sources import REQUIRED, source_fields
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.settings import Settings

# The arguments of `load_scorer`; of preprocessing, what is 0 or empty is as the classifier's files have it.
_SCORER: dict[str, Any] = {
    "path": "", "kind": "", "module": "", "kwargs": {}, "prompts": (), "output": "", "classes": (), "task": "",
    "probabilities": False, "resize": 0, "crop": 0, "mean": (), "std": (), "method": "",
}  # fmt: skip


def classifier_defaults() -> dict[str, Any]:
    """Fields of one of the `classifiers`."""
    return dict(_SCORER)


def base_config() -> ConfigDict:
    """Every field of a study's configuration but those of its data; see `Settings` and `SamplerSettings`."""
    return ConfigDict(
        {
            # A folder or single file, hub:owner/name, or a name of cpi_jax/embedded.py; lora: path or path:scale, several
            # parted by commas; see `load_checkpoint`.
            "generator": {"path": "", "lora": "", "vae": "", "embeddings": "", "prediction_type": ""},
            "sampler": dataclasses.asdict(SamplerSettings(steps=20, guidance_scale=7.5)),
            "target": dict(_SCORER),  # the classifier under study
            # In its place several that score the same pictures, by name, such as {"a": {"path": ...}, "b": {"path": ...}};
            # each has the fields of `target`, with their defaults where they are not given.
            "classifiers": {},
            "detector": dict(_SCORER),  # of the concepts; without path and module: independence is not checked
            "plan_only": False,  # say what would be generated, and end
            "note": "",  # said at the start of a run, and above its results
            **dataclasses.asdict(Settings()),
        }
    )


STUDY_FIELDS = ("data", *base_config())


def data_config(source: str, **changes: Any) -> ConfigDict:
    """Every field of a source of data, with its defaults or changed; "" where one must be given.

    The fields are the parameters of the function that reads the source and, where it makes examples of columns, what users
    say of those: the keywords of `make_examples`. What the reader says itself is not among them.

    Args:
      source: "shapes", "table", "folder", "coco" or "tfds", or "package.module:function" (`cpi_jax.data.sources`).
      **changes: fields that are not left as they are.
    """
    defaults = {name: "" if default is REQUIRED else default for name, default in source_fields(source).items()}
    return ConfigDict({"source": source, **defaults, **changes}, allow_dotted_keys=True)


def denoiser_defaults() -> dict[str, Any]:
    """Fields of the training of a generator's UNet that suit a checkpoint that there is."""
    return {
        "trained": "unet+text_encoder",
        "lora": {"rank": 16, "alpha": 16.0},  # where trained is "lora"
        "compute_dtype": "float32",  # or "bfloat16"; weights, gradients' sums and averages are float32 in either case
        "accumulate": 1,  # parts of a batch, one after the other
        "remat": False,  # less memory, more time
        "timestep_density": "uniform",  # or "linear": more of high noise
        "min_snr_gamma": 0.0,  # 0: all timesteps weigh alike
        "caption_dropout": 0.1,
        "neutral_share": 0.0,
        "ema_decay": 0.9999,
        "log_every": 100,
        "save_every": 500,
    }
