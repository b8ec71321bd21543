"""A plan's variants as people read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cpi_jax.data.examples import Examples
from cpi_jax.plan.record import Plan
from cpi_jax.plan.variants import permuted_slots
from cpi_jax.settings import Settings


def describe_variants(plan: Plan, examples: Examples, settings: Settings, rows: np.ndarray | None = None) -> pa.Table:
    """The table of variants for people: example id, feature, value text, caption; one row per variant.

    Where images are anchored in real pictures it has the hash of each one's, too.

    Args:
      plan: whose variants.
      examples: those that it was made of.
      settings: `separator` and `empty` are read, with which it was made.
      rows: which variants; all by default.
    """
    rows = np.arange(plan.num_variants) if rows is None else rows
    variants, separator = plan.variants.take(rows), separator_of(examples, settings)
    permuted = permuted_slots(np.asarray(plan.masks), variants)
    nothing = pa.scalar(None, pa.string())
    texts_of_slots, changed = [], []
    for k, texts in enumerate(zip(*plan.texts)):
        texts = [separator + text if text else None for text in texts]
        texts = pa.array(texts, pa.string()).dictionary_encode()  # the type said, where a concept is always absent
        source = pa.array(np.where(permuted[:, k], variants.donor, variants.example))
        texts_of_slots.append(texts.take(source).dictionary_decode())
        changed.append(pc.if_else(pa.array(permuted[:, k]), texts_of_slots[-1], nothing))
    if plan.slots.order is not None:
        columns = np.stack([column.to_numpy(zero_copy_only=False) for column in texts_of_slots], axis=1)
        columns = np.take_along_axis(columns, np.asarray(plan.slots.order)[variants.example], axis=1)
        texts_of_slots = [pa.array(column, pa.string()) for column in columns.T]
    caption = _join(texts_of_slots, separator)
    names = pa.array([*plan.names, ""]).dictionary_encode()  # -1 is the last one
    pictures = {}
    if plan.pictures is not None:
        pictures = {"picture": pa.array(plan.pictures[variants.example])}
    return pa.table(
        {
            "example_id": stored_ids(examples.ids).take(pa.array(variants.example)),
            "feature": names.take(pa.array(variants.feature % len(names))).dictionary_decode(),
            "value": _join(changed, separator),
            "caption": pc.if_else(pc.equal(caption, ""), settings.empty, caption),
            **pictures,
        }
    )


def describe_values(plan: Plan, feature: int, separator: str) -> list[str]:
    """The text of each of a feature's values, as captions say it; "" of one that says nothing.

    Args:
      plan: of the study.
      feature: its index.
      separator: between the slots of a group.
    """
    of_feature = plan.features[feature]
    if of_feature.role == "control":
        return ["", plan.texts[-1][-1].strip()]
    own = plan.values[:, feature]
    first = np.unique(own, return_index=True)[1].tolist()  # of each value, an example that has it
    rows = ([plan.texts[i][k].strip() for k in of_feature.slots] for i in first)
    return [separator.join(filter(None, row)) for row in rows]


def _join(columns: Sequence[pa.Array], separator: str) -> pa.Array:
    """The texts of every row, each of which brings its separator; the first one is cut off."""
    joined = pc.binary_join_element_wise(*columns, "", null_handling="replace", null_replacement="")
    return pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(joined, len(separator)))


def separator_of(examples: Examples, settings: Settings) -> str:
    """What stands between two slots of a caption; nothing in free text."""
    return settings.separator if examples.order is None else ""


def stored_ids(ids: np.ndarray) -> pa.Array:
    """Ids as the table of variants keeps them: whole numbers of 64 bits as such, anything else as text."""
    values = np.asarray(ids).tolist()
    if all(isinstance(i, int) and not isinstance(i, bool) for i in values):
        for kind, low, high in ((pa.int64(), -(2**63), 2**63), (pa.uint64(), 0, 2**64)):
            if all(low <= i < high for i in values):
                return pa.array(values, kind)
    return pa.array(list(map(str, values)), pa.string())
