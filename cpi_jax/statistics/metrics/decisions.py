"""What scores and labels say of each class: the truth, the decision, and the logit of the class against the rest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array


def class_indicators(scores: Array, labels: Array) -> Array:
    """Truth of every class or label, bool in the shape of the scores."""
    if scores.ndim == 2 and labels.ndim == 1:
        return labels[:, None] == jnp.arange(scores.shape[1])[None]
    return labels > 0


def decisions(scores: Array, labels: Array) -> Array:
    """What the classifier says, bool in the shape of the scores."""
    if scores.ndim == 2 and labels.ndim == 1:
        return scores.argmax(1)[:, None] == jnp.arange(scores.shape[1])[None]
    return scores > 0


def class_logits(scores: Array, labels: Array) -> Array:
    """Logit of each class against the rest; where classes exclude each other, log p - log(1 - p) of the softmax."""
    if labels.ndim == 2:
        return scores
    top = decisions(scores, labels)
    s = scores - scores.max(1, keepdims=True)
    rest = jnp.where(top, 0.0, jnp.exp(s))
    runners_up = jax.nn.logsumexp(jnp.where(top, -jnp.inf, s), axis=1, keepdims=True)
    # Nothing cancels: the top class is left out where it is the class, and dominates the sum elsewhere.
    return jnp.where(top, -runners_up, s - jnp.log1p(jnp.maximum(rest.sum(1, keepdims=True) - rest, 0)))


def signed_decisions(scores: Array, labels: Array) -> Array:
    """+.5 for a class that the classifier says, -.5 for one that it does not, in the shape of the scores."""
    return decisions(scores, labels) - 0.5
