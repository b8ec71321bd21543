"""Runs `cpi-jax` and the programs under launch/ as from the command line, in this process: nothing is compiled twice."""

import contextlib
import io
import os
import runpy
import sys
import types
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import jaxtyping._decorator
from absl import app, flags, logging
from absl.flags import _helpers

from cpi_jax.cli.console import main

# The check of annotations stands between a program and the function that defines its flags.
_helpers.disclaim_module_ids.add(id(jaxtyping._decorator))
ROOT = Path(__file__).parents[1]


def launch(program, *arguments):
    """Exit code, output and error output of `python launch/PROGRAM.py ARGUMENTS`, or of `python -m benchmarks.PROGRAM`."""
    file = str(ROOT / "benchmarks" / program / "__main__.py")
    if not Path(file).is_file():
        file = str(ROOT / ("benchmarks" if "/" in program else "launch") / f"{program}.py")
    return _run([file, *map(str, arguments)], lambda: runpy.run_path(file, run_name="__main__"))


def console(*arguments):
    """The same of `cpi-jax ARGUMENTS`."""
    return _run(["cpi-jax", *map(str, arguments)], main)


def _run(argv, run):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with mock.patch.object(sys, "argv", argv), _own_flags(), redirect_stdout(out), redirect_stderr(err):
        try:
            run()
        except SystemExit as end:
            code = end.code or 0
    if isinstance(code, str):
        return types.SimpleNamespace(code=1, out=out.getvalue(), err=f"{err.getvalue()}{code}\n")
    return types.SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


@contextlib.contextmanager
def _own_flags():
    """A program defines its flags and sets what is logged; neither outlives it. JAX keeps the devices that it has."""
    verbosity, handler = logging.get_verbosity(), logging.get_absl_handler()
    filters = list(handler.filters)
    # Else absl looks at its own flags, such as --only_check_args, in the first program alone.
    app._run_init.done = app._register_and_parse_flags_with_usage.done = False
    with mock.patch.dict(os.environ, {"JAX_NUM_CPU_DEVICES": "1"}):
        try:
            yield
        finally:
            defined = {flag.name for flag in flags.FLAGS.flags_by_module_dict().get(sys.argv[0], ())}
            for name in [name for name in flags.FLAGS if name in defined or name.startswith("config.")]:
                delattr(flags.FLAGS, name)
            flags.FLAGS.unparse_flags()
            logging.set_verbosity(verbosity)
            handler.filters[:] = filters
