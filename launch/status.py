"""Says how far a study is, from another shell, without disturbing it.

python launch/status.py --workdir=runs/shapes
"""

from absl import flags

from cpi_jax import command_line
from cpi_jax.status import status

_WORKDIR = flags.DEFINE_string("workdir", None, "The study's folder, or gs://bucket/path.")


def main():
    print(status(_WORKDIR.value))


if __name__ == "__main__":
    command_line.run(main, required=("workdir",))
