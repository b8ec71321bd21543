"""What the captions alone know of the labels: where they give one away, the ranking is of another task."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from cpi_jax.analysis.cases import label_names, sample_weights, sampling_clusters
from cpi_jax.data.examples import Examples
from cpi_jax.settings import Settings
from cpi_jax.statistics.caption_prediction import FOLDS, describe_prediction, predict_from_captions
from cpi_jax.statistics.metrics import class_logits


def describe_captions_alone(
    examples: Examples, settings: Settings, real: np.ndarray | None = None, called: str = "classifier"
) -> tuple[str, tuple[str, ...]]:
    """What the captions alone know of the labels, in a line, and a warning for each label that they give away.

    Nothing of labels that too few examples have, or lack.

    Args:
      examples: of the study.
      settings: of the study.
      real: a target's logits of the real images, [N, C]; None without images or before they are scored.
      called: what the line calls the target.
    """
    labels = np.asarray(examples.labels)
    if labels.ndim == 1:
        num_classes = max(labels.max() + 1, 2 if real is None else real.shape[1])
        classes = (
            np.arange(num_classes) if num_classes > 2 or (real is not None and real.shape[1] > 1) else np.array([1])
        )
        true = labels[:, None] == classes
    else:
        true = labels > 0
    if real is not None and real.shape[1] > 1:
        real = np.asarray(class_logits(jnp.asarray(real), jnp.asarray(labels)))
    counts, names = true.sum(0), ("the label",) if true.shape[1] == 1 else label_names(true.shape[1])
    enough = np.flatnonzero(np.minimum(counts, len(true) - counts) >= FOLDS)  # examples to learn from and to ask about
    if not len(enough):
        return "", ()
    true, names, real = true[:, enough], [names[c] for c in enough], None if real is None else real[:, enough]
    clusters, _ = sampling_clusters(examples, settings)
    prediction = predict_from_captions(
        examples.slots, true.astype(int), sample_weights(examples, settings), clusters, real
    )
    return describe_prediction(prediction, names, examples.slot_names, settings.checks.generation_margin, called)
