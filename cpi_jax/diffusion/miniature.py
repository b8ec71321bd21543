"""Checkpoints with random weights in the structure of the published ones, every width made small.

Everything around a checkpoint can be tried on them without its weights.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.diffusion.checkpoint import save_checkpoint
from cpi_jax.diffusion.networks import Networks, build_networks, param_shapes
from cpi_jax.errors import InputError, require_known
from cpi_jax.files.json_files import write_json
from cpi_jax.files.writing import write_atomically

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
END, SHRIEK = "<|endoftext|>", "!"
PADS = {"sd15": (END,), "sd21": (SHRIEK,), "sdxl": (END, SHRIEK)}


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
        return (path[-1].key == "scale") + scale * rng.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def write_miniature(architecture: str, folder: str | Path, seed: int = 0) -> None:
    """Writes a checkpoint folder with CLIP's real vocabulary.

    Args:
      architecture: one of `ARCHITECTURES`.
      folder: to write, some 20 MB.
      seed: of the weights.

    Raises:
      InputError: for another architecture, a folder that is not empty, or where CLIP's vocabulary is not installed;
        nothing is written then.
    """
    require_known(architecture, "architecture", tuple(ARCHITECTURES))
    if Path(folder).exists() and any(Path(folder).iterdir()):
        raise InputError(f"{folder} is not empty, and weights there would be written over: name a new folder")
    merges = _clip_merges()
    networks = miniature_networks(architecture)
    save_checkpoint(folder, networks, random_params(networks, seed), ARCHITECTURES[architecture][1])
    for name, pad in zip(("tokenizer", "tokenizer_2"), PADS[architecture]):
        _write_vocabulary(Path(folder) / name, merges, pad)


def write_clip_vocabulary(folder: Path, pad: str) -> None:
    """Writes vocab.json, merges.txt and tokenizer_config.json of CLIP (Radford et al. 2021, arXiv 2103.00020).

    Args:
      folder: to write.
      pad: the token that fills captions up.

    Raises:
      InputError: where the package open-clip-torch, which holds the merges, is not installed.
    """
    _write_vocabulary(folder, _clip_merges(), pad)


def _clip_merges() -> list[str]:
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise InputError("CLIP's vocabulary is not installed: pip install --no-deps open-clip-torch")
    file = Path(package.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    return gzip.decompress(file.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]


def _write_vocabulary(folder: Path, merges: list[str], pad: str) -> None:
    """The words: bytes, bytes that end a word, merges, two special ones."""
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(c) for c in letters] + [chr(256 + n) for n in range(256 - len(letters))]
    words = [*letters, *(c + "</w>" for c in letters), *("".join(merge.split()) for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "vocab.json", {word: n for n, word in enumerate(words)})
    write_atomically(folder / "merges.txt", "\n".join(["#version: 0.2", *merges, ""]))
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
    }
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
    write_json(folder / "tokenizer_config.json", config)
