"""CLIP's tokenizer from its files, which are compared with each other before it is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from cpi_jax.captions.clip_tokenizer import ROLES, ClipTokenizer
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json

_CONFIG, _OF_ROLES, _ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
_OF_JSON = f"{{}}/{_CONFIG} (or the .json files beside it)"
_END = "<|endoftext|>"
_DEFAULTS = {"bos_token": "<|startoftext|>", "eos_token": _END, "pad_token": _END, "unk_token": _END}
_MOST_MERGES = 49152 - 256 - 2  # as many as CLIP's tokenizer reads
_UNBOUNDED = int(1e30)  # model_max_length where none is named


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
    settings, added = _read_settings(folder)
    vocabulary |= _new_tokens(vocabulary, added, folder)
    special = {role: _added_token(settings[role], role, folder) for role in ROLES}
    for role, token in special.items():
        if token.content not in vocabulary:
            raise InputError(
                f"{folder / 'vocab.json'} has no {token.content!r}, which is the {role} of {_OF_JSON.format(folder)}"
            )
    length = settings["model_max_length"]
    if not isinstance(length, (int, float)) or not length > 2:
        raise InputError(f"{folder / _CONFIG} has model_max_length = {length!r}, which must be a number of tokens")
    if vocab_size is not None and (most := max(vocabulary.values())) >= vocab_size:
        token = next(token for token, number in vocabulary.items() if number == most)
        raise InputError(
            f"the tokenizer in {folder} has the id {most} ({token!r}) and the text encoder knows {vocab_size} tokens from "
            "0: they are of different checkpoints"
        )
    roles = {role: token.content for role, token in special.items()}
    uncut = {token.content: token for token in [*special.values(), *added.values()]}
    return ClipTokenizer(vocabulary, merges, roles, list(uncut.values()), int(length))


def _read_settings(folder: Path) -> tuple[dict[str, Any], dict[int, AddedToken]]:
    """The roles' tokens and model_max_length, completed as transformers does, and the added tokens by their ids.

    Releases since 2023 write both into tokenizer_config.json; before, the files beside it went first.
    """
    files = (folder / name for name in (_CONFIG, _OF_ROLES, _ADDED))
    config, of_roles, ids = (read_json(file) if file.exists() else {} for file in files)
    settings = {**_DEFAULTS, "model_max_length": _UNBOUNDED, **config}
    if "added_tokens_decoder" in config:
        listed = config["added_tokens_decoder"]
        listed = list(listed.items()) if isinstance(listed, Mapping) else [(listed, None)]
    else:
        settings |= of_roles
        taken = [settings[role] for role in ROLES]
        listed = [(n, {"content": token, "normalized": token not in taken}) for token, n in ids.items()]
    if odd := next((repr(n) for n, _ in listed if not str(n).isdecimal()), None):
        raise InputError(
            f"an added token of {_OF_JSON.format(folder)} must have a whole number from 0 as its id, not {odd}"
        )
    return settings, {int(n): _added_token(token, "added token", folder) for n, token in listed}


def _added_token(said: Any, what: str, folder: Path) -> AddedToken:
    """A token that is found in a text before it is cut into words: of its text or what transformers writes of it."""
    fields = said if isinstance(said, Mapping) else {"content": said}
    flags = {name: fields[name] for name in ("lstrip", "rstrip", "single_word", "normalized") if name in fields}
    content = fields.get("content")
    if not isinstance(content, str) or not content or not all(isinstance(flag, bool) for flag in flags.values()):
        raise InputError(f"the {what} of {_OF_JSON.format(folder)} must be a text, and is {said!r}")
    return AddedToken(content, special=True, **flags)


def _new_tokens(vocabulary: dict[str, int], added: dict[int, AddedToken], folder: Path) -> dict[str, int]:
    """The added tokens that vocab.json does not have, and their ids."""
    token_of = {number: token for token, number in vocabulary.items()}
    for number, token in added.items():
        other = token_of.get(number, token.content)
        if other != token.content or vocabulary.get(other, number) != number:
            raise InputError(
                f"{_OF_JSON.format(folder)} gives {token.content!r} the id {number}, and vocab.json does not: the two "
                "are not of the same tokenizer"
            )
    return {token.content: number for number, token in added.items()}


def _read_vocabulary(path: Path) -> dict[str, int]:
    vocabulary = read_json(path)
    for token, number in vocabulary.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InputError(f"{path} gives {token!r} the id {number!r}, which must be a whole number from 0")
    if len(set(vocabulary.values())) < len(vocabulary):
        raise InputError(f"{path} gives two tokens the same id")
    return vocabulary


def _read_merges(path: Path, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs of pieces. Words of several letters are made by merges, the last of which gives the whole word."""
    if not path.is_file():
        raise InputError(f"the checkpoint has no {path.parent.name}/{path.name} (looked in {path.parent.parent})")
    try:
        lines = (
            path.read_text(encoding="utf-8").strip().split("\n")[1 : _MOST_MERGES + 1]
        )  # the first tells the version
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is not a text file: {error}") from None
    pairs = [line.split() for line in lines]
    if odd := next((n for n, pair in enumerate(pairs, 2) if len(pair) != 2), None):
        raise InputError(f"line {odd} of {path} is not a pair of tokens")
    merges = [(one, other) for one, other in pairs]
    results = {one + other for one, other in merges}
    words = [token for token in vocabulary if token.endswith("</w>") and len(token) > len("x</w>")]
    if missing := [word for word in words if word not in results]:
        raise InputError(
            f"{path} makes {len(words) - len(missing)} of the {len(words)} words of vocab.json, not {missing[0]!r} for "
            "one: the two files are not of the same tokenizer, or one is cut"
        )
    return merges
