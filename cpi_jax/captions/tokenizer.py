"""CLIP's tokenizer from its files, which are compared with each other before it is made of them.

They are vocab.json and merges.txt, or tokenizer.json, which holds both and is all that transformers writes since release 5.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from cpi_jax.captions.encoding import Tokenizer
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json, write_json
from cpi_jax.files.writing import write_atomically

_BESIDE = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)  # read by transformers where they are
_OF_JSON = "{}/tokenizer_config.json (or the .json files beside it)"
_MOST_MERGES = 49152 - 256 - 2  # as many as CLIP's tokenizer reads
_PROBES = ("A  Photo", "2 RED circles,", "(it's 10%)", "isn't Café?")  # which other rules read as other tokens
_FIRST_PIECE = 2**30  # id of the first piece of a word that vocab.json lacks, beyond all others


class ClipTokenizer:
    """A CLIPTokenizer of transformers, of whichever release, to which a piece of a word is unknown if vocab.json lacks it.

    It has every attribute of transformers' object.

    Args:
      inner: transformers' object.
    """

    def __init__(self, inner: Any):
        self.inner = inner
        # Protocols look attributes up where `__getattr__` is not asked (Python 3.12), and transformers' are made there.
        self.bos_token_id: int = inner.bos_token_id
        self.eos_token_id: int = inner.eos_token_id
        self.pad_token_id: int = inner.pad_token_id
        self.unk_token_id: int = inner.unk_token_id
        self.model_max_length: int = inner.model_max_length

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """Tokens of a text."""
        ids = self.inner.encode(text, add_special_tokens=add_special_tokens)
        return [self.unk_token_id if number >= _FIRST_PIECE else number for number in ids]

    def get_vocab(self) -> dict[str, int]:
        """Tokens and their ids."""
        return {token: number for token, number in self.inner.get_vocab().items() if number < _FIRST_PIECE}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # in a copy that is not complete yet
            raise AttributeError(name)
        return getattr(self.inner, name)


class _Words(NamedTuple):
    """What a tokenizer's files hold.

    Attributes:
      path: the file that names the tokens.
      vocabulary: ids of tokens.
      merges: pairs of pieces.
      added: ids of tokens that are no pieces of words.
    """

    path: Path
    vocabulary: dict[str, int]
    merges: list[list[str]]
    added: dict[str, int]


def read_tokenizer(folder: Path, vocab_size: int | None = None) -> Tokenizer:
    """The tokenizer in a folder.

    Args:
      folder: of vocab.json and merges.txt, or tokenizer.json, and what belongs to them.
      vocab_size: tokens that the text encoder knows; None where there is none to fit.

    Raises:
      InputError: for a file that is missing, damaged or does not fit the others; names it.
    """
    whole = folder / "tokenizer.json"
    alone = whole.is_file() and not (folder / "vocab.json").is_file()
    words = _read_whole(whole) if alone else _read_parts(folder)
    for name in _BESIDE:
        if (folder / name).exists():
            read_json(folder / name)
    try:
        tokenizer = _make(folder, words, alone)
    except Exception as error:  # whatever transformers trips over, it is in these files
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"no CLIP tokenizer can be made of {_OF_JSON.format(folder)}: {reason}") from error
    for role in ("bos_token", "eos_token", "pad_token", "unk_token"):
        if (token := getattr(tokenizer, role)) not in words.vocabulary | words.added:
            raise InputError(f"{words.path} has no {token!r}, which is the {role} of {_OF_JSON.format(folder)}")
    length = tokenizer.model_max_length
    if not isinstance(length, (int, float)) or not length > 2:
        raise InputError(f"{folder / _BESIDE[0]} has model_max_length = {length!r}, which must be a number of tokens")
    tokenizer = ClipTokenizer(tokenizer)
    if alone:
        _validate_rules(whole, tokenizer, words)
    if vocab_size is not None and (most := max(tokenizer.get_vocab().values())) >= vocab_size:
        token = tokenizer.convert_ids_to_tokens(most)
        raise InputError(
            f"the tokenizer in {folder} has the id {most} ({token!r}) and the text encoder knows {vocab_size} tokens from "
            "0: they are of different checkpoints"
        )
    return tokenizer


def _make(folder: Path, words: _Words, alone: bool) -> Any:
    """Transformers' object, of files in which every piece that is merged has an id: since release 5 it must have one."""
    from transformers import CLIPTokenizer  # only here: it takes a second and more to import

    pieces = dict.fromkeys(piece for one, other in words.merges for piece in (one, other, one + other))
    missing = [piece for piece in pieces if piece not in words.vocabulary]
    if not missing and not alone:
        return CLIPTokenizer.from_pretrained(str(folder))
    with tempfile.TemporaryDirectory() as name:
        complete = Path(name)
        ids = {piece: number for number, piece in enumerate(missing, _FIRST_PIECE)}
        write_json(complete / "vocab.json", words.vocabulary | ids)
        write_atomically(complete / "merges.txt", "\n".join(["#version: 0.2", *map(" ".join, words.merges), ""]))
        for file in _BESIDE:
            if (folder / file).exists():
                shutil.copy(folder / file, complete)
        if words.added:
            write_json(complete / "added_tokens.json", words.added)
        return CLIPTokenizer.from_pretrained(name)


