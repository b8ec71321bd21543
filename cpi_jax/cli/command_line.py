"""Starts the programs under launch/: a mistake of the user ends in one sentence and exit code 1, not in a traceback.

Programs import what they need in `main`, so that a mistake on the command line is answered before JAX is imported, which
takes seconds, and Ctrl-C at any moment (`signals.py`).
"""

from __future__ import annotations

from cpi_jax import signals

signals.stop_programs()  # before anything else is imported

import ast
import contextlib
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from absl import app, flags, logging

from cpi_jax.cli.cpu_devices import use_cores
from cpi_jax.cli.log_lines import sentences
from cpi_jax.errors import InputError, nearest
from cpi_jax.validation.ranges import validate_config

_word: Callable[[str], str] = str  # how texts name programs: as files, unless started by `cpi-jax`


@contextmanager
def worded(word: Callable[[str], str]) -> Iterator[None]:
    """Within, what programs say of how they are started passes through `word`."""
    global _word
    before, _word = _word, word
    try:
        yield
    finally:
        _word = before


def run(main: Callable[..., None], required: Iterable[str] = ("config", "workdir"), *, passes_on: bool = False) -> None:
    """Parses the flags and calls `main`.

    Args:
      main: the program.
      required: flags that must be given.
      passes_on: whether `main` takes the arguments that stand behind --; others refuse arguments that are no flags.
    """
    with signals.answering(signals.stop), sentences():
        app.run(
            lambda argv: _guarded(main, argv[1:], passes_on),
            flags_parser=lambda argv: _parse(argv, required, passes_on),
        )


def _guarded(main: Callable[..., None], arguments: list[str], passes_on: bool) -> None:
    if arguments and not passes_on:
        _refuse(f"{arguments[0]!r} is no flag: write --NAME=VALUE, without blanks; see --help")
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
        _refuse(error)


def _refuse(reason: object) -> NoReturn:
    sys.exit(_word(f"error: {reason}"))


def _parse(argv: list[str], required: Iterable[str], passes_on: bool) -> list[str]:
    own = argv[1 : argv.index("--")] if passes_on and "--" in argv else argv[1:]
    if any(re.fullmatch(r"--?(help|helpshort|helpfull|h)|-\?", argument) for argument in own):
        print(_word(_help()))
        sys.exit(0)
    try:
        if "--describe" in own and "config" in flags.FLAGS:
            print(_word(_describe(own)))
            sys.exit(0)
        _require(own, required)
        return flags.FLAGS(argv)
    except flags.IllegalFlagValueError as error:  # raised while handling what a parser says
        name = re.match("flag (--[^=]+)=", str(error))
        _refuse(f"{name[1]}: {error.__context__}" if name and error.__context__ else error)
    except flags.UnrecognizedFlagError as error:
        _refuse(f"{_unknown_flag(error.flagname)}{'; flags of launch/explain.py go behind --' * passes_on}")
    except (KeyError, AttributeError) as error:
        _refuse(_unknown_field(argv) or error)
    except (flags.Error, OSError, ImportError, ValueError, TypeError) as error:
        _refuse(error)


def _require(argv: list[str], required: Iterable[str]) -> None:
    """Looks at the arguments before anything is read."""
    for argument in argv:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise InputError(f"the argument {argument!r} is not UTF-8: rename what it names") from None
        _validate_keys(argument)
    given = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
    missing = [f"--{name}" for name in required if not any(re.match(rf"--?{name}(=|$)", text) for text in given)]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given; see --help")


def _validate_keys(argument: str) -> None:
    """Refuses a value of a field that names something twice, of which Python would take the last one in silence."""
    name, _, value = argument.partition("=")
    if not (name.startswith("--config.") and value.startswith("{")):
        return
    with contextlib.suppress(SyntaxError):  # the flag's own parser says what is wrong
        for node in ast.walk(ast.parse(value, mode="eval")):
            keys = [ast.unparse(key) for key in node.keys if key] if isinstance(node, ast.Dict) else []
            if twice := [key for key in keys if keys.count(key) > 1]:
                raise InputError(f"{name} names {twice[0]} twice: leave one out, or give it another name")


def _unknown_field(argv: list[str]) -> str | None:
    """What to say of the first --config.FIELD that the config has not."""
    from cpi_jax.cli.flags import config_of_file
    from cpi_jax.cli.validate_fields import describe_unknown

    config = config_of_file()
    for argument in argv:
        field = re.match(r"--?config\.([\w.]+)(=|$)", argument)
        if field and config is not None and (message := describe_unknown(field[1], config.to_dict())):
            return message
    return None


def _unknown_flag(name: str) -> str:
    own = [f"--{flag.name}" for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]) if "." not in flag.name]
    return f"there is no flag --{name}{nearest(f'--{name}', own) or '; see --help'}"


def _help() -> str:
    """What the program says of itself and of its flags."""
    own = [flag for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]) if "." not in flag.name]
    lines = [(sys.modules["__main__"].__doc__ or "").strip(), ""]
    for flag in own:
        default = f" (default: {flag.default})" if flag.default not in (None, "", []) else ""
        name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}"
        lines.append(
            textwrap.fill(f"{name}: {flag.help}{default}", 100, initial_indent="  ", subsequent_indent="      ")
        )
    if "config" in flags.FLAGS:
        lines.append("  --describe: Say what every field of the configuration means, and end.")
    return "\n".join(lines)


def _describe(arguments: list[str]) -> str:
    """What every field of the named configuration means; of a study's, unnamed, that of a table."""
    from cpi_jax.cli.config_file import read_config_file
    from cpi_jax.cli.describe import describe_fields
    from cpi_jax.cli.flags import takes_study

    names = [argument.partition("=")[2] for argument in arguments if re.match("--?config=", argument)]
    if not names and not takes_study():
        raise InputError("name the configuration, too: --describe --config=NAME")
    return describe_fields(read_config_file(names[-1] if names else "table"))
