"""The generator of garments on photographs: a small Stable Diffusion checkpoint, trained from nothing.

    python launch/train_generator.py --config=benchmarks/shortcut/train_generator.py --workdir=/tmp/fashion_generator

BUILD_NOTES.md has the measured course of the training.
"""

from ml_collections import ConfigDict

from benchmarks.shortcut.photographs import ASSETS, BACKGROUNDS, GARMENTS, SOURCE, TINTS
from configs.train_generator import train_from_nothing
from cpi_jax.cli.config import data_config


def get_config() -> ConfigDict:
    return train_from_nothing(
        {
            "data": data_config(SOURCE, split="train", num_examples=48_000),
            "words": ("a", *TINTS, *GARMENTS, "on", *BACKGROUNDS, "photo"),
            "separator": " ",
            "empty": "a photo",
            "held_out": data_config(SOURCE, split="study", num_examples=400),
            "detector": str(ASSETS / "detector"),
            "neutral": "",
            "vae_steps": 2_000,
            "unet_steps": 8_000,
        }
    )
