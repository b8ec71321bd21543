"""Which concepts does your classifier rely on? Captions from a table, one column a concept.

    python launch/explain.py --config=configs/table.py --workdir=runs/mine \\
        --config.data.path=captions.csv --config.data.label="home or hotel" \\
        --config.generator.path=path/to/stable-diffusion --config.target.path=path/to/classifier

DEPICT's published captions are such a table; --config.data.image names a column of pictures. --config.plan_only=True says
what was understood and what it would cost. Any field can be overridden: cpi_jax/cli/config.py has them all,
docs/data.md says what the columns can hold.
"""

from ml_collections import ConfigDict

from cpi_jax.cli.config import base_config, data_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data = data_config("table")
    return config
