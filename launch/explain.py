"""Ranks the concepts that an image classifier relies on.

    python launch/explain.py --config=configs/shapes.py --workdir=runs/shapes

The same command resumes a study that was stopped. --config=FILE names the study; --config.FIELD=VALUE overrides a field.
"""

import sys

from absl import app, flags, logging
from ml_collections import config_flags

from cpi_jax.errors import InputError
from cpi_jax.from_config import explain_from_config
from cpi_jax.report.text import summary

_CONFIG = config_flags.DEFINE_config_file("config", None, "The study, a Python file with get_config().")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for scores and results.")


def main(argv):
    del argv
    try:
        explanation = explain_from_config(_CONFIG.value, _WORKDIR.value)
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"\nstopped; what is done is kept in {_WORKDIR.value}: resume with the same command")
    print(summary(explanation.workdir))


if __name__ == "__main__":
    logging.set_verbosity(logging.WARNING)
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main)
