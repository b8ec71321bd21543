"""Recovers known importances, beside GradCAM, LIME, gradients and occlusion, and writes a page about it.

    python -m benchmarks.recovery --config=benchmarks/recovery/config.py --workdir=runs/recovery --page=docs

The same command goes on where it was stopped. --config.FIELD=VALUE overrides a field of the config.
"""

import shlex
import sys

from cpi_jax.cli import command_line
from cpi_jax.cli.flags import define_config, define_folder, define_workdir
from cpi_jax.files.location import require_writable

_CONFIG = define_config("The benchmark", ("worlds", "num_networks", "lime"))
_WORKDIR = define_workdir("Folder for the images' scores")
_PAGE = define_folder("page", "Folder for recovery.md, recovery.json and figures; else the workdir")


def main():
    from benchmarks.recovery.page import write_page
    from benchmarks.recovery.run import recover

    folder = _PAGE.value or _WORKDIR.value
    require_writable(folder)
    found = recover(_CONFIG.value, _WORKDIR.value)
    write_page(found, folder, f"python -m benchmarks.recovery {shlex.join(sys.argv[1:])}")
    for name, value in found.headline.items():
        print(f"{name:20} {value:.4g}")
    print(f"Page: {folder}/recovery.md")


if __name__ == "__main__":
    command_line.run(main)
