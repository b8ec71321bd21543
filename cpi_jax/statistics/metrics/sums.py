"""Metrics that are sums over examples, or ratios of sums."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array

from cpi_jax.errors import InputError
from cpi_jax.statistics.metrics.decisions import class_indicators, decisions
from cpi_jax.statistics.metrics.protocol import Metric


@Metric
def accuracy(scores: Array, labels: Array) -> Partial:
    """Share of examples whose decision is right: logit above 0, the largest logit; every label of a multi-label example.

    Example:
      >>> scores, labels = jnp.array([0.8, 0.4, 0.4, 0.2]), jnp.array([1, 1, 0, 0])
      >>> float(cpi_jax.accuracy(scores, labels, jnp.array([1.0, 1, 1, 5])))
      0.25
    """
    right = decisions(scores, labels) == class_indicators(scores, labels)
    return _mean_of(right if scores.ndim == 1 else right.all(1))


@Metric
def balanced_accuracy(scores: Array, labels: Array) -> Partial:
    """Mean recall over the classes; for multi-label, the mean over labels of that of its two classes."""
    decided, true = decisions(scores, labels), class_indicators(scores, labels)
    if scores.ndim == 1:
        decided, true = decided[:, None], true[:, None]
    if scores.ndim == 1 or labels.ndim == 2:
        decided, true = jnp.concatenate([decided, ~decided], 1), jnp.concatenate([true, ~true], 1)
    occurs = true.any(0)
    return Partial(_mean_recall, (decided & true).astype(jnp.float32), true.astype(jnp.float32), occurs)


def _mean_recall(hits: Array, true: Array, occurs: Array, weights: Array) -> Array:
    support = jnp.where(occurs[:, None], weighted_sums(true.T, weights), 1)
    return (weighted_sums(hits.T, weights) / support).sum(0) / occurs.sum()


@Metric
def neg_log_loss(scores: Array, labels: Array) -> Partial:
    """Mean log-likelihood of the labels in nats: logistic, softmax, or the mean over labels of the logistic one.

    Example:
      >>> scores, labels = jnp.array([0.8, 0.4, 0.4, 0.2]), jnp.array([1, 1, 0, 0])
      >>> round(float(cpi_jax.neg_log_loss(scores, labels, jnp.ones(4))), 4)
      -0.6488
    """
    if scores.ndim == 2 and labels.ndim == 1:
        return _mean_of(jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1)[:, 0])
    likelihood = jax.nn.log_sigmoid(jnp.where(labels > 0, scores, -scores))
    return _mean_of(likelihood if scores.ndim == 1 else likelihood.mean(1))


@Metric
def neg_brier(scores: Array, labels: Array) -> Partial:
    """Minus the mean squared error of the probabilities; summed over classes, averaged over labels (Brier 1950)."""
    multi_class = scores.ndim == 2 and labels.ndim == 1
    p = jax.nn.softmax(scores) if multi_class else jax.nn.sigmoid(scores)
    error = (p - class_indicators(scores, labels)) ** 2
    return _mean_of(-(error if scores.ndim == 1 else error.sum(1) if multi_class else error.mean(1)))


@functools.cache
def top_k_accuracy(k: int) -> Metric:
    """Share of examples whose class is among the k largest logits (multi-class); a tie counts for the class."""

    def prepare(scores, labels):
        if scores.ndim == 1 or labels.ndim == 2:
            raise InputError("top-k accuracy needs a score for every class, and one class for every example")
        own = jnp.take_along_axis(scores, labels[:, None], axis=1)
        return _mean_of((scores > own).sum(1) < k)

    return Metric(prepare)


def prepare_f1(scores: Array, labels: Array) -> Partial:
    """F1 score of the decisions: harmonic mean of precision and recall."""
    called, true = scores > 0, labels > 0
    return Partial(_f1, jnp.stack([called & true, called, true]).astype(jnp.float32))


def _f1(indicators: Array, weights: Array) -> Array:
    hit, called, true = weighted_sums(indicators, weights)
    return 2 * hit / jnp.where(called + true > 0, called + true, jnp.nan)


def _mean_of(values: Array) -> Partial:
    return Partial(_weighted_mean, values.astype(jnp.float32))


def _weighted_mean(values: Array, weights: Array) -> Array:
    return weighted_sums(values[None], weights)[0] / weights.sum(0)


def weighted_sums(values: Array, weights: Array) -> Array:
    """Weighted sums [Q, B] of values [Q, N]; not a matrix product, which float32 spoils from 100,000 rows on."""
    return jax.lax.map(lambda row: jnp.sum(row[:, None] * weights, axis=0), values)
