"""The command `cpi-jax`: the programs under launch/ by their names, and the configurations that come with the package.

    cpi-jax explain --config=shapes:small

A program is whatever file lies under launch/, so none is listed here. Libraries are imported once one is chosen: the
overview is there at once.
"""

from __future__ import annotations

from cpi_jax import signals

signals.stop_programs()  # before anything else is imported

import runpy
import sys
from pathlib import Path

from cpi_jax.cli.shipped import find_shipped, headline, with_commands
from cpi_jax.errors import InputError, require_known

_PLAN = "plan"  # explain's dry run
_OWN = {
    _PLAN: "Says what was understood of a configuration, and what its study would cost; makes nothing.",
    "configs": "Lists the configurations that come along; cpi-jax configs NAME shows one.",
    "new": "Writes a configuration to edit: cpi-jax new my_study.py --from=table.",
}
_GROUPS = {
    "A study": ("explain", _PLAN, "preview", "status", "report", "verify"),
    "Its configuration": ("configs", "new"),
    "Generators and classifiers": ("convert", "train-generator", "train-classifier"),
}
_BEGIN = """\
cpi-jax: which concepts does an image classifier rely on?

    cpi-jax explain --config=shapes:small     a first study, without data of yours
    cpi-jax new my_study.py --from=table      a configuration to edit: your table, generator and classifier
    cpi-jax plan --config=my_study.py         what was understood, and what it would cost
    cpi-jax explain --config=my_study.py      the study; the same command goes on where it was stopped

Scores and results go to runs/NAME, after the configuration, or where --workdir=FOLDER says.
"""
_END = """\
cpi-jax COMMAND --help says what a command takes; cpi-jax explain --describe, what every field of a configuration means."""


def main() -> None:
    """Runs what the command line says; a mistake ends in one sentence and exit code 1."""
    name, *rest = sys.argv[1:] or ["--help"]
    try:
        _run(name, rest)
    except InputError as error:
        sys.exit(f"error: {with_commands(str(error))}")


def _run(name: str, rest: list[str]) -> None:
    if name in ("--help", "-h", "help"):
        print(overview())
    elif name == "--version":
        import cpi_jax

        print(f"cpi_jax {cpi_jax.__version__}")
    elif name in ("configs", "new"):
        from cpi_jax.cli.new_config import describe_configs, write_config

        print(describe_configs(rest) if name == "configs" else write_config(rest))
    else:
        programs = _programs()
        require_known(name, "command", (*_OWN, *programs))
        if name in ("explain", _PLAN) and not any(argument.startswith("-") for argument in rest):
            named = rest[0] if rest else "my_study.py"
            raise InputError(
                f"name a configuration: cpi-jax {name} --config={named}; cpi-jax configs lists those that come along"
            )
        if name == _PLAN:
            _start(programs["explain"], [*rest, "--config.plan_only=True"])
        else:
            _start(programs[name], rest)


def overview() -> str:
    """What `cpi-jax --help` prints."""
    about = _OWN | {name: headline(file) for name, file in _programs().items()}
    grouped = {name for names in _GROUPS.values() for name in names}
    groups = _GROUPS | {"Others": tuple(sorted(about.keys() - grouped))}
    width = max(map(len, about))
    lines = [_BEGIN]
    for title, names in groups.items():
        lines += [f"{title}:", *(f"    {name:{width}}  {with_commands(about[name])}" for name in names), ""]
    return "\n".join([*lines, _END])


def _programs() -> dict[str, Path]:
    return {name.replace("_", "-"): file for name, file in find_shipped("launch").items()}


def _start(program: Path, arguments: list[str]) -> None:
    """Runs a program as `python launch/PROGRAM.py ARGUMENTS` does."""
    from cpi_jax.cli import command_line

    if program.stem == "explain" and (folder := _default_workdir(arguments)):
        arguments = [*arguments, f"--workdir={folder}"]
    sys.argv = [str(program), *arguments]
    with command_line.worded(with_commands):
        runpy.run_path(str(program), run_name="__main__")


def _default_workdir(arguments: list[str]) -> str | None:
    """runs/NAME of the configuration's name and argument; None where a folder is named, or no configuration."""
    given = {key.lstrip("-"): value for key, _, value in (argument.partition("=") for argument in arguments)}
    if "workdir" in given or "flagfile" in given or not given.get("config"):
        return None
    name, _, which = given["config"].partition(":")
    return "/".join(("runs", "-".join(filter(None, (Path(name).stem, which.replace(":", "-").replace("/", "-"))))))
