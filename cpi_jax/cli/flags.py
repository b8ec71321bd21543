"""The flags that several programs have: --config, --workdir and other folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from cpi_jax.cli.config_file import read_config_file
from cpi_jax.errors import InputError
from cpi_jax.files.location import find_location, require_writable

flags.disclaim_key_flags()  # what is defined here belongs to the program that asks for it


def define_study(fields: Iterable[str] = ()) -> flags.FlagHolder[Any]:
    """Defines --config of a study, with further fields besides; see `define_config`."""
    return _define("The study", _ConfigParser(tuple(fields), of_study=True))


def define_config(help_string: str, fields: Iterable[str]) -> flags.FlagHolder[Any]:
    """Defines --config, a Python file with get_config(), and --config.FIELD for each of its fields.

    Args:
      help_string: what is configured.
      fields: that the program reads, so that another program's config is refused.

    Returns:
      The flag; its value is a `ConfigDict`, whose fields have the types that the file gives them.
    """
    return _define(help_string, _ConfigParser(tuple(fields)))


def define_workdir(help_string: str, *, remote: bool = False, written: bool = True) -> flags.FlagHolder[Any]:
    """Defines --workdir, a text; None where it is not given.

    Args:
      help_string: what lies there.
      remote: whether it may be gs://bucket/path.
      written: whether the program makes it where it is missing.
    """
    text = f"{help_string}, or gs://bucket/path" if remote else help_string
    return flags.DEFINE(_FolderParser(remote, written), "workdir", None, f"{text}.")


def define_folder(name: str, help_string: str) -> flags.FlagHolder[Any]:
    """Defines a flag that names a folder to write to; a text, None where it is not given."""
    return flags.DEFINE(_FolderParser(remote=False, written=True), name, None, f"{help_string}.")


def config_of_file() -> ConfigDict | None:
    """What the file of --config gave, before fields were overridden; None before it was read."""
    parser = flags.FLAGS["config"].parser
    return parser.config if isinstance(parser, _ConfigParser) else None


def takes_study() -> bool:
    """Whether --config is that of a study."""
    parser = flags.FLAGS["config"].parser
    return isinstance(parser, _ConfigParser) and parser.of_study


def _define(help_string: str, parser: flags.ArgumentParser) -> flags.FlagHolder[Any]:
    text = (
        f"{help_string}: the name of a configuration that comes along, or a Python file with get_config(); NAME:ARGUMENT "
        "where it takes one. --config.FIELD=VALUE sets a field."
    )
    flag = config_flags.DEFINE_config_file("config", None, text)
    flags.FLAGS["config"].parser = parser
    return flag


class _ConfigParser(flags.ArgumentParser):
    def __init__(self, fields: tuple[str, ...], of_study: bool = False):
        self.fields, self.of_study = fields, of_study
        self.config: ConfigDict | None = None

    def parse(self, argument: str) -> ConfigDict:
        self.config = read_config_file(argument, self.fields, of_study=self.of_study)
        return self.config


class _FolderParser(flags.ArgumentParser):
    def __init__(self, remote: bool, written: bool):
        self.remote, self.written = remote, written

    def parse(self, argument: str) -> str:
        location = find_location(argument, remote=self.remote)
        if not location.startswith("gs://"):
            if self.written:
                require_writable(location, make=False)
            elif not Path(location).is_dir():
                raise InputError(f"there is no folder {location}")
        return location
