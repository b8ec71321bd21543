"""64-bit hashes of ids and texts, the same on every machine, and where such codes stand among others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np


def hash_ids(ids: Sequence[int] | Sequence[str] | np.ndarray) -> np.ndarray:
    """A 64-bit hash of each id's text, the same on every machine, uint64 [N]."""
    return hash_texts(str(i).encode() for i in np.asarray(ids).tolist())


def hash_texts(texts: Iterable[bytes]) -> np.ndarray:
    """A 64-bit hash of each text, uint64 [N]."""
    digests = (hashlib.blake2b(text, digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def find_codes(codes: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where each code stands among others, int64; -1 where it is not there.

    Args:
      codes: uint64 [V].
      among: distinct codes, uint64 [W].
    """
    if not len(among):
        return np.full(len(codes), -1)
    order = np.argsort(among)
    candidates = order[np.minimum(np.searchsorted(among, codes, sorter=order), len(among) - 1)]
    return np.where(among[candidates] == codes, candidates, -1)
