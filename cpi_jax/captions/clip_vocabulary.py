"""CLIP's tokenizer (Radford et al. 2021, arXiv 2103.00020) for checkpoints without one: all of Stable Diffusion has it."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

from cpi_jax.captions.clip_tokenizer import ClipTokenizer
from cpi_jax.captions.tokenizer import read_tokenizer
from cpi_jax.files.json_files import write_json
from cpi_jax.files.writing import write_atomically

VOCAB_SIZE = 49408
# What fills captions up, by architecture and tokenizer: "tokenizer", and "tokenizer_2" of SDXL.
PADS = {"sd15": ("<|endoftext|>",), "sd21": ("!",), "sdxl": ("<|endoftext|>", "!")}
_MERGES = Path(__file__).parents[1] / "assets" / "clip" / "merges.txt.gz"


def clip_tokenizer(architecture: str) -> ClipTokenizer:
    """The tokenizer of "sd15" or "sd21", or the first of "sdxl"."""
    with tempfile.TemporaryDirectory() as folder:
        write_clip_tokenizers(Path(folder), architecture)
        return read_tokenizer(Path(folder) / "tokenizer")


def write_clip_tokenizers(folder: Path, architecture: str) -> None:
    """Writes the tokenizers of "sd15", "sd21" or "sdxl" into a checkpoint's folder."""
    for name, pad in zip(("tokenizer", "tokenizer_2"), PADS[architecture]):
        write_clip_vocabulary(folder / name, pad)


def write_clip_vocabulary(folder: Path, pad: str) -> None:
    """Writes vocab.json, merges.txt and tokenizer_config.json.

    Args:
      folder: to write.
      pad: the token that fills captions up.
    """
    merges = gzip.decompress(_MERGES.read_bytes()).decode()
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(c) for c in letters] + [chr(256 + n) for n in range(256 - len(letters))]
    words = [*letters, *(c + "</w>" for c in letters)]  # bytes, and bytes that end a word
    words += [line.replace(" ", "") for line in merges.split("\n")[1:-1]] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "vocab.json", {word: n for n, word in enumerate(words)})
    write_atomically(folder / "merges.txt", merges)
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
    }
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
    write_json(folder / "tokenizer_config.json", config)
