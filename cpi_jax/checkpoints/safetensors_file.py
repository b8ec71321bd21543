"""Safetensors files, one tensor at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from cpi_jax.errors import InputError

# Floating-point numbers of 8 bits, which safetensors does not give as numpy arrays.
_EIGHT_BITS = {"F8_E4M3": np.dtype(jnp.float8_e4m3fn), "F8_E5M2": np.dtype(jnp.float8_e5m2)}
_MOST_HEADER = 10**8  # bytes, as safetensors has it
_MOST_MAPPED = 2**27  # bytes that were read before a file is mapped to memory anew
# What other files begin with, and what they are.
_OTHERS = {
    b"version https://git-lfs": "a git-lfs pointer and not the weights: `git lfs pull` in its repository fetches them",
    b"PK\x03\x04": "a zip file, as torch.save writes, which holds a pickle: it could run any code and is not read",
    b"\x80\x02": "a pickle: it could run any code and is not read",
    b"GGUF": "a GGUF file of quantised weights, which are not read",
    b"<": "a web page and not the weights: download the file itself",
}


def open_tensors(file: str | Path) -> Any:
    """Opens a file; a context manager with `keys`, `metadata` and `get_tensor` of safetensors.

    Raises:
      InputError: for what is no safetensors file, or not the whole of one; says what it is, where that can be told.
    """
    try:
        return safe_open(file, framework="np")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} is {_describe(Path(file), error)}") from None


def _describe(file: Path, error: Exception) -> str:
    """What a file is that is no safetensors file, to end a sentence."""
    plain = f"not a readable safetensors file: {error}"
    try:
        with file.open("rb") as opened:
            start = opened.read(64)
            length = int.from_bytes(start[:8], "little")
            if start[8:9] != b"{" or length > _MOST_HEADER:  # it does not begin as a safetensors file does
                kinds = [kind for begin, kind in _OTHERS.items() if start.lstrip().startswith(begin)]
                return kinds[0] if kinds else plain
            opened.seek(8)
            header = opened.read(length)
        size, whole = file.stat().st_size, 8 + length
        if len(header) == length:
            whole += max(entry["data_offsets"][1] for name, entry in json.loads(header).items() if name[:2] != "__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return plain
    return f"cut: it has {size:,} bytes of {whole:,} or more; download it again" if size < whole else plain


def read_tensor(tensors: Any, name: str, file: str | Path) -> np.ndarray:
    """A tensor of an opened file.

    Raises:
      InputError: for a type that numpy does not have; names file and tensor.
    """
    try:
        kind = tensors.get_slice(name).get_dtype()
        return _read_eight_bits(name, file) if kind in _EIGHT_BITS else tensors.get_tensor(name)
    except (SafetensorError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: {name!r} cannot be read: {error}") from None


def _read_eight_bits(name: str, file: str | Path) -> np.ndarray:
    """The bytes of a tensor where the file's header says they are; the file is known to be whole."""
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        described = json.loads(opened.read(length))[name]
        begin, end = described["data_offsets"]
        opened.seek(8 + length + begin)
        return np.frombuffer(opened.read(end - begin), _EIGHT_BITS[described["dtype"]]).reshape(described["shape"])


class TensorFile:
    """A file whose tensors are read one after the other.

    What was read of a file that is mapped to memory counts as memory of the process: it is mapped anew every now and then.

    Attributes:
      path: of the file.
      metadata: texts that it holds beside the tensors.
      shapes: of the tensors, by name.
      dtypes: of the tensors, in the words of safetensors, such as "F16".

    Args:
      path: of the file.

    Raises:
      InputError: for what is no safetensors file.
    """

    def __init__(self, path: str | Path):
        self.path, self._opened, self._read = Path(path), None, 0
        with open_tensors(path) as tensors:
            self.metadata: dict[str, str] = tensors.metadata() or {}
            slices = {name: tensors.get_slice(name) for name in list(tensors.keys())}
            self.shapes: dict[str, tuple[int, ...]] = {name: tuple(one.get_shape()) for name, one in slices.items()}
            self.dtypes: dict[str, str] = {name: one.get_dtype() for name, one in slices.items()}

    def read(self, name: str) -> np.ndarray:
        """A tensor; see `read_tensor`."""
        if self._opened is None or self._read > _MOST_MAPPED:
            self._opened, self._read = open_tensors(self.path), 0
        value = read_tensor(self._opened, name, self.path)
        self._read += value.nbytes
        return value
