"""A Flax module of the user with an orbax checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax.errors import ScopeParamShapeError
from flax.traverse_util import flatten_dict

from cpi_jax.classifiers.network import Network
from cpi_jax.classifiers.preprocessing import Preprocessing
from cpi_jax.classifiers.scorer import Scorer
from cpi_jax.diffusion.tensors import as_weights
from cpi_jax.errors import InputError
from cpi_jax.user_code import import_function

_EVALUATION = {"train": False, "training": False, "deterministic": True}  # arguments of __call__, where it has them


def load_flax(module: str, path: str | Path, kwargs: Mapping[str, Any], preprocessing: Preprocessing) -> Network:
    """Builds the module and reads its variables.

    Args:
      module: "package.module:name" of a `flax.linen.Module` or a function that returns one.
      path: the orbax checkpoint: of {"params": ..., "batch_stats": ...}, of a train state with these fields, or of the
        parameters alone.
      kwargs: of the class or function.
      preprocessing: of the images; with a crop the shapes of the variables are compared before any image.

    Raises:
      InputError: for another kind of object, no checkpoint, or variables that do not fit the module; names the first.
    """
    build = import_function(module)
    _check_call(build, module, **kwargs)
    network = build(**kwargs)
    if not isinstance(network, nn.Module):
        raise InputError(f"{module} gives a {type(network).__name__}, and a flax.linen.Module is needed")
    known = inspect.signature(network.__call__).parameters
    flags = {name: value for name, value in _EVALUATION.items() if name in known}
    _check_call(network.__call__, f"{module}.__call__", None, **flags)
    size = (preprocessing.crop,) * 2 if preprocessing.crop else preprocessing.resized(64, 64)
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    wanted = jax.eval_shape(partial(network.init, **flags), jax.random.key(0), images)
    held = restore(path)
    held = {name: held.get(name, {}) for name in wanted} if "params" in held else {"params": held}
    _compare(flatten_dict(wanted), flatten_dict(held), f"{path} and {module}", shapes=bool(preprocessing.crop))
    for key, value in flatten_dict(held).items():  # counters of the module may be whole numbers
        if jnp.issubdtype(np.asarray(value).dtype, jnp.floating):
            as_weights(value, np.asarray(value).dtype, path, "/".join(key))
    name = " ".join([module, *(f"{key}={value}" for key, value in sorted(kwargs.items()))])
    return Network(Scorer(held, partial(_logits, network, flags), name), preprocessing)


def restore(path: str | Path) -> dict[str, Any]:
    """All of an orbax checkpoint as numpy arrays, wherever it was written.

    Raises:
      InputError: where there is none.
    """
    folder = Path(path).absolute()
    folder = folder / "default" if (folder / "default").is_dir() else folder  # as CheckpointManager names it
    if not (folder / "_METADATA").is_file():
        steps = sorted((int(child.name) for child in folder.glob("*") if child.name.isdigit()), reverse=True)
        hint = f"; name one of its steps, such as {folder / str(steps[0])}" if steps else ""
        raise InputError(f"there is no orbax checkpoint at {folder}{hint}")
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = checkpointer.metadata(folder).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return checkpointer.restore(folder, ocp.args.PyTreeRestore(restore_args=as_numpy))


def _check_call(function: Callable, name: str, *images: None, **arguments: Any) -> None:
    try:
        inspect.signature(function).bind(*images, **arguments)
    except TypeError as error:
        given = ", ".join([*("images" for _ in images), *arguments]) or "nothing"
        raise InputError(f"{name} cannot be called with {given}: {error}") from None


def _compare(wanted: dict, held: dict, where: str, shapes: bool) -> None:
    for key, leaf in wanted.items():
        if key not in held:
            raise InputError(f"{where} do not fit: the checkpoint lacks {'/'.join(key)}")
        if shapes and leaf.shape != np.shape(held[key]):
            raise InputError(
                f"{where} do not fit: {'/'.join(key)} has shape {np.shape(held[key])} in the checkpoint and "
                f"{leaf.shape} in the module"
            )
    if left := [key for key in held if key not in wanted]:
        raise InputError(f"{where} do not fit: the module has no {'/'.join(left[0])}")


def _logits(network: nn.Module, flags: dict[str, bool], variables: Any, images: jax.Array) -> jax.Array:
    try:
        return network.apply(variables, images, **flags)
    except ScopeParamShapeError as error:
        what = str(error).split(" (http")[0]
        raise InputError(f"{type(network).__name__} is not for images of {images.shape[1:3]} px: {what}") from None
