"""Small folders in tests/assets/, as the releases of today write them (`torch_current --write`), and what they hold."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cpi_jax.training.vocabulary import write_tokenizer
from tests import mini
from tests.words import WORDS

ASSETS = Path(__file__).parent / "assets" / "current"
CAPTION = "1 red  Circle , a photo"


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The tests' words and, behind them, the pieces that they are merged of; all merges."""
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(WORDS, folder, 32)
        ids = json.loads((Path(folder) / "vocab.json").read_text())
        lines = (Path(folder) / "merges.txt").read_text().strip().split("\n")[1:]
    merges = [(one, other) for one, other in map(str.split, lines)]
    pieces = dict.fromkeys(piece for one, other in merges for piece in (one, other, one + other) if piece not in ids)
    return ids | {piece: len(ids) + n for n, piece in enumerate(pieces)}, merges


def digest(weight: np.ndarray) -> np.ndarray:
    """A number for each output of a layer's weight in PyTorch's layout, which every entry of it changes."""
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    return flat @ np.cos(np.arange(flat.shape[1]))


# Settings as lists of equal entries and a size that is not said; the autoencoder says it.
CONFIGS: dict[str, dict[str, Any]] = {
    "text_encoder": mini.CONFIGS["text_encoder"] | {"vocab_size": len(vocabulary()[0])},
    "unet": mini.CONFIGS["unet"]
    | {
        "sample_size": None,
        "layers_per_block": [1, 1],
        "only_cross_attention": [False, False],
        "cross_attention_dim": [16, 16],
    },
    "vae": mini.CONFIGS["vae"],
}
UNET_LORA = {
    "r": 3,
    "lora_alpha": 6,
    "target_modules": ["to_q", "to_k", "to_v", "conv_in"],
    "rank_pattern": {"to_q": 2},
    "alpha_pattern": {"to_k": 4, r"mid_block\..*\.to_v": 8},
    "use_rslora": True,
}
TEXT_LORA = {"r": 2, "lora_alpha": 5, "target_modules": ["q_proj", "fc1"]}
