"""What a batch gives is checked before it counts: pictures and scores that are none, and one score for everything."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from cpi_jax.errors import InputError
from cpi_jax.plan.record import Plan
from cpi_jax.wording import scorer_called

FEW_CAPTIONS = 8  # so many different captions are not all pictures of one colour
_ROUNDING = 0.4 / 255  # beyond [0, 1] and still black or white as uint8
_AGAIN = "then run the same command again"


class PictureCheck:
    """Refuses pictures that are not finite or not in [0, 1], and a generator whose first pictures are all of one colour.

    Args:
      plan: whose variants the pictures are of.
      example_ids: of its examples.
    """

    def __init__(self, plan: Plan, example_ids: np.ndarray):
        self._plan, self._example_ids = plan, example_ids
        self._plain: list[Int[np.ndarray, " b"]] | None = []  # variants so far; None once a picture shows something

    def __call__(self, variants: Int[np.ndarray, " b"], extremes: Float[np.ndarray, "b 2 3"]) -> None:
        """Checks a batch.

        Args:
          variants: of the batch.
          extremes: smallest and largest value of every colour of its pictures, see `paint_and_score`.

        Raises:
          InputError: names the first picture that is none.
        """
        low, high = extremes[:, 0].min(-1), extremes[:, 1].max(-1)
        if (bad := ~((low >= -_ROUNDING) & (high <= 1 + _ROUNDING))).any():  # NaN compares as bad
            i = int(np.argmax(bad))
            finite = np.isfinite([low[i], high[i]]).all()
            what = (
                f"has values from {low[i]:.3g} to {high[i]:.3g}, not from 0 to 1" if finite else "is not finite (NaN)"
            )
            who = name_example(self._plan, self._example_ids, variants[i])
            raise InputError(f"the generator's picture for {who} {what}: mend the generator, {_AGAIN}")
        if self._plain is None:
            return
        if (extremes[:, 0] != extremes[:, 1]).any():
            self._plain = None
            return
        self._plain.append(variants)
        captions = np.unique(np.asarray(self._plan.captions(np.concatenate(self._plain))), axis=0)
        if len(captions) >= FEW_CAPTIONS:
            raise InputError(
                f"the generator's first pictures, for {len(captions)} different captions, are all of one colour: mend the "
                f"generator, {_AGAIN}"
            )


def refuse_nan(name: str, scores: np.ndarray, variants: np.ndarray, plan: Plan, example_ids: np.ndarray) -> None:
    """Refuses scores [B, C] of a batch that are not numbers.

    Raises:
      InputError: names the scorer and the example.
    """
    if (bad := ~np.isfinite(scores).all(-1)).any():
        who, called = name_example(plan, example_ids, variants[np.argmax(bad)]), scorer_called(name)
        raise InputError(
            f"the {called} gave a score that is not a finite number for {who}: mend the {called}, {_AGAIN}"
        )


def one_score(name: str, scores: Float[np.ndarray, "... c"], kind: str) -> str:
    """Says that a scorer gives all pictures the same scores; empty where they differ.

    Args:
      name: of the scorer.
      scores: of several pictures.
      kind: of the pictures, "real" or "generated".
    """
    scores = scores.reshape(-1, scores.shape[-1])
    if len(scores) < 2 or (scores != scores[0]).any():
        return ""
    first = ", ".join(f"{score:g}" for score in scores[0, :3]) + (", ..." if scores.shape[1] > 3 else "")
    also = "" if kind == "real" else ", or whether the generator's pictures are all the same"
    return (
        f"the {scorer_called(name)} gives all {len(scores):,} {kind} pictures the same score, {first}: nothing can be "
        f"explained; see whether it looks at the picture it is given{also}"
    )


def name_example(plan: Plan, example_ids: np.ndarray, variant: int | np.integer) -> str:
    """The example of a variant, by id and by its own caption."""
    i = int(plan.variants.example[variant])
    caption = ", ".join(text for text in plan.texts[i] if text)
    return f"example {example_ids[i]} ({caption!r})"
