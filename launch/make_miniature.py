"""Writes a checkpoint in the structure of Stable Diffusion with small random weights, to try everything around one.

    python launch/make_miniature.py --architecture=sd15 --workdir=runs/miniature

The vocabulary is CLIP's; the pictures are noise.
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

from absl import flags

from cpi_jax.cli.flags import define_workdir
from cpi_jax.diffusion.architectures import ARCHITECTURES

_WORKDIR = define_workdir("The folder to write")
_ARCHITECTURE = flags.DEFINE_enum("architecture", "sd15", [*ARCHITECTURES], "Whose structure.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the weights.", lower_bound=0)


def main():
    from cpi_jax.diffusion.miniature import write_miniature

    write_miniature(_ARCHITECTURE.value, _WORKDIR.value, _SEED.value)
    print(f"written: {_WORKDIR.value}; use it with --config.generator.path={_WORKDIR.value}")


if __name__ == "__main__":
    command_line.run(main, required=("workdir",))
