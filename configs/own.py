"""Which concepts does your classifier rely on? Data from a function of your own that returns `cpi_jax.Examples`.

    python launch/explain.py --config=configs/own.py:benchmarks.shortcut.photographs:make_fashion --workdir=runs/mine \\
        --config.generator.path=path/to/stable-diffusion --config.target.path=path/to/classifier

The argument is package.module:function, looked for in the current directory, too; the function's parameters are fields of
--config.data (docs/data.md).
"""

from ml_collections import ConfigDict

from cpi_jax.cli.config import base_config, data_config
from cpi_jax.errors import InputError


def get_config(source: str = "") -> ConfigDict:
    if ":" not in source:
        raise InputError(f"name your function, as --config=own:package.module:function, not {source!r}")
    config = base_config()
    config.data = data_config(source)
    return config
