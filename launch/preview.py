"""Draws a contact sheet of a few captions and their permutations, before anybody spends a day.

    python launch/preview.py --config=configs/shapes.py --workdir=runs/shapes
    python launch/preview.py --config=configs/shapes.py --out=preview.png

Flags are those of launch/explain.py; the pictures are the first ones that its study will make. The number below a title is
the classifier's score. In a workdir that holds another study than the config's this is refused, as launch/explain.py will.
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

import tempfile

from absl import flags

from cpi_jax.cli.flags import define_study, define_workdir
from cpi_jax.errors import InputError, require_known
from cpi_jax.files.location import find_path, require_writable

_CONFIG = define_study()
_WORKDIR = define_workdir("The study's folder, for preview.png", remote=True)
_OUT = flags.DEFINE_string("out", None, "The picture to write; else preview.png in the workdir, or here.")
_EXAMPLES = flags.DEFINE_integer("examples", 4, "How many examples.", lower_bound=1)
_KINDS = (".png", ".jpg", ".pdf", ".svg")


def main():
    local = _WORKDIR.value is not None and not _WORKDIR.value.startswith("gs://")
    picture = find_path(_OUT.value or (f"{_WORKDIR.value}/preview.png" if local else "preview.png"))
    require_known(picture.suffix, "kind of picture", _KINDS)
    if picture.is_dir():
        raise InputError(f"{picture} is a folder: --out must name a picture")
    require_writable(picture.parent)

    from cpi_jax.cli.from_config import study_from_config
    from cpi_jax.cli.preview import preview
    from cpi_jax.report.sheets import write_sheet

    with tempfile.TemporaryDirectory() as empty:
        study = study_from_config(_CONFIG.value, _WORKDIR.value or empty, readonly=True)
        write_sheet(picture, preview(study, _EXAMPLES.value))
    print(f"wrote {picture}")


if __name__ == "__main__":
    command_line.run(main, required=("config",))
