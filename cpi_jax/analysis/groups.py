"""Groups between which gaps are measured: contents of a column or concept, and which of them can be compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cpi_jax.data.examples import Examples
from cpi_jax.errors import InputError, require_known
from cpi_jax.wording import counted

REST = "the rest"


def groups_of(examples: Examples, name: str) -> tuple[list[str], np.ndarray]:
    """Contents of a concept, or else of a column, in order, and which one each example has, int [N].

    Raises:
      InputError: where there is neither.
    """
    require_known(name, "column or concept", (*examples.columns, *examples.permutable))
    if name in examples.permutable:
        k = list(examples.slot_names).index(name)
        contents, which = np.unique([row[k].strip() for row in examples.slots], return_inverse=True)
        return contents.tolist(), which
    contents, which = examples.contents_of(name)
    return [str(content) for content in contents], which


def comparisons(contents: list[str], which: np.ndarray, weights: np.ndarray) -> Iterator[tuple[str, np.ndarray, str]]:
    """Each group, its members and what it is compared with: the second of two with the first, else each with the rest.

    Args:
      contents: of `groups_of`.
      which: of them each example has, int [N].
      weights: of the examples; a group without any is none.
    """
    there = np.unique(which[np.asarray(weights) > 0]).tolist()
    if len(there) == 2:
        yield contents[there[1]], which == there[1], contents[there[0]]
        return
    for g in there:
        yield contents[g], which == g, REST


def validate_groups(examples: Examples, name: str, weights: np.ndarray) -> None:
    """Refuses groups between which gaps cannot be measured, before any image.

    Args:
      examples: of the study.
      name: of the column or concept.
      weights: of the examples.

    Raises:
      InputError: for no such column or concept, one with a single content, labels that are not of two classes, or a group
        that lacks two examples of a class, inside or outside.
    """
    labels, used = np.asarray(examples.labels), np.asarray(weights) > 0
    if labels.ndim == 2 or not set(np.unique(labels[used]).tolist()) <= {0, 1}:
        raise InputError(
            f"gaps between groups of {name!r} are of two classes, 0 and 1, and the labels are others: leave "
            "statistics.gaps empty, or make labels of one class against the rest"
        )
    contents, which = groups_of(examples, name)
    if len(np.unique(which[used])) < 2:
        raise InputError(f"{name!r} is {contents[which[used][0]]!r} for every example in use: a gap needs two groups")
    for content, inside, against in comparisons(contents, which, weights):
        sides = (
            (f"where it is {content!r}", inside),
            ("elsewhere" if against == REST else f"where it is {against!r}", ~inside),
        )
        for where, part in sides:
            for value in (0, 1):
                if (number := int((part & used & (labels == value)).sum())) < 2:
                    there = f"{'is' if number == 1 else 'are'} {counted(number, 'example')} of class {value}"
                    raise InputError(
                        f"a gap between groups of {name!r} needs two examples of each class on either side, and {where} "
                        f"there {there}: join contents, or leave such rows out"
                    )
