"""Textual inversion (Gal et al. 2022, arXiv 2208.01618): words whose embeddings come in files of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cpi_jax.captions.clip_tokenizer import ClipTokenizer, tokens_of_word
from cpi_jax.checkpoints.safetensors_file import open_tensors, read_tensor
from cpi_jax.checkpoints.tensors import as_weights
from cpi_jax.errors import InputError
from cpi_jax.files.location import find_path

_OF_XL = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
# A1111's names of the one tensor of Stable Diffusion 1.x and 2.x; in diffusers' files the word is its name.
_A1111 = r"emb_params|string_to_param(\..+)?"
_BASES = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 1280: "Stable Diffusion XL"}  # by width


class Embedding(NamedTuple):
    """A word and its vectors.

    Attributes:
      word: as captions say it.
      vectors: by text encoder; the word is as many tokens.
    """

    word: str
    vectors: dict[str, Float[np.ndarray, "n c"]]

    @property
    def count(self) -> int:
        """Of its tokens."""
        return len(self.vectors["text_encoder"])


def read_embeddings(spec: str, tokenizer: ClipTokenizer, configs: Mapping[str, Mapping[str, Any]]) -> list[Embedding]:
    """Reads the words of `generator.embeddings`.

    Args:
      spec: "word:file", several with commas between them; safetensors of A1111 or diffusers.
      tokenizer: of the checkpoint.
      configs: of its parts.

    Raises:
      InputError: for a word that the vocabulary has, a file that is no textual inversion, or one that was made for another
        text encoder; names it.
    """
    embeddings, known = [], set(tokenizer.get_vocab())
    for one in filter(None, (text.strip() for text in spec.split(","))):
        word, colon, file = one.partition(":")
        if not (word and colon and file) or len(word.split()) > 1:
            raise InputError(f"generator.embeddings must be WORD:FILE, several with commas between them, not {one!r}")
        embedding = Embedding(word, _read(find_path(file), configs))
        names = tokens_of_word(word, embedding.count)
        if there := next((name for name in names if {name, f"{name}</w>"} & known), None):
            raise InputError(
                f"the vocabulary already has {there!r}: give {file} another word, such as <{word.strip('<>')}-new>"
            )
        embeddings.append(embedding)
        known |= set(names)
    return embeddings


def teach(
    embeddings: Sequence[Embedding], tokenizer: ClipTokenizer, configs: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Adds words to a tokenizer, as the tokens behind those that the text encoders know.

    Args:
      embeddings: of the words.
      tokenizer: which learns the words; those of several tokens are said in full, as diffusers does.
      configs: of the parts.

    Returns:
      The configurations with the longer vocabulary.
    """
    first = configs["text_encoder"]["vocab_size"]
    for embedding in embeddings:
        tokenizer.add_word(embedding.word, range(first, first + embedding.count))
        first += embedding.count
    return configs | {part: {**configs[part], "vocab_size": first} for part in _OF_XL if part in configs}


def add_vectors(embeddings: Sequence[Embedding], params: dict[str, Any]) -> dict[str, Any]:
    """Adds the words' vectors to the parameters of the text encoders, by part, in the order of `teach`."""
    name = "text_model.embeddings.token_embedding"
    for part in embeddings[0].vectors if embeddings else ():
        rows = np.concatenate([embedding.vectors[part] for embedding in embeddings])
        table = params[part][name]["embedding"]
        table = jnp.concatenate([table, rows.astype(table.dtype)])
        params = {**params, part: {**params[part], name: {"embedding": table}}}
    return params


def _read(file: Path, configs: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    if not file.is_file():
        raise InputError(f"there is no textual inversion at {file}")
    with open_tensors(file) as opened:
        tensors = {name: read_tensor(opened, name, file) for name in list(opened.keys())}
    is_xl, of_xl = "text_encoder_2" in configs, set(_OF_XL.values()) <= set(tensors)
    if of_xl:
        if not is_xl:
            raise InputError(f"{file} is a textual inversion of Stable Diffusion XL (clip_l and clip_g)")
        chosen = {part: tensors[name] for part, name in _OF_XL.items()}
    else:
        names = [name for name in tensors if re.fullmatch(_A1111, name)] or list(tensors)
        if len(names) != 1 or tensors[names[0]].ndim > 2:
            raise InputError(
                f"{file} is no textual inversion: it holds {len(tensors)} tensors, {min(tensors, default='none')!r} first, "
                "and not emb_params, clip_l and clip_g, or one alone"
            )
        chosen = {"text_encoder": tensors[names[0]]}
    vectors = {part: as_weights(np.atleast_2d(value), np.float32, file, part) for part, value in chosen.items()}
    for part, value in vectors.items():
        width, wanted = value.shape[-1], configs[part]["hidden_size"]
        if width != wanted or (is_xl and not of_xl):
            of = f", that of {_BASES[width]}" if width in _BASES else ""
            asked = "clip_l and clip_g" if is_xl else f"vectors of {wanted}"
            raise InputError(
                f"{file} is a textual inversion of another text encoder: it has vectors of {width} numbers{of}, and the "
                f"checkpoint asks for {asked}"
            )
    if len({len(value) for value in vectors.values()}) > 1:
        raise InputError(f"{file} has different numbers of vectors for the two text encoders")
    return vectors
