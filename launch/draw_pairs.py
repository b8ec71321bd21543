"""Draws a random subset of the examples whose true counterfactual pictures are to be made, and writes the table to fill.

    python launch/draw_pairs.py --config=configs/table.py --workdir=runs/mine --num=100 --out=pairs.csv

Edit, photograph or compose a picture for each row, so that it shows what `caption` says and is else the example's own, and
write its file into `image`. Then launch/explain.py with --config.true_pairs=pairs.csv corrects the importances by them.
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

import tempfile

from absl import flags

from cpi_jax.cli.flags import define_study, define_workdir
from cpi_jax.errors import InputError
from cpi_jax.files.location import find_path, require_writable

_CONFIG = define_study()
_WORKDIR = define_workdir("The study's folder, which is left as it is; not needed", remote=True)
_NUM = flags.DEFINE_integer("num", 100, "How many examples.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the draw.")
_OUT = flags.DEFINE_string("out", "pairs.csv", "The table to write.")


def main():
    table = find_path(_OUT.value)
    if table.suffix != ".csv":
        raise InputError(f"--out must name a table NAME.csv, not {str(table)!r}")
    require_writable(table.parent)

    from cpi_jax.analysis.drawn_pairs import draw_pairs
    from cpi_jax.cli.from_config import study_from_config
    from cpi_jax.wording import counted

    config = _CONFIG.value.copy_and_resolve_references()
    config.true_pairs = ""  # which may be the table that is written here
    with tempfile.TemporaryDirectory() as empty:
        study = study_from_config(config, _WORKDIR.value or empty, readonly=True)
        rows = draw_pairs(study.plan, study.examples, study.settings, _NUM.value, table, _SEED.value)
    print(
        f"wrote {table}: {counted(len(rows), 'picture')} of {counted(rows['example'].nunique(), 'example')} to make\n"
        f"name each one's file in its column image, and run launch/explain.py with --config.true_pairs={table}"
    )


if __name__ == "__main__":
    command_line.run(main, required=("config",))
