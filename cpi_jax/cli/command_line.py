"""Starts the programs under launch/: a mistake of the user ends in one sentence and exit code 1, not in a traceback.

Programs import what they need in `main`, so that a mistake on the command line is answered before JAX is imported, which
takes seconds, and Ctrl-C at any moment (`signals.py`).
"""

from __future__ import annotations

from cpi_jax import signals

signals.stop_programs()  # before anything else is imported

import difflib
import importlib.util
import inspect
import logging as stdlib_logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from cpi_jax.errors import InputError
from cpi_jax.files.location import find_location, find_path, require_writable
from cpi_jax.user_code import look_here
from cpi_jax.validation.ranges import validate_config

MOST_CPU_DEVICES = 16
flags.disclaim_key_flags()  # what is defined here belongs to the program that asks for it


def run(main: Callable[..., None], required: Iterable[str] = ("config", "workdir"), *, passes_on: bool = False) -> None:
    """Parses the flags and calls `main`.

    Args:
      main: the program.
      required: flags that must be given.
      passes_on: whether `main` takes the arguments that stand behind --; others refuse arguments that are no flags.
    """
    with signals.answering(signals.stop), _sentences():
        app.run(
            lambda argv: _guarded(main, argv[1:], passes_on),
            flags_parser=lambda argv: _parse(argv, required, passes_on),
        )


@contextmanager
def _sentences() -> Iterator[None]:
    """What is logged is a sentence on stderr, said once."""
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


class _Sentence(stdlib_logging.Formatter):
    def format(self, record: stdlib_logging.LogRecord) -> str:
        kind = f"{record.levelname.lower()}: " if record.levelno >= stdlib_logging.WARNING else ""
        return kind + record.getMessage()


class _Once(stdlib_logging.Filter):
    """Of this package and the program, all, but nothing twice; JAX's warnings; of other libraries, errors."""

    def __init__(self):
        super().__init__()
        self._own = (str(Path(__file__).parents[1]), str(Path(sys.argv[0]).resolve()))
        self._said: set[str] = set()

    def filter(self, record: stdlib_logging.LogRecord) -> bool:
        own = os.path.realpath(record.pathname).startswith(self._own)
        least = stdlib_logging.WARNING if record.name.startswith("jax") else stdlib_logging.ERROR
        if record.getMessage() in self._said or not (own or record.levelno >= least):
            return False
        self._said.add(record.getMessage())
        return True


def define_study(fields: Iterable[str] = ()) -> flags.FlagHolder[ConfigDict]:
    """Defines --config of a study, with further fields besides; see `define_config`."""
    return _define("The study", _ConfigParser(tuple(fields), of_study=True))


def define_config(help_string: str, fields: Iterable[str]) -> flags.FlagHolder[ConfigDict]:
    """Defines --config, a Python file with get_config(), and --config.FIELD for each of its fields.

    Args:
      help_string: what is configured.
      fields: that the program reads, so that another program's config is refused.
    """
    return _define(help_string, _ConfigParser(tuple(fields)))


def _define(help_string: str, parser: flags.ArgumentParser) -> flags.FlagHolder[ConfigDict]:
    text = f"{help_string}: a Python file with get_config(), or FILE:ARGUMENT. --config.FIELD=VALUE overrides a field."
    flag = config_flags.DEFINE_config_file("config", None, text)
    flags.FLAGS["config"].parser = parser
    return flag


def define_workdir(help_string: str, *, remote: bool = False, written: bool = True) -> flags.FlagHolder[str]:
    """Defines --workdir.

    Args:
      help_string: what lies there.
      remote: whether it may be gs://bucket/path.
      written: whether the program makes it where it is missing.
    """
    text = f"{help_string}, or gs://bucket/path" if remote else help_string
    return flags.DEFINE(_FolderParser(remote, written), "workdir", None, f"{text}.")


def define_folder(name: str, help_string: str) -> flags.FlagHolder[str]:
    """Defines a flag that names a folder to write to, and need not be given."""
    return flags.DEFINE(_FolderParser(remote=False, written=True), name, None, f"{help_string}.")


class _FolderParser(flags.ArgumentParser):
    def __init__(self, remote: bool, written: bool):
        self.remote, self.written = remote, written

    def parse(self, argument: str) -> str:
        found = find_location(argument, remote=self.remote)
        if not found.startswith("gs://"):
            if self.written:
                require_writable(found, make=False)
            elif not Path(found).is_dir():
                raise InputError(f"there is no folder {found}")
        return found


