"""What every data source hands on: examples with captions cut into slots, labels and, where there are any, images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """N examples of a data set.

    Attributes:
      ids: stable ids of the examples, int64 [N]; the noise of an image follows from them.
      slots: the text of every caption slot, N tuples of K strings ("" where a slot says nothing).
      slot_names: what the K slots are called, normally the concepts' names.
      concepts: presence of each concept, int8 [N, K].
      labels: class of each example, int32 [N].
      images: uint8 [N, H, W, 3], or None where only captions are known.
      masks: bool [N, K, H, W], the pixels of each concept's object; None where unknown.
    """

    ids: np.ndarray
    slots: Sequence[tuple[str, ...]]
    slot_names: tuple[str, ...]
    concepts: np.ndarray
    labels: np.ndarray
    images: np.ndarray | None = None
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)
