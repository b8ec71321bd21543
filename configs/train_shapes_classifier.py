"""Classifiers of the shapes.

    python launch/train_classifier.py --config=configs/train_shapes_classifier.py:target --workdir=/tmp/target
    python launch/train_classifier.py --config=configs/train_shapes_classifier.py:detector --workdir=/tmp/detector

"target" is the black box f: it sees images and planted labels only. "detector" is h: it sees the six concepts.
"""

from ml_collections import ConfigDict

from cpi_jax.data.shapes import PLANTED_BIAS, PLANTED_WEIGHTS


def get_config(which: str = "target") -> ConfigDict:
    if which not in ("target", "detector"):
        raise ValueError(f"this config trains 'target' or 'detector', not {which!r}")
    target = which == "target"
    return ConfigDict(
        {
            # Ids apart from the study's (from 0), the generator's (from 1,000,000) and each other's.
            "data": {
                "num_examples": 30_000,
                "seed": 0,
                "start": 2_000_000 if target else 3_000_000,
                "weights": PLANTED_WEIGHTS,
                "bias": PLANTED_BIAS,
            },
            "targets": "labels" if target else "concepts",
            "train": {
                "name": which,
                "channels": (16, 32, 64),
                "num_steps": 1_500 if target else 800,
                "batch_size": 64,
                "learning_rate": 3e-3,
                "seed": 1 if target else 2,
            },
        }
    )
