"""Trains the concept detector of a study on your images and concept columns.

    python launch/train_classifier.py --config=configs/detector.py --workdir=runs/detector \\
        --config.data.path=captions.csv --config.data.label=home --config.data.image=file_name

Then --config.detector.path=runs/detector/export. Rows chosen at random are held out to say the detector's AUROC for each
concept. `data` is that of configs/table.py.
"""

from ml_collections import ConfigDict

from cpi_jax.cli.config import data_config


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "data": data_config("table", image_size=64),
            "targets": "concepts",  # or "labels"
            "held_out": 0.25,  # share of the rows
            "train": {
                "name": "detector",
                "channels": (16, 32, 64),  # more for larger images
                "num_steps": 800,
                "batch_size": 64,
                "learning_rate": 3e-3,
                "seed": 0,
            },
        }
    )
