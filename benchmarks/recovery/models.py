"""Models whose importances are known: logistic models of the concepts, drawn from a seeded distribution.

A concept bottleneck is one of them behind a network that reads the concepts off the image: image -> concept scores ->
linear -> outcome (DEPICT, arXiv 2407.14509, section 4). All bottlenecks share that network, so that one table of concept
scores holds the scores of them all.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int, Num

STYLES = ("sparse", "dense", "mixed-sign", "one-dominant")


@dataclasses.dataclass(frozen=True)
class PlantedModels:
    """M logistic models of K concepts: P(label) = sigmoid(weights . concepts + bias).

    Attributes:
      weights: float [M, K].
      bias: float [M].
      styles: which of `STYLES` each was drawn from.
      seed: they were drawn with; also of their labels.
    """

    weights: np.ndarray
    bias: np.ndarray
    styles: tuple[str, ...]
    seed: int

    def __len__(self) -> int:
        return len(self.bias)

    def logits(self, concepts: Num[np.ndarray, "... k"]) -> Float[np.ndarray, "... m"]:
        """Log odds of the outcome, for presence in {0, 1} or scores in [0, 1]."""
        return concepts @ self.weights.T + self.bias

    def labels(self, concepts: Int[np.ndarray, "n k"], ids: Int[np.ndarray, " n"]) -> Int[np.ndarray, "m n"]:
        """Labels of every model, drawn independently; an example's labels follow from its id and the seed."""
        coins = np.stack([np.random.default_rng([self.seed, 1, int(i)]).random(len(self)) for i in ids])
        return (coins < 1 / (1 + np.exp(-self.logits(np.asarray(concepts, float))))).T.astype(np.int32)


def planted_models(num_models: int, num_concepts: int, seed: int) -> PlantedModels:
    """Draws models, the four styles in turn.

    Sizes of weights: "sparse", half of the concepts (rounded up) of .5-2.5 with random signs and the others exactly 0;
    "dense", all of .3-2.5, positive; "mixed-sign", the same with random signs; "one-dominant", one of 4 and the others of
    .3-1.5, with random signs. The intercept makes the labels balanced where concepts have prevalence one half.
    """
    weights = np.empty((num_models, num_concepts))
    styles = tuple(STYLES[m % len(STYLES)] for m in range(num_models))
    for m, style in enumerate(styles):
        rng = np.random.default_rng([seed, 0, m])
        signs = rng.choice([-1.0, 1.0], num_concepts)
        order = rng.permutation(num_concepts)
        low, high = {"sparse": (0.5, 2.5), "one-dominant": (0.3, 1.5)}.get(style, (0.3, 2.5))
        size = rng.uniform(low, high, num_concepts)
        if style == "sparse":
            size[order[-(-num_concepts // 2) :]] = 0.0
        if style == "one-dominant":
            size[order[0]] = 4.0
        weights[m] = size if style == "dense" else size * signs
    return PlantedModels(weights, -weights.sum(1) / 2, styles, seed)
