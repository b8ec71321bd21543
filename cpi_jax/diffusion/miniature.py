"""Checkpoints with random weights in the structure of the published ones, every width made small.

Everything around a checkpoint can be tried on them without its weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from cpi_jax.captions.clip_vocabulary import write_clip_tokenizers
from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.diffusion.checkpoint import save_checkpoint
from cpi_jax.diffusion.networks import Networks, build_networks, param_shapes
from cpi_jax.errors import require_known
from cpi_jax.files.location import require_new

SIZES = {
    "text_encoder": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4},
    "unet": {"sample_size": 8, "block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 64},
    "vae": {"sample_size": 64, "block_out_channels": [32, 32, 64, 64]},
}
# What differs between the architectures.
OWN_SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "sd15": {"unet": {"attention_head_dim": 8}},
    "sd21": {"unet": {"attention_head_dim": [2, 4, 4, 4]}},
    "sdxl": {
        "text_encoder_2": {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
            "projection_dim": 48,
        },
        "unet": {
            "block_out_channels": [32, 64, 64], "attention_head_dim": [2, 4, 4], "transformer_layers_per_block": [1, 1, 2],
            "cross_attention_dim": 96, "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 96,
        },
    },
}  # fmt: skip


def miniature_networks(architecture: str) -> Networks:
    """Networks of one of `ARCHITECTURES`: 8 x 8 latents, images of 64 x 64 pixels, and CLIP's 49,408 tokens."""
    configs, _ = ARCHITECTURES[architecture]
    own = OWN_SIZES[architecture]
    return build_networks({part: config | SIZES.get(part, {}) | own.get(part, {}) for part, config in configs.items()})


def random_params(networks: Networks, seed: int = 0) -> dict[str, Any]:
    """Random in every leaf, biases and norms included; drawn by numpy, since compiling the networks' own draws is slow."""
    return random_like(param_shapes(networks), seed)


def random_like(shapes: Any, seed: int = 0) -> Any:
    """Parameters of these shapes, as `random_params` draws them."""
    rng = np.random.default_rng(seed)

    def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        scale = np.prod(leaf.shape[:-1]) ** -0.5 if len(leaf.shape) > 1 else 0.1
        drawn = (path[-1].key == "scale") + scale * rng.standard_normal(leaf.shape, np.float32)
        return drawn.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def write_miniature(architecture: str, folder: str | Path, seed: int = 0) -> None:
    """Writes a checkpoint folder with CLIP's real vocabulary.

    Args:
      architecture: one of `ARCHITECTURES`.
      folder: to write, some 20 MB.
      seed: of the weights.

    Raises:
      InputError: for another architecture, or a folder that is not empty; nothing is written then.
    """
    require_known(architecture, "architecture", tuple(ARCHITECTURES))
    folder = require_new(folder)
    networks = miniature_networks(architecture)
    save_checkpoint(folder, networks, random_params(networks, seed), ARCHITECTURES[architecture][1])
    write_clip_tokenizers(folder, architecture)
