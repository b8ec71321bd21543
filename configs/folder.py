"""Which concepts does your classifier rely on? An image folder with metadata.csv or metadata.jsonl beside the images.

    python launch/explain.py --config=configs/folder.py --workdir=runs/mine \\
        --config.data.path=photos --config.data.label=indoors --config.data.concepts='("dog","ground")' \\
        --config.generator.path=path/to/stable-diffusion --config.target.path=path/to/classifier

The layout is Hugging Face's ImageFolder: a column file_name, and what docs/data.md says of the other columns.
"""

from ml_collections import ConfigDict

from cpi_jax.cli.config import base_config, data_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data = data_config("folder")
    return config
