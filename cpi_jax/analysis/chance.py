"""Is a classifier better than chance on some images? Its ranking metric and AUROC there, with intervals.

Worse than chance means swapped classes, or outputs in another order than the labels or concepts, far more often than a
bad classifier.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cpi_jax.analysis.cases import sample_weights, sampling_clusters
from cpi_jax.classifiers.named import DETECTOR
from cpi_jax.data.examples import Examples
from cpi_jax.settings import Settings
from cpi_jax.statistics.metrics import METRICS, Metric, class_indicators, stack_metrics, value_range
from cpi_jax.statistics.sampling_units import sampling_units
from cpi_jax.statistics.significance import jackknife_interval
from cpi_jax.wording import scorer_called

_CHANCE = 0.5  # of an AUROC
_Z = 1.96  # of the normal distribution, at 95%
_OF_A_TARGET = "are the classes swapped? Mend the labels, or the sign or order of the scores"
_OF_THE_DETECTOR = "are its scores in the order of the concepts? Mend their order or sign"


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a scorer is worth on some images.

    Attributes:
      name: of the scorer.
      level: of the intervals.
      means: value, limits and value of chance of the metrics that are one number, by the metrics' names.
      outputs: names of the outputs whose class occurs; an only one has none.
      auroc: of each of these outputs.
      low: its lower limit, corrected for the number of outputs (Bonferroni).
      high: its upper limit, likewise.
    """

    name: str
    level: float
    means: dict[str, tuple[float, float, float, float]]
    outputs: tuple[str, ...]
    auroc: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def worse(self) -> str:
        """Says which outputs, or their mean, have an upper limit below chance; empty where none has."""
        named = [
            f"{self.outputs[c]} {self.auroc[c]:.3f}, at most {self.high[c]:.3f}".strip()
            for c in np.flatnonzero(self.high < _CHANCE)
        ]
        mean, _, high, _ = self.means["auroc"]
        if not named and high < _CHANCE:
            named = [f"{mean:.3f} on average, at most {high:.3f}"]
        return f"AUROC {'; '.join(named)}" if named else ""

    def describe(self) -> str:
        """Metrics with their intervals; of several outputs the lowest AUROC."""
        said = [f"{'AUROC' if name == 'auroc' else name} {_interval(x, self.level)}" for name, x in self.means.items()]
        if len(self.outputs) > 1:
            least = int(self.auroc.argmin())
            said.append(f"lowest for {self.outputs[least]}, {self.auroc[least]:.3f}")
        return f"the {scorer_called(self.name)} has {', '.join(said)}"

    def say_worse(self, where: str) -> str:
        """The sentence that refuses it."""
        remedy = _OF_THE_DETECTOR if self.name == DETECTOR else _OF_A_TARGET
        return f"the {scorer_called(self.name)} is worse than chance on {where} ({self.worse}): {remedy}"

    def warnings(self, where: str) -> list[str]:
        """What is not better than chance without being shown to be worse, or is worse and allowed."""
        out, called = [self.say_worse(where)] if self.worse else [], scorer_called(self.name)
        doubtful = np.flatnonzero((self.low <= _CHANCE) & (self.high >= _CHANCE)).tolist()
        if doubtful:
            named = (f"{self.outputs[c]} {self.auroc[c]:.3f}, at least {self.low[c]:.3f}".strip() for c in doubtful)
            out.append(f"on {where} the {called} cannot be told from chance (AUROC {'; '.join(named)})")
        for name, (value, _, high, chance) in self.means.items():
            if not name.startswith("auroc") and high < chance:
                out.append(
                    f"on {where} the {called}'s {name} is {value:.3f}, less than the {chance:.3f} of knowing only how "
                    "frequent the classes are"
                )
        return out


def measure(scores: Float[np.ndarray, "n c"], name: str, examples: Examples, settings: Settings) -> Measured:
    """The ranking metric and AUROC of a scorer, with intervals over examples or clusters.

    Args:
      scores: its logits of images of the examples.
      name: of the scorer: "detector", or a target.
      examples: of the study.
      settings: of the study.
    """
    num_outputs = scores.shape[1]
    if name != DETECTOR:
        labels, first = np.asarray(examples.labels), settings.statistics.metrics[0]
        outputs = ("",) if num_outputs == 1 else tuple(f"class {c}" for c in range(num_outputs))
    else:
        labels, first, outputs = np.asarray(examples.concepts), "auroc", tuple(examples.concept_names)
    each = "auroc_per_class[0]" if labels.ndim == 2 or num_outputs > 1 else "auroc"
    wanted = tuple(dict.fromkeys((first, "auroc", each.removesuffix("[0]"))))
    names = [f"{m}[{c}]" if m.endswith("_per_class") else m for m in wanted for c in range(_width(m, num_outputs))]
    own = slice(names.index(each), names.index(each) + num_outputs)

    weights = sample_weights(examples, settings)
    clusters, num_clusters = sampling_clusters(examples, settings)
    true = labels.reshape(len(labels), -1) > 0
    if labels.ndim == 1 and num_outputs > 1:
        true = labels[:, None] == np.arange(num_outputs)
    fewest = np.minimum(_effective(weights, true), _effective(weights, ~true))
    known = np.flatnonzero(fewest > 0)
    behind = np.concatenate([_behind(name, fewest, weights) for name in wanted])
    bounds = np.repeat([value_range(name) for name in wanted], [_width(name, num_outputs) for name in wanted], axis=0)
    corrected = 1 - (1 - settings.statistics.level) / len(known)
    value, chance, (low, high), of_each = _measure(
        jnp.asarray(scores if each != "auroc" else scores[:, 0]),
        jnp.asarray(labels, jnp.int32),
        jnp.asarray(weights, jnp.float32),
        None if clusters is None else jnp.asarray(clusters),
        jnp.asarray(behind, jnp.float32),
        jnp.asarray(bounds, jnp.float32),
        metric=stack_metrics(tuple(METRICS[name] for name in wanted)),
        num_clusters=num_clusters,
        levels=(settings.statistics.level, corrected),
    )
    shown = [names.index(f"{first}[0]" if first.endswith("_per_class") else first), names.index("auroc")]
    return Measured(
        name=name,
        level=settings.statistics.level,
        means={names[i]: (float(value[i]), float(low[i]), float(high[i]), float(chance[i])) for i in shown},
        outputs=tuple(outputs[c] for c in known),
        auroc=np.asarray(value)[own][known],
        low=np.asarray(of_each[0])[own][known],
        high=np.asarray(of_each[1])[own][known],
    )


