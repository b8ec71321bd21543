"""What a checkpoint says before its weights are read, whether it is a folder or a single file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cpi_jax.captions.clip_tokenizer import ClipTokenizer
from cpi_jax.errors import InputError


class Opened(NamedTuple):
    """A checkpoint whose weights are yet to be read.

    Attributes:
      configs: of its parts (`Networks.configs`).
      scheduler: its configuration, completed.
      read_tokenizer: makes the tokenizer of the captions.
      write_tokenizers: writes the tokenizers' folders into one.
      read: (shapes of parameters by part, dtype=, add=) -> the parameters of these parts.
    """

    configs: dict[str, dict[str, Any]]
    scheduler: dict[str, Any]
    read_tokenizer: Callable[[], ClipTokenizer]
    write_tokenizers: Callable[[Path], None]
    read: Callable[..., dict[str, Any]]


@contextmanager
def naming_config(path: Path) -> Iterator[None]:
    """Names the path in errors; what the networks' libraries trip over, whatever it is, stands in these files."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
        raise InputError(f"{path}: its config.json files describe nothing that can be built: {reason}") from error
