"""Classifiers of the shapes.

    python launch/train_classifier.py --config=configs/train_shapes_classifier.py:target --workdir=/tmp/target
    python launch/train_classifier.py --config=configs/train_shapes_classifier.py:detector --workdir=/tmp/detector
    python launch/train_classifier.py --config=configs/train_shapes_classifier.py:trunk --workdir=/tmp/trunk

"target" is the black box f: it sees images and planted labels only. "detector" is h: it sees the six concepts. "trunk"
sees them too: it reads the concepts for the bottleneck models of the recovery benchmark.
"""

from ml_collections import ConfigDict

from cpi_jax.data.shapes import PLANTED_BIAS, PLANTED_WEIGHTS
from cpi_jax.errors import require_known

# Ids apart from the study's (from 0), the generator's (from 1,000,000) and each other's.
_STARTS = {"target": 2_000_000, "detector": 3_000_000, "trunk": 4_000_000}


def get_config(which: str = "target") -> ConfigDict:
    require_known(which, "classifier", tuple(_STARTS))
    target = which == "target"
    return ConfigDict(
        {
            "data": {
                "source": "shapes",
                "num_examples": 30_000,
                "seed": 0,
                "start": _STARTS[which],
                "weights": PLANTED_WEIGHTS,
                "bias": PLANTED_BIAS,
            },
            "targets": "labels" if target else "concepts",
            "held_out": 0.0,
            "train": {
                "name": which,
                "channels": (16, 32, 64),
                "num_steps": 1_500 if target else 800,
                "batch_size": 64,
                "learning_rate": 3e-3,
                "seed": 1 + list(_STARTS).index(which),
            },
        }
    )
