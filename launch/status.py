"""Says how far a study is, from another shell, without disturbing it.

python launch/status.py --workdir=runs/shapes
"""

from cpi_jax.cli import command_line
from cpi_jax.cli.flags import define_workdir

_WORKDIR = define_workdir("The study's folder", remote=True, written=False)


def main():
    from cpi_jax.store.status import status

    print(status(_WORKDIR.value))


if __name__ == "__main__":
    command_line.run(main, required=("workdir",))
