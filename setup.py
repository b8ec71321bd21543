"""Puts launch/ and configs/ into the wheel, within the package, so that `cpi-jax` finds them without a clone.

All else is said in pyproject.toml. (A mapping of packages to these folders would change how editable installs are found.)
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithPrograms(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            for folder in ("launch", "configs"):
                place = Path(self.build_lib, "cpi_jax", folder)
                shutil.rmtree(place, ignore_errors=True)  # of a build before
                place.mkdir(parents=True)
                for file in sorted(Path(folder).glob("*.py")):
                    shutil.copy(file, place)


setup(cmdclass={"build_py": BuildWithPrograms})
