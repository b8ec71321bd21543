"""Recovers known importances, beside GradCAM, LIME, gradients and occlusion, and writes a page about it.

    python launch/recovery.py --config=configs/recovery_shapes.py --workdir=runs/recovery --page=docs

The same command goes on where it was stopped. --config.FIELD=VALUE overrides a field of the config.
"""

import shlex
import sys

from absl import flags
from ml_collections import config_flags

from cpi_jax import command_line
from cpi_jax.recovery.benchmark import recover
from cpi_jax.recovery.page import write_page
from cpi_jax.store import require_writable

_CONFIG = config_flags.DEFINE_config_file("config", None, "The benchmark: a Python file with get_config().")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the images' scores.")
_PAGE = flags.DEFINE_string("page", "", "Folder for recovery.md, recovery.json and figures; empty: the workdir.")


def main():
    folder = _PAGE.value or _WORKDIR.value
    require_writable(folder)
    found = recover(_CONFIG.value, _WORKDIR.value)
    write_page(found, folder, f"python {shlex.join(sys.argv)}")
    for name, value in found.headline.items():
        print(f"{name:20} {value:.4g}")
    print(f"Page: {folder}/recovery.md")


if __name__ == "__main__":
    command_line.run(main)