def warn_generated(
    scores: Float[np.ndarray, "n c"], name: str, examples: Examples, settings: Settings
) -> tuple[str, ...]:
    """What to warn of where a target is worse than chance on pictures of the examples' own captions.

    Args:
      scores: its logits of the baseline rows of one draw.
      name: of the target.
      examples: of the study.
      settings: of the study.
    """
    measured = measure(scores, name, examples, settings)
    return (measured.say_worse("the generated pictures of the examples' own captions"),) if measured.worse else ()


@partial(jax.jit, static_argnames=("metric", "num_clusters", "levels"))
def _measure(
    scores: Float[Array, "n ..."],
    labels: Int[Array, "n ..."],
    weights: Float[Array, " n"],
    clusters: Int[Array, " n"] | None,
    behind: Float[Array, " m"],
    bounds: Float[Array, "m 2"],
    *,
    metric: Metric,
    num_clusters: int | None,
    levels: tuple[float, ...],
) -> tuple:
    """Values [M] of a metric, those of a score that knows the classes' shares alone, and for each level both limits."""
    prepared = metric.prepare(scores, labels)

    def of_count(count: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = prepared((weights * count)[:, None])[0]
        return value, value

    influence, value = jax.jacrev(of_count, has_aux=True)(jnp.ones_like(weights))
    if clusters is not None:
        influence = jax.ops.segment_sum(influence.T, clusters, num_clusters).T
    num_classes = max(scores.shape[1], 2) if scores.ndim == 2 else 2
    units = sampling_units(labels, weights, num_classes, clusters, num_clusters)
    error, df, least = units.standard_error(influence), units.degrees_of_freedom(influence), 0.5 / behind
    df = jnp.where(error <= least, jnp.clip(behind - 1, 1, df), df)
    error = jnp.maximum(error, least)
    share = jnp.average(class_indicators(scores, labels).astype(jnp.float32), axis=0, weights=weights)
    share = jnp.clip(share, 1e-6, 1 - 1e-6)
    exclusive = scores.ndim == 2 and labels.ndim == 1
    constant = jnp.log(share) if exclusive else jnp.log(share) - jnp.log1p(-share)
    chance = metric(jnp.broadcast_to(constant, scores.shape), labels, weights)
    limits = [jackknife_interval(value, error, df, level) for level in levels]
    return value, chance, *([jnp.clip(x, *bounds.T) for x in both] for both in limits)


def _behind(name: str, fewest: Float[np.ndarray, " c"], weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Examples behind each number of a metric, whose standard error is at least 0.5 over them; infinite if not a share.

    A value of 0 or 1 has no error of its own. That of a share of right decisions is at least z / (n + z^2), which gives
    the interval of Wilson (1927) at 0 and at 1.

    Args:
      name: of the metric.
      fewest: effective number of the examples of each output's rarer class.
      weights: of the examples.
    """
    if value_range(name) != (0, 1):
        return np.full(_width(name, len(fewest)), np.inf)
    number = 1 / (1 / fewest[fewest > 0]).mean(keepdims=True)
    if name.endswith("_per_class"):
        number = np.maximum(fewest, 1)
    if name.startswith(("auroc", "average_precision")):
        return number
    if name == "accuracy" or name.startswith("top_"):
        number = _effective(weights, np.ones((len(weights), 1)))
    return (number + _Z**2) / (2 * _Z)


def _effective(weights: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Effective number of the chosen examples of each column (Kish 1965)."""
    w = weights[:, None] * chosen
    return w.sum(0) ** 2 / np.maximum((w**2).sum(0), 1e-30)


def _width(metric: str, num_outputs: int) -> int:
    return num_outputs if metric.endswith("_per_class") else 1


def _interval(numbers: Sequence[float], level: float) -> str:
    value, low, high, _ = numbers
    return f"{value:.3f} ({level:.0%} interval {low:.3f} to {high:.3f})"
