"""Which numbers a field can hold: said once in a table, checked in one place, refused in one form."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from cpi_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`.

    Attributes:
      low, high: the smallest and the largest one.
      whole: whether they are whole numbers.
      ends: whether both ends can be meant, too.
      hint: what a message says besides.
      multiple_of: what divides them.
    """

    low: float
    high: float
    whole: bool = False
    ends: bool = True
    hint: str = ""
    multiple_of: int = 1

    def validate(self, name: str, value: Any) -> int | float:
        """The number as Python has it: int where it is to be whole, else float.

        Raises:
          InputError: for anything else than such a number; one sentence that names the field and what it can hold.
        """
        number = value.item() if isinstance(value, (np.number, np.bool_)) else value
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise InputError(f"{name} must be a number, not {number!r}")
        inside = self.low <= number <= self.high if self.ends else self.low < number < self.high
        if not inside:
            raise InputError(f"{name} must {self._wanted(number)}, not {number}{self.hint and f'; {self.hint}'}")
        if self.whole and number != int(number):
            raise InputError(f"{name} must be a whole number, not {number}")
        if self.whole and number % self.multiple_of:
            raise InputError(f"{name} must be a multiple of {self.multiple_of}, not {number}")
        return int(number) if self.whole else float(number) + 0.0  # without the sign of a zero

    def _wanted(self, number: float) -> str:
        if self.high <= 1 or number != number:  # a share is known by both ends
            neither = "" if self.ends or number not in (self.low, self.high) else " and be neither"
            return f"lie between {self.low:,} and {self.high:,}{neither}"
        if number <= self.low:
            return f"be at least {self.low:,}" if self.ends else f"be above {self.low:,}"
        return f"be at most {self.high:,}" if self.ends else f"be below {self.high:,}"


def whole(low: int, high: int) -> Range:
    """Whole numbers from low to high."""
    return Range(low, high, whole=True)


SHARE = Range(0, 1)
COUNT = whole(1, 10**9)  # of what is counted and not kept
NATURAL = whole(0, 10**9)
WIDTH = whole(1, 65_536)  # of what is kept in memory side by side
SEED = whole(0, 2**31 - 1)  # JAX reads 32 bits, and a few numbers beyond the seed are used, too
PIXELS = whole(0, 8192)

# By the field's name, or its last names where it means different things in different places.
RANGES: dict[str, Range] = {
    # Settings
    "seed": SEED,
    "draws": whole(1, 10_000),
    "max_values": COUNT,
    "num_shuffles": whole(1, 10_000),
    "mask_dilation": PIXELS,
    "max_interactions": whole(0, 10**6),
    "batch_size": whole(0, 65_536),
    "unit_size": WIDTH,
    "max_images": whole(0, 10**12),
    "max_minutes": Range(0, 10**7),
    "sampled_examples": whole(0, 1000),
    "num_bootstrap": whole(1, 100_000),
    "level": Range(0, 1, ends=False),
    "stop_width": Range(0, 10**6),
    "stop_top_k": whole(0, 10_000),
    "stop_share_of_draws": SHARE,
    "generation_margin": SHARE,
    "leak_margin": SHARE,
    # The sampler
    "steps": whole(1, 10_000),
    "guidance_scale": Range(
        1,
        1000,
        hint="1 is no guidance (elsewhere written 0, too), less would move pictures away from their captions",
    ),
    "skip": whole(0, 10_000),
    "source_guidance": Range(1, 1000, hint="1 is no guidance"),
    "strength": SHARE,
    "guidance_interval": Range(0, 10**6),
    "height": PIXELS,
    "width": PIXELS,
    "guidance_rescale": SHARE,
    "clip_skip": whole(0, 255),
    "original_size": PIXELS,
    "target_size": PIXELS,
    # Data and classifiers
    "num_examples": NATURAL,
    "start": whole(0, 2**62),
    "min_examples": NATURAL,
    "image_size": PIXELS,
    "resize": PIXELS,
    "crop": PIXELS,
    "prevalence": SHARE,
    "correlation": SHARE,
    "data.weights": Range(-(10**6), 10**6),
    "bias": Range(-(10**6), 10**6),
    # Training
    "train.batch_size": WIDTH,
    "unet.batch_size": WIDTH,
    "vae.batch_size": WIDTH,
    "num_steps": COUNT,
    "learning_rate": Range(0, 100, ends=False),
    "warmup": NATURAL,
    "final": Range(0, 100),
    "accumulate": WIDTH,
    "channels": Range(8, WIDTH.high, whole=True, multiple_of=8),  # of a `ResNet`, normalised in groups of 8
    "kl_weight": Range(0, 10**6),
    "ema_decay": SHARE,
    "rank": WIDTH,
    "alpha": Range(0, 10**6),
    "min_snr_gamma": Range(0, 10**6),
    "caption_dropout": SHARE,
    "neutral_share": SHARE,
    "log_every": COUNT,
    "save_every": COUNT,
    "patience": NATURAL,
    # Benchmarks
    "models_seed": SEED,
    "num_models": whole(2, 10_000),
    "num_networks": whole(1, 10_000),
    "headline_draws": whole(1, 10_000),
    "network_images": whole(1, 10**6),
    "num_segments": whole(1, 10_000),
    "num_samples": whole(1, 10**6),
    "num_shown": whole(0, 1000),
    "sheet_examples": whole(0, 1000),
    "true_subsets": whole(1, 1000),
    "unet_noise": Range(0, 10**6),
    # Networks that are trained from nothing
    **dict.fromkeys(
        (
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings",
            "sample_size", "in_channels", "out_channels", "block_out_channels", "layers_per_block", "attention_head_dim",
            "cross_attention_dim", "latent_channels", "norm_num_groups",
        ),
        WIDTH,
    ),
    "scaling_factor": Range(0, 10**6, ends=False),
    "num_train_timesteps": whole(2, 10**6),
    "beta_start": Range(0, 1, ends=False),
    "beta_end": Range(0, 1, ends=False),
    "solver_order": whole(1, 3),
}  # fmt: skip


def validate_numbers(**values: Any) -> None:
    """Checks fields by their names.

    Raises:
      InputError: for a number that cannot be meant.
    """
    for name, value in values.items():
        RANGES[name].validate(name, value)


def validate_config(value: Any, name: str = "--config") -> None:
    """Checks every number of a configuration, before anything is read or made.

    Args:
      value: a configuration of any of the programs under launch/, or what one of its fields holds.
      name: as the command line has it.

    Raises:
      InputError: for a number that cannot be meant; names the field as the command line has it.
    """
    if hasattr(value, "items"):
        for key, content in value.items():
            validate_config(content, f"{name}.{key}")
    elif isinstance(value, (tuple, list)):
        for content in value:
            validate_config(content, name)
    elif allowed := RANGES.get(".".join(name.split(".")[-2:])) or RANGES.get(name.split(".")[-1]):
        allowed.validate(name, value)
