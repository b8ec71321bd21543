"""Ranks the concepts that an image classifier relies on.

    python launch/explain.py --config=configs/shapes.py --workdir=runs/shapes

The same command resumes a study that was stopped. --config.FIELD=VALUE overrides a field of the config.
"""

from absl import flags
from ml_collections import config_flags

from cpi_jax import command_line
from cpi_jax.from_config import explain_from_config
from cpi_jax.report.text import summary

_CONFIG = config_flags.DEFINE_config_file("config", None, "The study: a Python file with get_config().")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for scores and results.")


def main():
    explanation = explain_from_config(_CONFIG.value, _WORKDIR.value)
    print(summary(explanation.workdir))


if __name__ == "__main__":
    command_line.run(main)
