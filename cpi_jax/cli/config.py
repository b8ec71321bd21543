"""The fields of a configuration (see configs/), their defaults, and the sources of data that there are."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from cpi_jax.data.coco import read_coco
from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.folder import read_folder
from cpi_jax.data.shapes import make_shapes
from cpi_jax.data.table import read_table
from cpi_jax.data.tfds import read_tfds
from cpi_jax.diffusion.sampler import SamplerSettings
from cpi_jax.errors import require_known
from cpi_jax.settings import Settings
from cpi_jax.user_code import import_function

_SOURCES = {
    "shapes": make_shapes, "table": read_table, "folder": read_folder, "coco": read_coco, "tfds": read_tfds,
}  # fmt: skip

# The arguments of `load_scorer`; of preprocessing, what is 0 or empty is as the classifier's files have it.
_SCORER: dict[str, Any] = {
    "path": "", "kind": "", "module": "", "kwargs": {}, "prompts": (), "output": "", "classes": (), "task": "",
    "probabilities": False, "resize": 0, "crop": 0, "mean": (), "std": (), "method": "",
}  # fmt: skip


def base_config() -> ConfigDict:
    """Every field of a study's configuration but those of its data; see `Settings` and `SamplerSettings`."""
    return ConfigDict(
        {
            # A folder, hub:owner/name, or a name of cpi_jax/embedded.py; lora: path or path:scale.
            "generator": {"path": "", "lora": ""},
            "sampler": dataclasses.asdict(SamplerSettings(steps=20, guidance_scale=7.5)),
            "target": dict(_SCORER),  # the classifier under study
            "detector": dict(_SCORER),  # of the concepts; without path and module: independence is not checked
            "plan_only": False,  # say what would be generated, and end
            "note": "",  # said at the start of a run, and above its results
            **dataclasses.asdict(Settings()),
        }
    )


STUDY_FIELDS = ("data", *base_config())
REQUIRED = inspect.Parameter.empty  # what stands for the default of a field that must be given


def data_config(source: str, **changes: Any) -> ConfigDict:
    """Every field of a source of data, with its defaults or changed; "" where one must be given.

    The fields are the parameters of the function that reads the source and, where it makes examples of columns, what users
    say of those: the keywords of `make_examples`. What the reader says itself is not among them.

    Args:
      source: one of `_SOURCES`, or "package.module:function", a function of the user that returns `Examples`.
      **changes: fields that are not left as they are.
    """
    defaults = {name: "" if default is REQUIRED else default for name, default in source_defaults(source).items()}
    return ConfigDict({"source": source, **defaults, **changes}, allow_dotted_keys=True)


def source_defaults(source: str) -> dict[str, Any]:
    """The fields of a source of data and their defaults, `REQUIRED` where one must be given.

    Raises:
      InputError: where there is no such source.
    """
    parameters = dict(inspect.signature(source_reader(source)).parameters)
    if parameters.pop("columns", None) is not None:
        of_columns = inspect.signature(make_examples).parameters
        users = (n for n, p in of_columns.items() if p.kind is inspect.Parameter.KEYWORD_ONLY and n not in parameters)
        parameters |= {name: of_columns[name] for name in users}
    return {name: parameter.default for name, parameter in parameters.items()}


def source_reader(source: str) -> Callable[..., Examples]:
    """The function that reads a source of data; its parameters are the fields of `data`.

    Raises:
      InputError: where there is none.
    """
    if ":" in source:
        return import_function(source)
    require_known(source, "source of data", tuple(_SOURCES))
    return _SOURCES[source]


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