def _read_parts(folder: Path) -> _Words:
    path = folder / "vocab.json"
    vocabulary = _validate_vocabulary(path, read_json(path))
    return _Words(path, vocabulary, _read_merges(folder / "merges.txt", vocabulary), {})


def _read_whole(path: Path) -> _Words:
    """Of tokenizer.json the tokens and merges; its other rules are compared with CLIP's by what they make of texts."""
    content = read_json(path)
    try:
        model, added = content["model"], {token["content"]: token["id"] for token in content.get("added_tokens") or ()}
        merges = [merge.split(" ") if isinstance(merge, str) else list(merge) for merge in model["merges"]]
        vocabulary = dict(model["vocab"])
        whole = model["type"] == "BPE" and all(len(merge) == 2 and "".join(merge) for merge in merges)
    except (KeyError, TypeError, AttributeError, ValueError):
        whole, vocabulary, merges, added = False, {}, [], {}
    if not whole:
        raise InputError(f"{path} holds no tokens and pairs of them (model of type BPE) as CLIP's tokenizer has")
    _validate_vocabulary(path, vocabulary | added)
    _validate_merges(path, vocabulary, merges)
    return _Words(path, vocabulary, merges, {token: n for token, n in added.items() if token not in vocabulary})


def _validate_rules(path: Path, tokenizer: ClipTokenizer, words: _Words) -> None:
    """Refuses a tokenizer.json that reads a text as other tokens than CLIP's tokenizer does."""
    from tokenizers import Tokenizer as Rules

    try:
        rules = Rules.from_file(str(path))
    except Exception as error:  # the library has no kind of its own
        raise InputError(f"{path} is not a tokenizer that can be read: {str(error).strip()}") from None
    rules.no_padding()
    rules.no_truncation()
    for text in (*_PROBES, *words.added):
        if rules.encode(text, add_special_tokens=False).ids != tokenizer.encode(text, add_special_tokens=False):
            raise InputError(f"{path} has other rules than CLIP's tokenizer: it reads {text!r} as other tokens")


def _validate_vocabulary(path: Path, vocabulary: dict[str, Any]) -> dict[str, int]:
    for token, number in vocabulary.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InputError(f"{path} gives {token!r} the id {number!r}, which must be a whole number from 0")
    if len(set(vocabulary.values())) < len(vocabulary):
        raise InputError(f"{path} gives two tokens the same id")
    return vocabulary


def _read_merges(path: Path, vocabulary: dict[str, int]) -> list[list[str]]:
    """Pairs of pieces."""
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
    _validate_merges(path, vocabulary, merges)
    return merges


def _validate_merges(path: Path, vocabulary: dict[str, int], merges: list[list[str]]) -> None:
    """Words of several letters are made by merges, the last of which gives the whole word."""
    results = {"".join(merge) for merge in merges}
    words = [token for token in vocabulary if token.endswith("</w>") and len(token) > len("x</w>")]
    if missing := [word for word in words if word not in results]:
        alone = path.name == "tokenizer.json"
        of, why = (
            ("its vocabulary", "it") if alone else ("vocab.json", "the two files are not of the same tokenizer, or one")
        )
        raise InputError(
            f"{path} makes {len(words) - len(missing)} of the {len(words)} words of {of}, not {missing[0]!r} for one: "
            f"{why} is cut"
        )
