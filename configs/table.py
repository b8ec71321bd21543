"""Which concepts does your classifier rely on? Captions from a table with one 0/1 column a concept.

    python launch/explain.py --config=configs/table.py --workdir=runs/mine \\
        --config.data.path=captions.csv --config.data.label="home or hotel" \\
        --config.generator.path=path/to/stable-diffusion --config.classifier.path=path/to/classifier

DEPICT's published captions are such a table. Any field can be overridden (cpi_jax/from_config.py has them all).
"""

from ml_collections import ConfigDict

from cpi_jax.from_config import base_config


def get_config() -> ConfigDict:
    config = base_config()
    config.data = ConfigDict(
        {
            "source": "table",
            "path": "",  # CSV or Parquet
            "label": "",  # the column of the classifier's task, 0 or 1
            "concepts": (),  # columns, 0 or 1; empty: all to the right of the label
            "id": "image_id",  # the column that tells examples apart
            "phrase": "1 {}",  # what a caption says of a concept that is present
            "num_examples": 0,  # the first so many; 0: all
        }
    )
    return config
