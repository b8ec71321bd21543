"""CLIP's tokenizer from its files, which are compared with each other before it is made of them."""

from __future__ import annotations

from pathlib import Path

from cpi_jax.captions.encoding import Tokenizer
from cpi_jax.errors import InputError
from cpi_jax.files.json_files import read_json

_BESIDE = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)  # read by transformers where they are
_OF_JSON = "{}/tokenizer_config.json (or the .json files beside it)"
_MOST_MERGES = 49152 - 256 - 2  # as many as CLIP's tokenizer reads


def read_tokenizer(folder: Path, vocab_size: int | None = None) -> Tokenizer:
    """The tokenizer in a folder.

    Args:
      folder: of vocab.json, merges.txt and what belongs to them.
      vocab_size: tokens that the text encoder knows; None where there is none to fit.

    Raises:
      InputError: for a file that is missing, damaged or does not fit the others; names it.
    """
    from transformers import CLIPTokenizer  # only here: it takes a second and more to import

    vocabulary = _read_vocabulary(folder / "vocab.json")
    _validate_merges(folder / "merges.txt", vocabulary)
    for name in _BESIDE:
        if (folder / name).exists():
            read_json(folder / name)
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder))
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
    if vocab_size is not None and (most := max(tokenizer.get_vocab().values())) >= vocab_size:
        token = tokenizer.convert_ids_to_tokens(most)
        raise InputError(
            f"the tokenizer in {folder} has the id {most} ({token!r}) and the text encoder knows {vocab_size} tokens from "
            "0: they are of different checkpoints"
        )
    return tokenizer


def _read_vocabulary(path: Path) -> dict[str, int]:
    vocabulary = read_json(path)
    for token, number in vocabulary.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InputError(f"{path} gives {token!r} the id {number!r}, which must be a whole number from 0")
    if len(set(vocabulary.values())) < len(vocabulary):
        raise InputError(f"{path} gives two tokens the same id")
    return vocabulary


def _validate_merges(path: Path, vocabulary: dict[str, int]) -> None:
    """Words of several letters are made by merges, the last of which gives the whole word."""
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
