"""What to do about a check that failed or is undecided: one line, from what was measured."""

from __future__ import annotations

from typing import Any

from cpi_jax.statistics.verdicts import WEAK


def advise_generation(row: Any, margin: float) -> str:
    """Of a row of `generation_table`; empty where the check passed.

    Args:
      row: named tuple of the table's columns.
      margin: `Settings.generation_margin`.
    """
    scorer, _, name = row.concept.partition(": ")
    what = f"whether the {scorer} does on generated images what it does on real ones ({name})"
    if row.verdict == "not assessed":
        return f"{what}: choose examples of both kinds, since all of these are alike"
    if row.verdict == "inconclusive":
        return _more_examples(what, row.needed, margin)
    if row.verdict != "fail":
        return ""
    if row.lost < 0:
        return (
            f"generated images are easier than real ones for the {scorer} ({name}): look for a slot that gives the label "
            "away, lower the guidance, or fine-tune the generator on images like yours"
        )
    return (
        f"generated images show the {scorer} less than real ones ({name}): fine-tune the generator on images like yours, "
        "or try other words, more guidance or more steps"
    )


def advise_independence(row: Any, too_weak: bool, generation_margin: float, leak_margin: float) -> str:
    """Of a row of `independence_table`; empty where the check passed.

    Args:
      row: named tuple of the table's columns.
      too_weak: whether the detector is too weak for the concept.
      generation_margin, leak_margin: of `Settings`.
    """
    own = row.role == "permuted"
    if too_weak:
        return (
            f"take a better detector of {row.concept}: AUROC {row.auroc_real:.2f} on real images is below {WEAK:g}, "
            "so that what it says of generated ones shows nothing"
        )
    if row.verdict == "not assessed":
        if own and row.auroc_real != row.auroc_real and row.shortfall == row.shortfall:
            return (
                f"give real images: without them a weak detector of {row.concept} cannot be told from a generator that "
                f"does not draw it (AUROC {row.auroc_permuted_labels:.2f} on permuted images)"
            )
        return f"choose examples with and without {row.concept}: all of these are alike in it"
    what = f"whether {row.concept} follows its words" if own else f"whether {row.permuted} leaves {row.concept} alone"
    if row.verdict == "inconclusive":
        return _more_examples(what, row.needed, generation_margin if own else leak_margin)
    if row.verdict != "fail":
        return ""
    if own:
        return (
            f"the generator does not draw {row.concept} as it is told: try other words or more guidance, or fine-tune it "
            "on images like yours"
        )
    return (
        f"permuting {row.permuted} changes {row.concept} as well: try other words, permute the two as a group, or "
        "fine-tune the generator on captions that name one without the other"
    )


def _more_examples(what: str, needed: int, margin: float) -> str:
    return (
        f"{what}: about {needed:,} examples would decide"
        if needed
        else f"{what}: the difference is the margin, {margin:g}"
    )
