"""A Flax module of the user with an orbax checkpoint."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import InvalidRngError, ModifyScopeVariableError, ScopeParamShapeError
from flax.traverse_util import flatten_dict

from cpi_jax.checkpoints.orbax_folder import read_orbax
from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.classifiers.network import Network
from cpi_jax.classifiers.preprocessing import Preprocessing
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.classifiers.scores import as_rows
from cpi_jax.errors import InputError, require_known
from cpi_jax.user_code import import_function

# Arguments of `__call__` that say whether it trains, where it has them.
_EVALUATION = dict.fromkeys(("train", "training", "is_training", "is_train"), False)
_EVALUATION |= dict.fromkeys(
    ("deterministic", "use_running_average", "eval", "eval_mode", "is_eval", "inference"), True
)


class _OtherSize(InputError):
    """Images of a size that the parameters are not for."""


def load_flax(
    module: str, path: str | Path, kwargs: Mapping[str, Any], preprocessing: Preprocessing, output: str = ""
) -> Network:
    """Builds the module, reads its variables and traces it, so that what is amiss is said at once.

    Args:
      module: "package.module:name" of a `flax.linen.Module` or a function that returns one.
      path: the orbax checkpoint: of {"params": ..., "batch_stats": ...}, of a train state with these fields, or of the
        parameters alone.
      kwargs: of the class or function.
      preprocessing: of the images; the shapes of all variables are compared where it fixes their size, and else those of
        the convolutions.
      output: which entry of a tuple or dict that it returns.

    Raises:
      InputError: for another kind of object, no checkpoint, variables that do not fit the module, or anything but one row
        of logits an image; names the first.
    """
    build = import_function(module)
    _validate_linen(build, module)
    if inspect.isfunction(build) and "images" in inspect.signature(build).parameters:
        raise InputError(
            f"{module} is a function of images: leave the path empty, which is that of a Flax module's checkpoint"
        )
    _validate_call(build, module, **kwargs)
    network = build(**kwargs)
    _validate_linen(type(network), module)
    if not isinstance(network, nn.Module):
        raise InputError(f"{module} gives a {type(network).__name__}, and a flax.linen.Module is needed")
    known = inspect.signature(network.__call__).parameters
    flags: dict[str, Any] = {name: value for name, value in _EVALUATION.items() if name in known}
    _validate_call(network.__call__, f"{module}.__call__", None, **flags)
    fixed = bool(preprocessing.crop or isinstance(preprocessing.resize, tuple))
    images = jax.ShapeDtypeStruct((2, *preprocessing.size_of(64, 64), 3), jnp.float32)
    wanted = _trace(partial(network.init, **flags), jax.random.key(0), images, module=module)
    saved = read_orbax(path)
    variables = {name: saved.get(name, {}) for name in wanted} if "params" in saved else {"params": saved}
    _validate_shapes(flatten_dict(wanted), flatten_dict(variables), f"{path} and {module}", fixed)
    for key, value in flatten_dict(variables).items():  # counters of the module may be whole numbers
        if jnp.issubdtype(np.asarray(value).dtype, jnp.floating):
            as_weights(value, np.asarray(value).dtype, path, "/".join(key))
    apply = partial(_logits, network, flags, output)
    try:
        num_outputs = _trace(apply, variables, images, module=module).shape[1]
    except _OtherSize:
        if fixed:
            raise
        num_outputs = 0  # known once the images' size is
    described = {**kwargs, **({"output": output} if output else {})}
    name = " ".join([module, *(f"{key}={value}" for key, value in sorted(described.items()))])
    return Network(Scorer(variables, apply, name), preprocessing, num_outputs=num_outputs)


def _validate_call(function: Callable[..., Any], name: str, *images: None, **arguments: Any) -> None:
    try:
        inspect.signature(function).bind(*images, **arguments)
    except TypeError as error:
        given = ", ".join([*("images" for _ in images), *arguments]) or "nothing"
        raise InputError(f"{name} cannot be called with {given}: {error}") from None


def _validate_linen(build: Any, module: str) -> None:
    if any(base.__module__.startswith("flax.nnx") for base in getattr(build, "__mro__", ())):
        raise InputError(
            f"{module} is of flax.nnx, and modules of flax.linen are read: write a function of numpy images that calls it, "
            "and name that as `module`, without a path"
        )


def _trace(function: Callable[..., Any], *arguments: Any, module: str) -> Any:
    try:
        return jax.eval_shape(function, *arguments)
    except InputError:
        raise
    except Exception as error:  # of the user's code
        what = str(error).strip().split("\n")[0]
        raise InputError(
            f"{module} cannot be called with images float32 {list(arguments[-1].shape)} ({type(error).__name__}: {what}): "
            "it gets [B, H, W, 3]; set resize or crop where it is for one size"
        ) from error


def _validate_shapes(wanted: dict, saved: dict, where: str, fixed: bool) -> None:
    for key, leaf in wanted.items():
        if key not in saved:
            raise InputError(f"{where} do not fit: the checkpoint lacks {'/'.join(key)}")
        if (fixed or len(leaf.shape) == 4) and leaf.shape != np.shape(
            saved[key]
        ):  # a convolution's is of any image size
            raise InputError(
                f"{where} do not fit: {'/'.join(key)} has shape {np.shape(saved[key])} in the checkpoint and "
                f"{leaf.shape} in the module, for images [B, H, W, 3]"
            )
    if left := [key for key in saved if key not in wanted]:
        raise InputError(f"{where} do not fit: the module has no {'/'.join(left[0])}")


def _logits(network: nn.Module, flags: dict[str, Any], output: str, variables: Any, images: jax.Array) -> jax.Array:
    name = type(network).__name__
    try:
        returned = network.apply(variables, images, **flags)
    except ScopeParamShapeError as error:
        what = str(error).split(" (http")[0]
        raise _OtherSize(f"{name} is not for images of {images.shape[1:3]} px: {what}") from None
    except (InvalidRngError, ModifyScopeVariableError) as error:
        what = str(error).split(" (http")[0]
        raise InputError(
            f"{name} is called as in training ({what}): the arguments of __call__ that turn it off are "
            f"{', '.join(_EVALUATION)}; an attribute of the class is set in kwargs"
        ) from None
    return as_rows(_entry(returned, output, name), len(images), name)


def _entry(returned: Any, output: str, name: str) -> jax.Array:
    """What a module returns, where that is an array; of a tuple, dict or record, the entry that `output` names."""
    if hasattr(returned, "dtype"):
        if output:
            raise InputError(f"{name} returns one array, so there is no output {output!r}: leave `output` out")
        return returned
    if isinstance(returned, Mapping):
        entries = {str(key): value for key, value in returned.items()}
    elif dataclasses.is_dataclass(returned):
        entries = {field.name: getattr(returned, field.name) for field in dataclasses.fields(returned)}
    elif isinstance(returned, (tuple, list)):
        names = getattr(returned, "_fields", range(len(returned)))
        entries = dict(zip(map(str, names), returned))
    else:
        raise InputError(f"{name} returns a {type(returned).__name__}, and an array of logits is needed")
    described = ", ".join(f"{key} {_describe(value)}" for key, value in entries.items())
    if not output and len(entries) > 1:
        raise InputError(f"{name} returns several things: name the logits in `output`, one of {described}")
    require_known(output or next(iter(entries), ""), f"output of {name}", tuple(entries))
    entry = entries[output] if output else next(iter(entries.values()))
    if not hasattr(entry, "dtype"):
        raise InputError(f"the output {output!r} of {name} is no array: {described}")
    return entry


def _describe(value: Any) -> str:
    return f"({value.dtype}{list(value.shape)})" if hasattr(value, "dtype") else f"({type(value).__name__})"
