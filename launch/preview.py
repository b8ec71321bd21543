"""Draws a contact sheet of a few captions and their permutations, before anybody spends a day.

    python launch/preview.py --config=configs/shapes.py --out=preview.png

The config is that of launch/explain.py; the pictures are the first ones that its study will make. The number below a title
is the classifier's score.
"""

import tempfile

from absl import flags
from ml_collections import config_flags

from cpi_jax import command_line
from cpi_jax.from_config import study_from_config
from cpi_jax.preview import preview
from cpi_jax.report.plots import plot_sheet

_CONFIG = config_flags.DEFINE_config_file("config", None, "The study: a Python file with get_config().")
_OUT = flags.DEFINE_string("out", "preview.png", "The picture to write.")
_EXAMPLES = flags.DEFINE_integer("examples", 4, "How many examples.", lower_bound=1)


def main():
    with tempfile.TemporaryDirectory() as folder:
        study = study_from_config(_CONFIG.value, folder, readonly=True)
        plot_sheet(_OUT.value, preview(study, _EXAMPLES.value))
    print(f"wrote {_OUT.value}")


if __name__ == "__main__":
    command_line.run(main, required=("config",))
