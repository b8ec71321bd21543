"""A small CLIP vocabulary: byte-pair merges learnt until each word of the captions is one token."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.trainers import BpeTrainer

from cpi_jax.files.json_files import write_json

BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(words: Iterable[str], folder: str | Path, length: int) -> int:
    """Writes vocab.json, merges.txt and tokenizer_config.json, as `transformers.CLIPTokenizer` reads them.

    Only whole words, BOS and EOS (also the padding, as in SD 1) are in the vocabulary: another word is unknown.

    Args:
      words: lower-case words and punctuation marks, as CLIP's pattern splits captions.
      folder: where the files go.
      length: tokens that the text encoder reads.

    Returns:
      The number of tokens in the vocabulary.
    """
    words = list(words)
    bpe = Tokenizer(BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = WhitespaceSplit()
    bpe.train_from_iterator([" ".join(words)], BpeTrainer(end_of_word_suffix="</w>", show_progress=False))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    bpe.model.save(str(folder))
    vocab = {token: i for i, token in enumerate([f"{w}</w>" for w in words] + [BOS, EOS])}
    write_json(folder / "vocab.json", vocab)
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "unk_token": EOS,
        "model_max_length": length,
    }
    write_json(folder / "tokenizer_config.json", settings)
    return len(vocab)
