"""A forest plot that is a column of a table: in each row an estimate with its interval, all on one axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import pandas as pd
from markupsafe import Markup

from cpi_jax.report.page.numbers import number

WIDTH, HEIGHT, MARGIN = 300, 30, 10


@dataclasses.dataclass(frozen=True)
class Scale:
    """From numbers to places on an axis.

    Attributes:
      low, high: ends of the axis.
      ticks: that are drawn on it.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, x: float) -> float:
        """Where a number stands, in pixels of the view box; at the end of the axis where it is beyond."""
        share = (min(max(x, self.low), self.high) - self.low) / (self.high - self.low)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)


def scale_of(numbers: Iterable[float]) -> Scale:
    """An axis that holds finite numbers and 0, with a few round ticks."""
    finite = [float(x) for x in numbers if math.isfinite(x)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    if high - low < 1e-9:
        low, high = -0.01, 0.01
    step = _round_step((high - low) / 4)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    ticks = tuple(round(low + k * step, 10) for k in range(round((high - low) / step) + 1))
    return Scale(low, high, ticks)


def axis(scale: Scale) -> Markup:
    """The ticks' numbers, for the head of the column."""
    digits = max(0, -math.floor(math.log10(scale.ticks[1] - scale.ticks[0]) + 1e-9))
    labels = Markup("").join(
        Markup('<text x="{}" y="12">{}</text>').format(scale.at(tick), number(tick, digits)) for tick in scale.ticks
    )
    return Markup('<svg class="axis" viewBox="0 0 {} 16" aria-hidden="true">{}</svg>').format(WIDTH, labels)


def row_plot(
    scale: Scale, estimate: float, low: float, high: float, mark: str, draws: Sequence[float], truth: float | None
) -> Markup:
    """One row: the numbers beside it say the same, so that it is hidden from screen readers.

    Args:
      scale: of the column.
      estimate, low, high: with its interval.
      mark: "shown", "open" or "failed", a filled circle, a hollow one, or a cross.
      draws: estimates of single draws.
      truth: what is known to be true, or None.
    """
    middle = HEIGHT / 2
    line = Markup('<line class="{}" x1="{x}" x2="{x}" y1="0" y2="{}"/>')
    parts = [line.format("zero" if tick == 0 else "grid", HEIGHT, x=scale.at(tick)) for tick in scale.ticks]
    if not math.isnan(low + high):
        parts.append(
            Markup('<line class="reach {}" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                mark, scale.at(low), scale.at(high), y=middle
            )
        )
    if len(draws) > 1:
        parts += [
            Markup('<circle class="draw" cx="{}" cy="{}" r="2"/>').format(scale.at(draw), middle + 9) for draw in draws
        ]
    x = scale.at(estimate)
    if not math.isnan(estimate):
        if mark == "failed":
            parts.append(Markup('<path class="mark failed" d="M{} {}l10 10m0 -10l-10 10"/>').format(x - 5, middle - 5))
        else:
            parts.append(Markup('<circle class="mark {}" cx="{}" cy="{}" r="5"/>').format(mark, x, middle))
    if truth is not None and not math.isnan(truth):
        parts.append(Markup('<path class="truth" d="M{} {}l5 5l-5 5l-5 -5z"/>').format(scale.at(truth), middle - 14))
    return Markup('<svg class="forest" viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(
        WIDTH, HEIGHT, Markup("").join(parts)
    )


def scale_of_table(table: pd.DataFrame) -> Scale:
    """An axis for the estimates, the intervals and the known truth of a table of importances."""
    columns = [name for name in ("importance", "ci_low", "ci_high", "oracle") if name in table]
    return scale_of(table[columns].to_numpy(float).ravel())


def _round_step(step: float) -> float:
    power = 10 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))
