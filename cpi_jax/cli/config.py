"""From a configuration (see configs/) to a study."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ml_collections import ConfigDict

from cpi_jax.captions.encoding import Tokenizer, UnknownWordError
from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.classifiers.recorded import RecordedScorer
from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.data.coco import read_coco
from cpi_jax.data.columns import make_examples
from cpi_jax.data.examples import Examples
from cpi_jax.data.folder import read_folder
from cpi_jax.data.shapes import make_shapes
from cpi_jax.data.table import read_table
from cpi_jax.data.tfds import read_tfds
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.diffusion.sampler import Generator, SamplerSettings
from cpi_jax.embedded import describe_embedded, find_embedded
from cpi_jax.errors import InputError, require_known
from cpi_jax.files.location import find_path
from cpi_jax.settings import Settings
from cpi_jax.store.store import Store
from cpi_jax.study import Study
from cpi_jax.user_code import import_function, only_data

_SOURCES = {
    "shapes": make_shapes, "table": read_table, "folder": read_folder, "coco": read_coco, "tfds": read_tfds,
}  # fmt: skip

_PATHS = {"path", "labels", "image_root", "data_dir"}  # of data
_MISSING = inspect.Parameter.empty
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


def data_config(source: str, **changes: Any) -> ConfigDict:
    """Every field of a source of data, with its defaults or changed; "" where one must be given.

    The fields are the parameters of the function that reads the source and, where it makes examples of columns, what users
    say of those: the keywords of `make_examples`. What the reader says itself is not among them.

    Args:
      source: one of `_SOURCES`, or "package.module:function", a function of the user that returns `Examples`.
      **changes: fields that are not left as they are.
    """
    defaults = {name: "" if default is _MISSING else default for name, default in _fields(source).items()}
    return ConfigDict({"source": source, **defaults, **changes}, allow_dotted_keys=True)


def _fields(source: str) -> dict[str, Any]:
    """The parameters of a source and their defaults."""
    own = dict(inspect.signature(_reader(source)).parameters)
    if own.pop("columns", None) is not None:
        said = inspect.signature(make_examples).parameters
        own |= {n: said[n] for n in said if said[n].kind is inspect.Parameter.KEYWORD_ONLY and n not in own}
    return {name: parameter.default for name, parameter in own.items()}


def _reader(source: str) -> Callable[..., Examples]:
    if ":" in source:
        return import_function(source)
    require_known(source, "source of data", tuple(_SOURCES))
    return _SOURCES[source]


def study_from_config(
    config: ConfigDict,
    workdir: str | Path,
    *,
    readonly: bool = False,
    trusted: bool = True,
    others: Mapping[str, Scorer] = MappingProxyType({}),
) -> Study:
    """Opens the study that a configuration describes: a new one, one to resume, or one to extend.

    Args:
      config: its configuration.
      workdir: its folder.
      readonly: changes nothing in the folder.
      trusted: whether the modules that the configuration names are imported; else the scores that the folder holds stand
        for the classifiers in them, and nothing can be generated.
      others: scorers of the same images besides the target and the detector.

    Raises:
      InputError: for anything that a study cannot be made of.
    """
    from cpi_jax.opening import open_study  # only here: to read a configuration takes none of the statistics' libraries

    settings = Settings.from_dict({field.name: _plain(config[field.name]) for field in dataclasses.fields(Settings)})
    with nullcontext() if trusted else only_data():
        examples = examples_from_config(config)
        generator, tokenizer = generator_from_config(config)
        scorers = scorers_from_config(config, None if trusted else workdir)
    try:
        return open_study(
            examples,
            generator=generator,
            tokenizer=tokenizer,
            scorers={**scorers, **others},
            settings=settings,
            workdir=workdir,
            config=config.to_dict(),
            readonly=readonly,
        )
    except UnknownWordError as error:
        raise InputError(f"{error}{describe_embedded(config.generator.path)}") from None


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, ConfigDict) else value


def examples_from_config(config: ConfigDict) -> Examples:
    """Reads the data.

    Raises:
      InputError: for data that cannot be used.
    """
    fields = config.data.to_dict()
    source = fields.pop("source")
    for name, default in _fields(source).items():
        if default is _MISSING and not fields.get(name):
            raise InputError(f"--config.data.{name} must name the data's {name}")
    for name in _PATHS & fields.keys():
        if fields[name]:
            try:
                fields[name] = str(find_path(fields[name]))
            except InputError as error:
                raise InputError(f"--config.data.{name}: {error}") from None
    found = _reader(source)(**fields)
    if not isinstance(found, Examples):
        raise InputError(
            f"--config.data.source: {source} gave a {type(found).__name__}, and must give cpi_jax.Examples"
        )
    return found


def generator_from_config(config: ConfigDict) -> tuple[Generator, Tokenizer]:
    """Reads the generator."""
    return load_generator(_path(config, "generator"), lora=config.generator.lora, **config.sampler)


def scorers_from_config(config: ConfigDict, recorded: str | Path | None = None) -> dict[str, Scorer | HostScorer]:
    """Reads the classifier under study, the target, and the detector where there is one.

    Args:
      config: of the study.
      recorded: the folder that holds its scores, which stand for classifiers of the user's code; None: that code is
        imported.
    """
    scorers = {"target": _scorer(config, "target", recorded)}
    if config.detector.path or config.detector.module:
        scorers["detector"] = _scorer(config, "detector", recorded)
    return scorers


def _scorer(config: ConfigDict, name: str, recorded: str | Path | None) -> Scorer | HostScorer:
    fields = config[name].to_dict()
    try:
        if fields["module"] and recorded is not None:
            how = {field: fields[field] for field in ("classes", "task", "probabilities")}
            return RecordedScorer(fields["module"], *_held(recorded, name), **how)
        if not fields["module"]:
            fields["path"] = _path(config, name)
        return load_scorer(**fields)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _held(workdir: str | Path, name: str) -> tuple[str, int]:
    """What a study in a folder knows a scorer by, and its scores an image."""
    store = Store.open_existing(workdir)
    if store is None or name not in store.num_outputs:
        raise InputError(f"{workdir} holds no scores of the {name}")
    return store.scorers[name], store.num_outputs[name]


def _path(config: ConfigDict, name: str) -> str | Path:
    path = config[name].path
    if not path:
        also = "" if name == "generator" else f", or --config.{name}.module a function"
        raise InputError(f"--config.{name}.path must name the {name}{also}")
    return find_embedded(name, path)


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
