"""Shapes of annotated arrays are checked while the tests run, and implicit rank promotion is an error in our own code."""

import functools
import gc
import os
import tempfile

from tests.quick_compiling import FLAGS

gc.set_threshold(200_000, 20, 100)  # programs are traced into many small objects, and looking for garbage takes long

os.environ.setdefault("XLA_FLAGS", FLAGS)
# Programs that tests start share what they compile, and leave the user's cache alone.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()

from jaxtyping import install_import_hook

import tests.checking  # noqa: F401  the hook finds the checker by this name

install_import_hook("cpi_jax", "tests.checking.check")

import jax
import pytest
from jax._src.interpreters import mlir

from cpi_jax.cache import keep_compiled
from cpi_jax.training.vocabulary import write_tokenizer
from tests.words import WORDS

keep_compiled()  # for the other processes of this run
# A fifth of the time of a small program: JAX makes an MLIR context for each, and says for each line where it came from.
mlir.make_ir_context = functools.cache(mlir.make_ir_context)
jax.config.update("jax_traceback_in_locations_limit", 0)


@pytest.fixture
def strict():
    """Rank promotion is an error."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    from cpi_jax.diffusion.checkpoint import load_tokenizer

    folder = tmp_path_factory.mktemp("checkpoint")
    write_tokenizer(WORDS, folder / "tokenizer", 32)
    return load_tokenizer(folder)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long, mostly to compile; make test-fast leaves it out")


def pytest_collection_modifyitems(items):
    """Files with slow tests go first, so that no process is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
