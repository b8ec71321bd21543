"""What every data source hands on: examples with captions cut into slots, labels and, where there are any, images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from cpi_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Examples:
    """N examples of a data set.

    Attributes:
      ids: stable ids of the examples, integers or text, [N]; the noise of an image follows from them.
      slots: the text of every caption slot, N tuples of K strings ("" where a slot says nothing).
      slot_names: what the K slots are called, normally the concepts' names.
      concepts: presence of each concept, int8 [N, K].
      labels: class of each example, int32 [N]; or {0, 1} for each of several labels, int32 [N, C].
      images: uint8 [N, H, W, 3], or None where only captions are known.
      masks: bool [N, K, H, W], the pixels of each concept's object; None where unknown.
      columns: what else is known of each example, by name: sample weights, patients, hospitals; [N] each.
    """

    ids: np.ndarray
    slots: Sequence[tuple[str, ...]]
    slot_names: tuple[str, ...]
    concepts: np.ndarray
    labels: np.ndarray
    images: np.ndarray | None = None
    masks: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        n = len(self.ids)
        sizes = {"slots": self.slots, "concepts": self.concepts, "labels": self.labels, "images": self.images}
        sizes |= {f"values of column {name!r}": values for name, values in self.columns.items()}
        for name, values in sizes.items():
            if values is not None and len(values) != n:
                raise InputError(f"there are {n} ids and {len(values)} {name}; each example needs one of each")
        if len(set(self.slot_names)) != len(self.slot_names):
            raise InputError(f"slot names must differ: {', '.join(self.slot_names)}")
        if self.images is not None and self.images.dtype != np.uint8:
            raise InputError(f"images must be uint8 (0 to 255), not {self.images.dtype}")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, which: np.ndarray) -> Examples:
        """Some of the examples, by index."""
        kept = {
            name: None if (value := getattr(self, name)) is None else value[which]
            for name in ("ids", "concepts", "labels", "images", "masks")
        }
        columns = {name: np.asarray(values)[which] for name, values in self.columns.items()}
        return dataclasses.replace(self, **kept, slots=[self.slots[i] for i in which], columns=columns)