class _ConfigParser(flags.ArgumentParser):
    """Reads a config; whatever is wrong with it is one sentence."""

    def __init__(self, fields: tuple[str, ...], of_study: bool = False):
        self.fields, self.of_study = fields, of_study

    def parse(self, argument: str) -> ConfigDict:
        name, colon, which = argument.partition(":")
        file = find_path(name)
        if not file.is_file() or file.suffix != ".py":
            known = map(str, (*file.parent.glob("*.py"), *Path("configs").glob("*.py")))
            raise InputError(f"there is no config {name}{_near(name, known)}")
        look_here()
        try:
            spec = importlib.util.spec_from_file_location("config", file)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            if not callable(get_config := getattr(module, "get_config", None)):
                raise InputError("it has no function get_config()")
            if colon and not inspect.signature(get_config).parameters:
                raise InputError(f"it takes no argument, and {which!r} is given")
            config = get_config(*[which] * bool(colon))
            if not isinstance(config, ConfigDict):
                raise InputError(f"get_config() must return a ConfigDict, not {type(config).__name__}")
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        except Exception as error:
            raise InputError(f"{name}{_line(error, file)}: {type(error).__name__}: {error}") from error
        fields = self.fields
        if self.of_study:
            from cpi_jax.cli.config import STUDY_FIELDS

            fields = (*STUDY_FIELDS, *fields)
        if missing := [field for field in fields if field not in config]:
            raise InputError(f"{name} is another program's config: it has no field {missing[0]!r}")
        return config.lock()


def _line(error: Exception, file: Path) -> str:
    """Where in a config an error arose."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    number = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
    return f", line {number}" if number else ""


def _guarded(main: Callable[..., None], arguments: list[str], passes_on: bool) -> None:
    if arguments and not passes_on:
        sys.exit(f"error: {arguments[0]!r} is no flag: write --NAME=VALUE, without blanks; see --help")
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    from cpi_jax.cache import keep_compiled

    keep_compiled()
    use_cores()
    try:
        if "config" in flags.FLAGS:
            validate_config(flags.FLAGS["config"].value)
        main(*[arguments] * passes_on)
    except InputError as error:
        sys.exit(f"error: {error}")


def tell_progress() -> None:
    """Shows what this package and the program say of their progress."""
    logging.set_verbosity(logging.INFO)


def use_cores() -> None:
    """On a CPU, one device a core: small batches side by side keep the cores busier than one large one (BUILD_NOTES.md).

    Before JAX's backends start. GPUs and TPUs are as ever.
    """
    import jax

    if number := num_cpu_devices():
        jax.config.update("jax_num_cpu_devices", number)


def num_cpu_devices(num_processes: int = 1) -> int:
    """One for each of a process's cores; 0 where `JAX_NUM_CPU_DEVICES` or XLA's flag for host devices says how many.

    Args:
      num_processes: that share the cores.
    """
    said = os.environ.get("XLA_FLAGS", "")
    if "JAX_NUM_CPU_DEVICES" in os.environ or "xla_force_host_platform_device_count" in said:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(1, cores // num_processes), MOST_CPU_DEVICES)


def _parse(argv: list[str], required: Iterable[str], passes_on: bool) -> list[str]:
    try:
        _require(argv[: argv.index("--")] if passes_on and "--" in argv else argv, required)
        return flags.FLAGS(argv)
    except flags.IllegalFlagValueError as error:  # raised while handling what a parser says
        name = re.match("flag (--[^=]+)=", str(error))
        sys.exit(f"error: {name[1]}: {error.__context__}" if name and error.__context__ else f"error: {error}")
    except flags.UnrecognizedFlagError as error:
        sys.exit(f"error: {_unknown(error.flagname)}{'; flags of launch/explain.py go behind --' * passes_on}")
    except (KeyError, AttributeError) as error:  # an unknown field of the config; ml_collections names the nearest
        hint = re.search(r'Did you mean "([^"]+)" instead of "([^"]+)"', str(error))
        path = re.search(r"Attempting to lookup: ([\w.]+)", str(error))
        from cpi_jax.cli.renamed import RENAMED

        asked = (path[1] if path else "").removeprefix("config.")
        if new := RENAMED.get(asked.partition(".")[0]):
            sys.exit(f"error: the config's field {asked.partition('.')[0]} is called {new} now: --config.{new}")
        what = f"{hint[2]!r}; did you mean {hint[1]!r}?" if hint else path[1] if path else error
        sys.exit(f"error: the config has no field {what}")
    except (flags.Error, OSError, ImportError, ValueError, TypeError) as error:
        sys.exit(f"error: {error}")


def _require(argv: list[str], required: Iterable[str]) -> None:
    """Looks at the arguments before anything is read."""
    for argument in argv:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise InputError(f"the argument {argument!r} is not UTF-8: rename what it names") from None
    if any(re.fullmatch(r"--?(help|helpshort|helpfull|helpxml)|-\?", argument) for argument in argv):
        return
    given = flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False)
    missing = [f"--{name}" for name in required if not any(re.match(rf"--?{name}(=|$)", text) for text in given)]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given; see --help")


def _unknown(name: str) -> str:
    own = [f"--{flag.name}" for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]) if "." not in flag.name]
    return f"there is no flag --{name}{_near(f'--{name}', own) or '; see --help'}"


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
