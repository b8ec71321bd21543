"""The configurations that come with the package: listed, shown, and written to a file of the user's to edit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cpi_jax.cli.shipped import docstring, find_shipped, headline, with_commands
from cpi_jax.errors import InputError, require_known
from cpi_jax.files.location import find_path, require_writable

_USAGE = "write a configuration with cpi-jax new my_study.py --from=table"


def describe_configs(arguments: Sequence[str]) -> str:
    """All configurations, a line each; or what one says of itself.

    Args:
      arguments: behind `cpi-jax configs`: nothing, or a name.

    Raises:
      InputError: for a name that none has.
    """
    files = find_shipped("configs")
    if [*arguments] in ([], ["--help"]):
        width = max(map(len, files))
        lines = [f"{name:{width}}  {headline(file)}" for name, file in files.items()]
        return "\n".join(
            [*lines, "", "cpi-jax configs NAME shows one; cpi-jax new my_study.py --from=NAME writes one to edit."]
        )
    if len(arguments) > 1:
        raise InputError(f"name one configuration, not {len(arguments)}: cpi-jax configs table")
    require_known(arguments[0], "config", tuple(files))
    return with_commands(docstring(files[arguments[0]]))


def write_config(arguments: Sequence[str]) -> str:
    """Writes a configuration to edit.

    Args:
      arguments: behind `cpi-jax new`: the file to write, and --from=NAME of the one to begin with.

    Returns:
      What to do next.

    Raises:
      InputError: for another name than one of a Python file, one that there is already, or an unknown configuration.
    """
    if "--help" in arguments:
        return f"{_USAGE}; cpi-jax configs lists what to begin with. What is there is never overwritten."
    names = [argument for argument in arguments if not argument.startswith("-")]
    begins = [argument.partition("=") for argument in arguments if argument.startswith("-")]
    if len(names) != 1 or any(flag != "--from" for flag, _, _ in begins) or len(begins) > 1:
        raise InputError(_USAGE)
    begin = begins[0][2] if begins else "table"
    files = find_shipped("configs")
    require_known(begin, "config", tuple(files))
    path = find_path(names[0])
    if path.suffix != ".py":
        raise InputError(f"a configuration is a Python file: name it {path.with_suffix('.py')}, not {path}")
    if path.exists():
        raise InputError(f"{path} is there already: choose another name")
    require_writable(path.parent)
    text = files[begin].read_text(encoding="utf-8")
    text = text.replace(f"configs/{begin}.py", str(path))
    program = re.search(r"launch/(\w+)\.py", text)
    path.write_text(_with_gaps(with_commands(text), begin), encoding="utf-8")
    command = program[1].replace("_", "-") if program else "explain"
    if command == "explain":
        return f"wrote {path}; edit it, then say `cpi-jax plan --config={path}` and `cpi-jax explain --config={path}`"
    return f"wrote {path}; edit it, then say `cpi-jax {command} --config={path} --workdir=FOLDER`"


_BESIDES = {  # of a table: what is often said, too
    "data.image": '"file"  # column of the pictures\' paths, so that generated ones are compared with them.',
    "data.concepts": '("dog", "ground")  # columns; by default all to the right of the label.',
    "detector.path": '"path/to/detector"  # sees the concepts: do generated pictures show them?',
    "draws": "1  # pictures of each caption at most; half the cost of 2.",
}
_SAID = {  # in a line
    "generator.path": 'of Stable Diffusion: a folder, a safetensors file, or hub:owner/name; "embedded" draws shapes.',
    "target.path": 'of the classifier: a folder or file; or else config.target.module = "package.module:function".',
}


def _with_gaps(text: str, begin: str) -> str:
    """The text with a line for each field that only its user can say."""
    from cpi_jax.cli.config_file import read_config_file
    from cpi_jax.cli.describe import field_help
    from cpi_jax.cli.empty_fields import find_empty

    try:
        config = read_config_file(begin)
    except InputError:  # what its argument must name
        return text
    lines = [f'    config.{name} = ""  # {_SAID.get(name) or field_help(config, name)}' for name in find_empty(config)]
    head, returned, tail = text.rpartition("    return config\n")
    if not lines or not returned:
        return text
    named = ["    # What only you can say:", *lines]
    if "image" in config.data:
        named += [
            "    # What is often said besides:",
            *(f"    # config.{name} = {what}" for name, what in _BESIDES.items()),
        ]
    return "".join([head, *(f"{line}\n" for line in named), returned, tail])
