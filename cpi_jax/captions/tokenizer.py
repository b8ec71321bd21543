"""CLIP's tokenizer from its files, which are compared with each other before it is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Rules

from cpi_jax.captions.clip_tokenizer import ROLES, ClipTokenizer
from cpi_jax.captions.tokenizer_files import Words, read_words
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json

_CONFIG, _OF_ROLES, _ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
_OF_JSON = f"{{}}/{_CONFIG} (or the .json files beside it)"
_END = "<|endoftext|>"
_DEFAULTS = {"bos_token": "<|startoftext|>", "eos_token": _END, "pad_token": _END, "unk_token": _END}
_UNBOUNDED = int(1e30)  # model_max_length where none is named
_PROBES = ("A  Photo", "2 RED circles,", "(it's 10%)", "isn't Café?")  # which other rules read as other tokens


def read_tokenizer(folder: Path, vocab_size: int | None = None) -> ClipTokenizer:
    """The tokenizer in a folder.

    Args:
      folder: of vocab.json and merges.txt, or tokenizer.json, and what belongs to them.
      vocab_size: tokens that the text encoder knows; None where there is none to fit.

    Raises:
      InputError: for a file that is missing, damaged or does not fit the others; names it.
    """
    words = read_words(folder)
    settings, added = _read_settings(folder, words)
    vocabulary = words.vocabulary | _new_tokens(words, added, folder)
    special = {role: _added_token(settings[role], role, folder) for role in ROLES}
    for role, token in special.items():
        if token.content not in vocabulary:
            raise InputError(f"{words.path} has no {token.content!r}, which is the {role} of {_OF_JSON.format(folder)}")
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
    tokenizer = ClipTokenizer(vocabulary, words.merges, roles, list(uncut.values()), int(length))
    if words.path.name == "tokenizer.json":
        _validate_rules(words.path, tokenizer, uncut)
    return tokenizer


def _read_settings(folder: Path, words: Words) -> tuple[dict[str, Any], dict[int, AddedToken]]:
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
    listed = [*words.added, *listed]
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


def _new_tokens(words: Words, added: dict[int, AddedToken], folder: Path) -> dict[str, int]:
    """The added tokens and their ids, which must be those of the vocabulary where it has them."""
    token_of = {number: token for token, number in words.vocabulary.items()}
    new = {str(token.content): number for number, token in added.items()}
    for token, number in new.items():
        if words.vocabulary.get(token, number) != number or token_of.get(number, token) != token:
            raise InputError(
                f"{_OF_JSON.format(folder)} gives {token!r} the id {number}, and {words.path.name} does not: the two are "
                "not of the same tokenizer"
            )
    return new


def _validate_rules(path: Path, tokenizer: ClipTokenizer, uncut: Mapping[str, AddedToken]) -> None:
    """Refuses a tokenizer.json that reads a text as other tokens than CLIP's tokenizer does."""
    try:
        rules = Rules.from_file(str(path))
    except Exception as error:  # the library has no kind of its own
        raise InputError(f"{path} is not a tokenizer that can be read: {str(error).strip()}") from None
    rules.no_padding()
    rules.no_truncation()
    for text in (*_PROBES, *uncut):
        if rules.encode(text, add_special_tokens=False).tokens != tokenizer.tokenize(text):
            raise InputError(f"{path} has other rules than CLIP's tokenizer: it reads {text!r} as other tokens")
