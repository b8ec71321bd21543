"""Checkpoints with random weights in the structure of the published ones, every width made small.

python -m tests.miniatures sd15 /tmp/miniature      # to try everything around a checkpoint without its weights
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import jax
import numpy as np

from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.diffusion.checkpoint import save_checkpoint
from cpi_jax.diffusion.networks import Networks, build_networks, init_params

SIZES = {
    "text_encoder": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4},
    "unet": {"sample_size": 8, "block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 64},
    "vae": {"sample_size": 64, "block_out_channels": [32, 32, 64, 64]},
}
HEADS = {"sd15": 8, "sd21": [2, 4, 4, 4]}
PAD = {"sd15": "<|endoftext|>", "sd21": "!"}


def miniature_networks(architecture: str) -> Networks:
    configs, _ = ARCHITECTURES[architecture]
    configs = {part: config | SIZES[part] for part, config in configs.items()}
    configs["unet"] |= {"attention_head_dim": HEADS[architecture]}
    return build_networks(configs)


def random_params(networks: Networks, seed: int = 0) -> dict:
    """Random in every leaf, biases and norms included; drawn by numpy, since compiling the networks' own draws is slow."""
    shapes = jax.eval_shape(lambda: init_params(networks, jax.random.key(0)))
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        scale = np.prod(leaf.shape[:-1]) ** -0.5 if len(leaf.shape) > 1 else 0.1
        return (path[-1].key == "scale") + scale * rng.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def write_miniature(architecture: str, folder: Path, seed: int = 0) -> None:
    """A checkpoint folder with CLIP's real vocabulary (of the package open-clip-torch)."""
    networks = miniature_networks(architecture)
    save_checkpoint(folder, networks, random_params(networks, seed), ARCHITECTURES[architecture][1])
    write_clip_vocabulary(folder / "tokenizer", PAD[architecture])


def write_clip_vocabulary(folder: Path, pad: str) -> None:
    """vocab.json and merges.txt of CLIP (Radford et al. 2021): bytes, bytes that end a word, merges, two special ones."""
    package = importlib.util.find_spec("open_clip")
    if package is None:
        raise FileNotFoundError("CLIP's vocabulary is not installed: pip install --no-deps open-clip-torch")
    file = Path(package.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    merges = gzip.decompress(file.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(c) for c in letters] + [chr(256 + n) for n in range(256 - len(letters))]
    words = [*letters, *(c + "</w>" for c in letters), *("".join(merge.split()) for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
    }
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))


if __name__ == "__main__":
    write_miniature(sys.argv[1], Path(sys.argv[2]))
