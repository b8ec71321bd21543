"""What a program logs: sentences on stderr, each said once."""

from __future__ import annotations

import logging as stdlib_logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from absl import logging


@contextmanager
def sentences() -> Iterator[None]:
    """Within, what is logged is a sentence on stderr, said once."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA's own lines; what stops it is raised besides
    logging.use_absl_handler()
    handler, only = logging.get_absl_handler(), _Once()
    python_handler = handler.python_handler
    before = python_handler.formatter, python_handler.stream
    python_handler.formatter, python_handler.stream = _Sentence(), sys.stderr
    handler.addFilter(only)
    try:
        yield
    finally:
        python_handler.formatter, python_handler.stream = before
        handler.removeFilter(only)


def tell_progress() -> None:
    """Shows what this package and the program say of their progress."""
    logging.set_verbosity(logging.INFO)


class _Sentence(stdlib_logging.Formatter):
    def format(self, record: stdlib_logging.LogRecord) -> str:
        kind = f"{record.levelname.lower()}: " if record.levelno >= stdlib_logging.WARNING else ""
        return kind + record.getMessage()


class _Once(stdlib_logging.Filter):
    """Of this package and the program, all, but nothing twice; JAX's warnings; of other libraries, errors."""

    def __init__(self):
        super().__init__()
        self._own = (str(Path(__file__).parents[1]), str(Path(sys.argv[0]).resolve()))
        self._logged: set[str] = set()

    def filter(self, record: stdlib_logging.LogRecord) -> bool:
        own = os.path.realpath(record.pathname).startswith(self._own)
        least = stdlib_logging.WARNING if record.name.startswith("jax") else stdlib_logging.ERROR
        if record.getMessage() in self._logged or not (own or record.levelno >= least):
            return False
        self._logged.add(record.getMessage())
        return True
