"""What tells one study from another: hashes of functions, and the fields that decide every score."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import sysconfig
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.diffusion.generator import Generator
from cpi_jax.errors import InputError
from cpi_jax.settings import Settings


def params_hash(function: Generator | Scorer | HostScorer) -> str:
    """A hash of a function's parameters and name; of a host function, its name.

    Raises:
      InputError: for a host function without a name.
    """
    if isinstance(function, HostScorer):
        if not function.name:
            raise InputError(
                "a host scorer needs a name, as in HostScorer(function, name='resnet50 v2'), to know its scores again"
            )
        return function.name
    digest = hashlib.sha256(function.name.encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(function.params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def source_hash(function: Generator | Scorer | HostScorer) -> str:
    """A hash of the user's code behind a function: of the files that define it, and of what it is bound to.

    It does not say whether the function's values changed: a comment changes it, and a file that the code reads does not.
    """
    digest = hashlib.sha256()
    _add_source(digest, function, {})
    return digest.hexdigest()[:16]


def _add_source(digest, value: Any, seen: dict[int, Any]) -> None:
    """Adds what is known of a value: code by its file, data by content, partials and closures by their parts."""
    if id(value) in seen:
        return
    seen[id(value)] = value  # kept, so that no other value gets its id
    parts: Any = ()
    if isinstance(value, (HostScorer, Scorer, Generator)):
        parts = (value.function if isinstance(value, HostScorer) else value.apply,)
    elif isinstance(value, functools.partial):
        parts = (value.func, *value.args, *value.keywords.values())
    elif inspect.ismethod(value):
        parts = (value.__func__, value.__self__)
    elif isinstance(value, tuple):  # lists and dicts may be what a function counts or caches
        parts = value
    elif isinstance(value, (np.ndarray, jax.Array)):
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (str, bytes, int, float, complex, bool, type(None))):
        digest.update(repr(value).encode())
    elif hasattr(value, "__wrapped__"):  # of jax.jit and functools.wraps
        parts = (value.__wrapped__,)
    elif inspect.isfunction(value) or inspect.isclass(value):
        if not _add_file(digest, value):
            return
        parts = [getattr(value, "__defaults__", None)]
        for cell in getattr(value, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # an empty one
                parts.append(cell.cell_contents)
        parts += [part for part in vars(value).values() if inspect.isfunction(part)]  # methods
    elif dataclasses.is_dataclass(value):  # a Flax module
        parts = (type(value), *(getattr(value, field.name) for field in dataclasses.fields(value)))
    else:
        parts = (type(value),)
    for part in parts:
        _add_source(digest, part, seen)


def _add_file(digest, value: Any) -> bool:
    """Adds a function or class and, where there is one, the file that defines it; whether it is the user's."""
    if not _is_users(value):
        return False
    code = getattr(value, "__code__", None)
    digest.update(repr((value.__qualname__, code and _described(code))).encode())
    with contextlib.suppress(OSError, TypeError):  # typed in
        digest.update(Path(inspect.getfile(value)).read_bytes())
    return True


def _described(code: types.CodeType) -> tuple:
    consts = [_described(const) if isinstance(const, types.CodeType) else repr(const) for const in code.co_consts]
    return code.co_code.hex(), code.co_names, consts


def _is_users(value: Any) -> bool:
    """Whether a function or class lies neither in this package, nor in Python or what is installed beside it."""
    try:
        path = Path(inspect.getfile(value)).resolve()
    except (OSError, TypeError):  # built in, or typed in
        return getattr(value, "__module__", "") in ("__main__", None)
    known = (
        Path(__file__).parents[1],
        *(Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib", "platlib")),
    )
    return not any(path.is_relative_to(folder.resolve()) for folder in known)


def programs_hash(generator: Generator, scorers: Mapping[str, Scorer]) -> str:
    """A hash of what a batch computes, whatever the values of the parameters."""
    described = [[generator.name, *(f"{name} {scorer.name}" for name, scorer in scorers.items())]]
    described += [
        f"{jax.tree_util.keystr(path)} {np.shape(leaf)} {jax.dtypes.result_type(leaf)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(
            (generator.params, {n: s.params for n, s in scorers.items()})
        )
    ]
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]


def study_identity(slot_names: Sequence[str], settings: Settings, generator: str) -> dict[str, Any]:
    """What decides every image, beside the examples' captions; draws, examples, concepts, statistics, batches do not.

    Args:
      slot_names: of the captions.
      settings: of which some fields decide.
      generator: its hash.
    """
    return {
        **{name.rpartition(".")[2]: value for name, value in settings.deciding("scores").items()},
        "slots": list(slot_names),
        name_hash("generator"): generator,
    }


def name_hash(name: str) -> str:
    """What the hash of a generator or scorer is called."""
    return f"{name} weights or settings"
