"""The examples in docstrings run, and give what they say."""

import ast
import doctest
import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cpi_jax

PACKAGE = Path(cpi_jax.__file__).parent
_PROMPT = ">>> "
_IMPORTED = {"cpi_jax": cpi_jax, "jax": jax, "jnp": jnp, "np": np}  # which examples need not say


def with_examples():
    """Modules of the package whose docstrings hold examples."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if _PROMPT in path.read_text(encoding="utf-8"))
    return [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths]


def public_definitions():
    """Public names, and the function or class of each, else None; sources are read, nothing is imported."""
    found = {}
    for line in ast.parse((PACKAGE / "__init__.pyi").read_text()).body:
        if isinstance(line, ast.ImportFrom):
            place = PACKAGE / line.module.replace(".", "/")
            path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            source = ast.parse(path.read_text(encoding="utf-8"))
            known = {node.name: node for node in source.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
            found |= {alias.name: known.get(alias.name) for alias in line.names}
    return found


# What compiles for most of a second, or more.
SLOW = {
    "cpi_jax.explain", "cpi_jax.diffusion.checkpoint", "cpi_jax.statistics.bootstrap", "cpi_jax.statistics.known_share",
    "cpi_jax.statistics.metrics.gaps", "cpi_jax.statistics.record", "cpi_jax.statistics.validity",
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in with_examples()]
)
def test_examples_run(name):
    module = importlib.import_module(name)
    failed, attempted = doctest.testmod(module, extraglobs=_IMPORTED, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not failed, "see the captured output"
    written = Path(module.__file__).read_text(encoding="utf-8").count(_PROMPT)
    assert attempted == written, f"{written - attempted} of the lines that begin with {_PROMPT!r} are in no docstring"


RETURNED = {
    "Comparison": "explain",
    "Explanation": "explain",
    "Importance": "summarize",
    "Inference": "infer",
    "read_study": "explain",
}  # by what shows it in its example
WITHOUT = {"read_tfds"}  # needs a prepared data set: tests/test_docs.py and tests/data run it on a tiny one


def test_every_public_name_has_an_example():
    """Functions and classes in their docstrings, or in that of the function which makes them; constants in any."""
    definitions = public_definitions()
    assert definitions.keys() == set(cpi_jax.__all__)
    shown = "".join(
        line
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.lstrip().startswith(_PROMPT)
    )
    for name, node in definitions.items():
        if node is None:
            assert f"cpi_jax.{name}" in shown, f"no example shows {name}"
        elif name not in WITHOUT:
            node = definitions[RETURNED.get(name, name)]
            assert _PROMPT in (ast.get_docstring(node) or ""), f"{name} has no example"
