"""Checks every file of a study and says what is sound; with --mend what is not is made again.

    python launch/verify.py --workdir=runs/shapes
    python launch/verify.py --workdir=runs/shapes --mend

Nothing is written without --mend. With it the study that config.json in the folder describes is opened and goes on as by
launch/explain.py: a folder of an earlier version is converted, captions and metadata that are lost are written again, and
units that are damaged, lost or not yet made are generated. A module that config.json names is run then: --trust says that
you know it.
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

from absl import flags

from cpi_jax.cli.flags import define_workdir

_WORKDIR = define_workdir("The study's folder", remote=True, written=False)
_MEND = flags.DEFINE_bool("mend", False, "Make again what is not sound, and go on with what is not done.")
_TRUST = flags.DEFINE_bool("trust", False, "Run the code that config.json in the folder names, because you know it.")


def main():
    from cpi_jax.cli.mending import mend
    from cpi_jax.errors import InputError
    from cpi_jax.store.verify import verify

    if _MEND.value:
        print(mend(_WORKDIR.value, trusted=_TRUST.value))
    report = verify(_WORKDIR.value)
    print(report)
    if not report.sound:
        raise InputError(f"{_WORKDIR.value} is not sound: run this command with --mend")


if __name__ == "__main__":
    command_line.run(main, required=("workdir",))
