"""Classifiers of garments on photographs.

    python launch/train_classifier.py --config=benchmarks/shortcut/train_classifier.py:biased --workdir=/tmp/biased
    python launch/train_classifier.py --config=benchmarks/shortcut/train_classifier.py:balanced --workdir=/tmp/balanced
    python launch/train_classifier.py --config=benchmarks/shortcut/train_classifier.py:detector --workdir=/tmp/detector

"biased" and "balanced" are one network, trained alike to tell footwear: in the training images of the first the background
(grass or not) predicts the label in 95 %, in those of the second it says nothing. 100 steps are few on purpose: a network
learns the background first, and by 200 steps the garment has taken its place (BUILD_NOTES.md). "detector" is h: it sees
the tints, garments and backgrounds of its images. All see the training split of Fashion-MNIST, a study the other one.
"""

from ml_collections import ConfigDict

from benchmarks.shortcut.photographs import SOURCE
from cpi_jax.cli.config import data_config
from cpi_jax.errors import require_known

# Ids apart from the generator's (from 0) and each other's.
_STARTS = {"biased": 1_000_000, "balanced": 2_000_000, "detector": 3_000_000}


def get_config(which: str = "biased") -> ConfigDict:
    require_known(which, "classifier", tuple(_STARTS))
    detector = which == "detector"
    correlation = 0.9 if which == "biased" else 0.0
    return ConfigDict(
        {
            "data": data_config(
                SOURCE, split="train", num_examples=20_000, start=_STARTS[which], correlation=correlation
            ),
            "targets": "concepts" if detector else "labels",
            "held_out": 0.0,
            "train": {
                "name": which,
                "channels": (16, 32, 64),
                "num_steps": 1_000 if detector else 100,
                "batch_size": 64,
                "learning_rate": 3e-3,
                "seed": 1 + list(_STARTS).index(which),
            },
        }
    )
