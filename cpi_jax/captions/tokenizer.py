"""CLIP's tokenizer from its files, which are compared with each other before it is made of them."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json, write_json

_BESIDE = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)  # read by transformers where they are
_OF_JSON = "{}/tokenizer_config.json (or the .json files beside it)"
_MOST_MERGES = 49152 - 256 - 2  # as many as CLIP's tokenizer reads
_FIRST_PIECE = 2**30  # id of the first piece of a word that vocab.json lacks, beyond all others


class ClipTokenizer:
    """A CLIPTokenizer of transformers, of whichever release, to which a piece of a word is unknown if vocab.json lacks it.

    It has every attribute of transformers' object. A word of textual inversion that has several vectors is several tokens,
    "<x>", "<x>_1" and so on, and said in full where a text says the first.

    Args:
      inner: transformers' object.
    """

    def __init__(self, inner: Any):
        self.inner = inner
        added: dict[str, int] = inner.get_added_vocab()
        self._said: dict[int, tuple[int, ...]] = {  # ids for one of transformers'
            number: (number, *(added[name] for name in _continued(word, added))) for word, number in added.items()
        }
        # Protocols look attributes up where `__getattr__` is not asked (Python 3.12), and transformers' are made there.
        self.bos_token_id: int = inner.bos_token_id
        self.eos_token_id: int = inner.eos_token_id
        self.pad_token_id: int = inner.pad_token_id
        self.unk_token_id: int = inner.unk_token_id
        self.model_max_length: int = inner.model_max_length

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """Tokens of a text."""
        ids = self.inner.encode(text, add_special_tokens=add_special_tokens)
        ids = [said for number in ids for said in self._said.get(number, (number,))]
        return [self.unk_token_id if number >= _FIRST_PIECE else number for number in ids]

    def get_vocab(self) -> dict[str, int]:
        """Tokens and their ids."""
        ids = {token: self._said.get(number, (number,))[0] for token, number in self.inner.get_vocab().items()}
        return {token: number for token, number in ids.items() if number < _FIRST_PIECE}

    def add_word(self, word: str, ids: Sequence[int]) -> None:
        """Adds a word that is as many tokens as there are ids (`tokens_of_word`)."""
        names = tokens_of_word(word, len(ids))
        self.inner.add_tokens(names)
        for n, number in enumerate(self.inner.convert_tokens_to_ids(names)):
            self._said[number] = tuple(ids[n:] if n == 0 else ids[n : n + 1])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # in a copy that is not complete yet
            raise AttributeError(name)
        return getattr(self.inner, name)


def tokens_of_word(word: str, count: int) -> list[str]:
    """The tokens of a word of textual inversion, as diffusers names them: "<x>", "<x>_1", "<x>_2"."""
    return [word, *(f"{word}_{n}" for n in range(1, count))]


def _continued(word: str, added: Mapping[str, int]) -> list[str]:
    """The tokens that follow the first of a word of textual inversion."""
    return list(itertools.takewhile(added.__contains__, (f"{word}_{n}" for n in itertools.count(1))))


def read_tokenizer(folder: Path, vocab_size: int | None = None) -> ClipTokenizer:
    """The tokenizer in a folder.

    Args:
      folder: of vocab.json, merges.txt and what belongs to them.
      vocab_size: tokens that the text encoder knows; None where there is none to fit.

    Raises:
      InputError: for a file that is missing, damaged or does not fit the others; names it.
    """
    vocabulary = _read_vocabulary(folder / "vocab.json")
    merges = _read_merges(folder / "merges.txt", vocabulary)
    for name in _BESIDE:
        if (folder / name).exists():
            read_json(folder / name)
    try:
        tokenizer = _make(folder, vocabulary, merges)
    except Exception as error:  # whatever transformers trips over, it is in these files
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"no CLIP tokenizer can be made of {_OF_JSON.format(folder)}: {reason}") from error
    for role in ("bos_token", "eos_token", "pad_token", "unk_token"):
        if (token := getattr(tokenizer, role)) not in vocabulary:
            raise InputError(
                f"{folder / 'vocab.json'} has no {token!r}, which is the {role} of {_OF_JSON.format(folder)}"
            )
    length = tokenizer.model_max_length
    if not isinstance(length, (int, float)) or not length > 2:
        raise InputError(f"{folder / _BESIDE[0]} has model_max_length = {length!r}, which must be a number of tokens")
    tokenizer = ClipTokenizer(tokenizer)
    if vocab_size is not None and (most := max(tokenizer.get_vocab().values())) >= vocab_size:
        token = tokenizer.convert_ids_to_tokens(most)
        raise InputError(
            f"the tokenizer in {folder} has the id {most} ({token!r}) and the text encoder knows {vocab_size} tokens from "
            "0: they are of different checkpoints"
        )
    return tokenizer


def _make(folder: Path, vocabulary: dict[str, int], merges: list[list[str]]) -> Any:
    """Transformers' object, of files in which every piece that is merged has an id: since release 5 it must have one."""
    from transformers import CLIPTokenizer  # only here: it takes a second and more to import

    pieces = dict.fromkeys(piece for one, other in merges for piece in (one, other, one + other))
    if not (missing := [piece for piece in pieces if piece not in vocabulary]):
        return CLIPTokenizer.from_pretrained(str(folder))
    with tempfile.TemporaryDirectory() as complete:
        ids = {piece: number for number, piece in enumerate(missing, _FIRST_PIECE)}
        write_json(Path(complete) / "vocab.json", vocabulary | ids)
        for name in ("merges.txt", *_BESIDE):
            if (folder / name).exists():
                shutil.copy(folder / name, complete)
        return CLIPTokenizer.from_pretrained(complete)


def _read_vocabulary(path: Path) -> dict[str, int]:
    vocabulary = read_json(path)
    for token, number in vocabulary.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InputError(f"{path} gives {token!r} the id {number!r}, which must be a whole number from 0")
    if len(set(vocabulary.values())) < len(vocabulary):
        raise InputError(f"{path} gives two tokens the same id")
    return vocabulary


def _read_merges(path: Path, vocabulary: dict[str, int]) -> list[list[str]]:
    """Pairs of pieces. Words of several letters are made by merges, the last of which gives the whole word."""
    if not path.is_file():
        raise InputError(f"the checkpoint has no {path.parent.name}/{path.name} (looked in {path.parent.parent})")
    try:
        lines = (
            path.read_text(encoding="utf-8").strip().split("\n")[1 : _MOST_MERGES + 1]
        )  # the first tells the version
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is not a text file: {error}") from None
    merges = [line.split() for line in lines]
    if odd := next((n for n, merge in enumerate(merges, 2) if len(merge) != 2), None):
        raise InputError(f"line {odd} of {path} is not a pair of tokens")
    results = {"".join(merge) for merge in merges}
    words = [token for token in vocabulary if token.endswith("</w>") and len(token) > len("x</w>")]
    if missing := [word for word in words if word not in results]:
        raise InputError(
            f"{path} makes {len(words) - len(missing)} of the {len(words)} words of vocab.json, not {missing[0]!r} for "
            "one: the two files are not of the same tokenizer, or one is cut"
        )
    return merges
