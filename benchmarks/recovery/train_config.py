"""The end-to-end networks of the recovery benchmark, one for each planted model.

    python -m benchmarks.recovery.train --config=benchmarks/recovery/train_config.py --workdir=/tmp/recovery

Each sees images and the labels of its own planted model, nothing else.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            # Ids apart from those of the study (from 0) and of every other network (see train_shapes_classifier.py).
            "data": {"num_examples": 30_000, "seed": 0, "start": 6_000_000},
            "train": {
                "channels": (8, 16, 32),
                "num_steps": 1_200,
                "batch_size": 64,
                "learning_rate": 4e-3,
            },
        }
    )
