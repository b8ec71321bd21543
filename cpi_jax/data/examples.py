"""What every data source hands on: examples with captions cut into slots, labels and, where there are any, images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_jax.data.images import ImageFiles
from cpi_jax.data.outlines import Outlines
from cpi_jax.errors import InputError

if TYPE_CHECKING:

    class _Ids:
        """A field that is made of any sequence of ids, and holds the array that `__post_init__` makes of them."""

        def __get__(self, examples: object, owner: type) -> np.ndarray: ...
        def __set__(self, examples: object, ids: np.ndarray | Sequence[int] | Sequence[str]) -> None: ...

else:
    _Ids = np.ndarray | Sequence[int] | Sequence[str]


@dataclasses.dataclass(frozen=True)
class Examples:
    """N examples of a data set.

    Attributes:
      ids: stable ids of the examples, integers or text, [N]; a list becomes an array. The noise of an image follows from
        them.
      slots: the text of every caption slot, N tuples of K strings ("" where a slot says nothing).
      slot_names: what the K slots are called, normally the concepts' names.
      concepts: what a detector is asked of each example, {0, 1}, int8 [N, J]: the presence of each slot's concept, or of
        each content of a slot that has several ("sneaker", "sandal").
      labels: class of each example, int32 [N]; or {0, 1} for each of several labels, int32 [N, C].
      images: uint8 [N, H, W, 3], in memory or on disk, or None where only captions are known.
      masks: bool [N, K, H, W], the pixels of each concept's object, in memory or drawn when they are asked for; None where
        unknown.
      concept_names: what the J concepts are called; empty where they are the slots'.
      concept_slots: which slot each of them is about, J indices; empty where each has one of its own.
      order: in which order each caption says its slots, int32 [N, K]; None where all say them in the slots' own order.
      columns: what else is known of each example, by name: sample weights, patients, hospitals; [N] each.
      notes: sentences on how the data were read: rows left out and why, phrases that never match. A plan prints them.

    Raises:
      InputError: for fields whose lengths differ, names that could not be told apart, or images that are not uint8.

    Example:
      >>> import cpi_jax, numpy as np
      >>> slots = [("a dog", "on grass"), ("", "on grass"), ("a dog", "")]
      >>> present = np.array([[bool(text) for text in row] for row in slots], np.int8)
      >>> examples = cpi_jax.Examples([7, 8, 9], slots, ("dog", "grass"), present, np.array([1, 0, 1], np.int32))
      >>> len(examples), examples.permutable, examples.take(np.array([2])).slots
      (3, ('dog', 'grass'), [('a dog', '')])
    """

    ids: _Ids
    slots: Sequence[tuple[str, ...]]
    slot_names: tuple[str, ...]
    concepts: np.ndarray
    labels: np.ndarray
    images: np.ndarray | ImageFiles | None = None
    masks: np.ndarray | Outlines | None = None
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    concept_names: tuple[str, ...] = ()
    concept_slots: tuple[int, ...] = ()
    order: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if not self.concept_names:
            object.__setattr__(self, "concept_names", tuple(self.slot_names))
            object.__setattr__(self, "concept_slots", tuple(range(len(self.slot_names))))
        object.__setattr__(self, "ids", _as_ids(self.ids))
        n = len(self.ids)
        sizes = {"slots": self.slots, "concepts": self.concepts, "labels": self.labels, "images": self.images}
        sizes["masks"] = self.masks
        sizes |= {f"values of column {name!r}": values for name, values in self.columns.items()}
        for name, values in sizes.items():
            if values is not None and len(values) != n:
                raise InputError(f"there are {n} ids and {len(values)} {name}; each example needs one of each")
        _validate_names("slot", self.slot_names)
        _validate_names("concept", self.concept_names)
        if not np.shape(self.concepts)[1] == len(self.concept_names) == len(self.concept_slots):
            raise InputError(
                f"there are {np.shape(self.concepts)[1]} columns of concepts, {len(self.concept_names)} names and "
                f"{len(self.concept_slots)} slots of them"
            )
        if isinstance(self.images, np.ndarray) and self.images.dtype != np.uint8:
            raise InputError(f"images must be uint8 (0 to 255), not {self.images.dtype}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def permutable(self) -> tuple[str, ...]:
        """Names of the slots that concepts are about; the others are text that stays."""
        return tuple(self.slot_names[k] for k in sorted(set(self.concept_slots)))

    @property
    def present(self) -> np.ndarray:
        """Whether each slot of `permutable` says something, bool [N, K], by any of its concepts."""
        slots = np.array(self.concept_slots)
        return np.stack(
            [np.asarray(self.concepts)[:, slots == k].any(1) for k in sorted(set(self.concept_slots))], axis=1
        )

    def contents_of(self, column: str) -> tuple[list[Any], np.ndarray]:
        """The distinct contents of a column, numbers before texts, in their order, and which one each example has, int [N].

        Raises:
          InputError: for a missing cell, or two contents that nobody could tell apart where they are printed.
        """
        cells = list(self.columns[column])
        missing = [_is_missing(cell) for cell in cells]
        if any(missing):
            raise InputError(f"column {column!r} of example {self.ids[missing.index(True)]} is missing: fill it in")
        try:
            contents = sorted({(_kind(cell), cell) for cell in cells})
        except TypeError:
            raise InputError(f"column {column!r} must hold numbers or texts, not {type(cells[0]).__name__}") from None
        printed: dict[str, Any] = {}
        for _, content in contents:
            other = printed.setdefault(" ".join(str(content).split()), content)
            if other is not content:
                raise InputError(f"column {column!r} holds {other!r} and {content!r}: write every cell alike")
        places = {content: i for i, content in enumerate(contents)}
        return [content for _, content in contents], np.array([places[_kind(cell), cell] for cell in cells])

    def pixels(self) -> np.ndarray:
        """All images in memory, uint8 [N, H, W, 3].

        Raises:
          InputError: where there are none.
        """
        if self.images is None:
            raise InputError("the examples have no images")
        return self.images.read() if isinstance(self.images, ImageFiles) else self.images

    def after(self, *notes: str) -> Examples:
        """The same examples with sentences on what came before their table was read."""
        return dataclasses.replace(self, notes=(*notes, *self.notes))

    def take(self, which: np.ndarray) -> Examples:
        """Some of the examples, by index."""
        kept = {
            name: None if (value := getattr(self, name)) is None else value[which]
            for name in ("ids", "concepts", "labels", "images", "masks", "order")
        }
        columns = {name: np.asarray(values)[which] for name, values in self.columns.items()}
        return dataclasses.replace(self, **kept, slots=[self.slots[i] for i in which], columns=columns)


def _is_missing(cell: Any) -> bool:
    try:
        return cell is None or bool(cell != cell)
    except TypeError:  # pandas' NA
        return True
    except ValueError:  # an array
        return False


def _kind(cell: Any) -> int:
    """Orders what cannot be compared: truth values, numbers, texts and anything else."""
    kinds = ((bool, np.bool_), (int, float, np.number), str)
    return next((n for n, kind in enumerate(kinds) if isinstance(cell, kind)), len(kinds))


def _as_ids(ids: Sequence[int] | Sequence[str] | np.ndarray) -> np.ndarray:
    """Ids as an array; NumPy would make one of floats of whole numbers that no type of integers holds together."""
    array = np.asarray(ids)
    rounds = array.dtype.kind == "f" and not isinstance(ids, np.ndarray) and all(isinstance(i, int) for i in ids)
    return np.array(ids, object) if rounds else array


def _validate_names(kind: str, names: Sequence[str]) -> None:
    """Refuses names that tables, plots and options could not tell apart, or not write."""
    known: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"each {kind} needs a name of at least one letter, not {name!r}")
        if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in name):
            raise InputError(f"the {kind} name {name!r} holds a sign that is no text: give it another name")
        key = " ".join(name.split())
        if key in known:
            raise InputError(f"{kind} names must differ by more than white space, unlike {known[key]!r} and {name!r}")
        known[key] = name
