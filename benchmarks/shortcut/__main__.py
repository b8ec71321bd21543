"""Explains two classifiers of garments on photographs, one with a shortcut, and writes a page about what was found.

    python -m benchmarks.shortcut --config=benchmarks/shortcut/config.py --workdir=runs/fashion --page=docs

The same command goes on where it was stopped. --config.FIELD=VALUE overrides a field of the config.
"""

import shlex
import sys

from cpi_jax.cli import command_line
from cpi_jax.cli.flags import define_folder, define_study, define_workdir
from cpi_jax.files.location import require_writable

_CONFIG = define_study(("heat_maps", "sheet_examples", "true_subsets"))
_WORKDIR = define_workdir("Folder for the images' scores")
_PAGE = define_folder("page", "Folder for fashion.md, fashion.json and pictures; else the workdir")


def main():
    from benchmarks.shortcut.page import write_page
    from benchmarks.shortcut.run import compare

    folder = _PAGE.value or _WORKDIR.value
    require_writable(folder)
    found = compare(_CONFIG.value, _WORKDIR.value)
    write_page(found, folder, f"python -m benchmarks.shortcut {shlex.join(sys.argv[1:])}")
    print(found.table.drop(columns=["rank", "oracle_error"]).to_string(index=False, float_format="{:.3f}".format))
    print(f"Page: {folder}/fashion.md")


if __name__ == "__main__":
    command_line.run(main)
