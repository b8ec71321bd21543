"""64-bit hashes of ids and texts, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np


def hash_ids(ids: Sequence[int] | Sequence[str] | np.ndarray) -> np.ndarray:
    """A 64-bit hash of each id's text, the same on every machine, uint64 [N]."""
    return hash_texts(str(i).encode() for i in np.asarray(ids).tolist())


def hash_texts(texts: Iterable[bytes]) -> np.ndarray:
    digests = (hashlib.blake2b(text, digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)
