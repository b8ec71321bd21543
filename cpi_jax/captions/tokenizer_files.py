"""The tokens of a CLIP tokenizer: vocab.json and merges.txt, or tokenizer.json, the one file of transformers since 5.0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json

_MOST_MERGES = 49152 - 256 - 2  # as many as CLIP's tokenizer reads


class Words(NamedTuple):
    """What a tokenizer's files hold.

    Attributes:
      path: the file that names the tokens.
      vocabulary: ids of tokens.
      merges: pairs of pieces, the first merged first.
      added: tokens that are no pieces of words, as the file describes them, with their ids.
    """

    path: Path
    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]
    added: list[tuple[Any, Mapping[str, Any]]]


def read_words(folder: Path) -> Words:
    """The tokens in a folder.

    Raises:
      InputError: for a file that is missing, damaged or does not fit the other; names it.
    """
    path, whole = folder / "vocab.json", folder / "tokenizer.json"
    if whole.is_file() and not path.is_file():
        return _read_whole(whole)
    vocabulary = _validate_ids(path, read_json(path))
    merges = _read_merges(folder / "merges.txt")
    _validate_merges(folder / "merges.txt", "vocab.json", vocabulary, merges)
    return Words(path, vocabulary, merges, [])


def _read_whole(path: Path) -> Words:
    content = read_json(path)
    try:
        model, added = content["model"], [(token["id"], token) for token in content.get("added_tokens") or ()]
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        merges = [(str(one), str(other)) for one, other in pairs]
        vocabulary = dict(model["vocab"]) if model["type"] == "BPE" else {}
    except (KeyError, TypeError, AttributeError, ValueError):
        vocabulary, merges, added = {}, [], []
    if not vocabulary:
        raise InputError(f"{path} holds no tokens and pairs of them (model of type BPE) as CLIP's tokenizer has")
    _validate_ids(path, vocabulary)
    _validate_merges(path, "its vocabulary", vocabulary, merges)
    return Words(path, vocabulary, merges, added)


def _validate_ids(path: Path, vocabulary: dict[str, Any]) -> dict[str, int]:
    for token, number in vocabulary.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InputError(f"{path} gives {token!r} the id {number!r}, which must be a whole number from 0")
    if len(set(vocabulary.values())) < len(vocabulary):
        raise InputError(f"{path} gives two tokens the same id")
    return vocabulary


def _read_merges(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        raise InputError(f"the checkpoint has no {path.parent.name}/{path.name} (looked in {path.parent.parent})")
    try:
        lines = path.read_text(encoding="utf-8").strip().split("\n")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is not a text file: {error}") from None
    pairs = [line.split() for line in lines[1 : _MOST_MERGES + 1]]  # the first line tells the version
    if odd := next((n for n, pair in enumerate(pairs, 2) if len(pair) != 2), None):
        raise InputError(f"line {odd} of {path} is not a pair of tokens")
    return [(one, other) for one, other in pairs]


def _validate_merges(path: Path, of: str, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    """Words of several letters are made by merges, the last of which gives the whole word."""
    results = {one + other for one, other in merges}
    words = [token for token in vocabulary if token.endswith("</w>") and len(token) > len("x</w>")]
    if missing := [word for word in words if word not in results]:
        raise InputError(
            f"{path} makes {len(words) - len(missing)} of the {len(words)} words of {of}, not {missing[0]!r} for one: it "
            "is cut, or of another tokenizer"
        )
