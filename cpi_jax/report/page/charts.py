"""Small charts of one concept as inline SVG: how scores change, and the mean score at each content."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from markupsafe import Markup

from cpi_jax.report.page.forest import Scale, scale_of
from cpi_jax.report.page.numbers import number
from cpi_jax.wording import in_a_line

_BINS, _WIDTH, _HEIGHT, _LEFT = 31, 320, 70, 10
_CONTENTS = 12  # of a response curve
_LETTERS = 26


def histogram(changes: np.ndarray, weights: np.ndarray, reach: float, direction: str) -> Markup:
    """How a score changes over single pictures; the line is at no change, and falls and rises are told by side and shade.

    Args:
      changes: of the score, finite.
      weights: of the changes.
      reach: the axis goes from minus it to it.
      direction: "appears", "disappears" or "changes", for the description.
    """
    edges = np.linspace(-reach, reach, _BINS + 1)
    heights, _ = np.histogram(np.clip(changes, -reach, reach), edges, weights=weights)
    top, width = max(heights.max(), 1e-12), (_WIDTH - 2 * _LEFT) / _BINS
    bars = [
        Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            "down" if k < _BINS // 2 else "up" if k > _BINS // 2 else "still",
            _LEFT + k * width, _HEIGHT - (_HEIGHT - 6) * h / top, width - 1, (_HEIGHT - 6) * h / top,
        )
        for k, h in enumerate(heights) if h > 0
    ]  # fmt: skip
    axis = [
        Markup('<text x="{:.1f}" y="{}">{}</text>').format(x, _HEIGHT + 14, text)
        for x, text in (
            (_LEFT + 10, number(-reach, 1)),
            (_WIDTH / 2, "0"),
            (_WIDTH - _LEFT - 10, "+" + number(reach, 1)),
        )
    ]
    said = f"Change of the score when the concept {direction}: median {number(float(np.median(changes)), 2)}"
    return Markup(
        '<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {}">{}'
        '<line class="zero" x1="{x}" x2="{x}" y1="0" y2="{}"/>{}</svg>'
    ).format(said, _WIDTH, _HEIGHT + 18, Markup("").join(bars), _HEIGHT, Markup("").join(axis), x=_WIDTH / 2)


def response(rows: pd.DataFrame) -> Markup:
    """Mean scores with intervals, a line each content: numbers beside dots.

    Args:
      rows: of responses.csv, of one concept and output, in the order that is shown.
    """
    rows = rows[:_CONTENTS]
    scale: Scale = scale_of(rows[["score", "ci_low", "ci_high"]].to_numpy(float).ravel())
    left, line = 130, 24

    def x(value: float) -> float:
        share = (value - scale.low) / (scale.high - scale.low)
        return round(left + share * (_WIDTH - left - 50), 1)

    parts = [
        Markup('<line class="zero" x1="{x}" x2="{x}" y1="0" y2="{}"/>').format(line * len(rows), x=x(0.0)),
    ]
    for k, row in enumerate(rows.itertuples()):
        y = line * k + line / 2
        name = in_a_line(row.value, _LETTERS) if row.value else "(not said)"
        parts.append(Markup('<text class="left" x="0" y="{}">{}</text>').format(y + 4, _cut(name)))
        if not math.isnan(row.ci_low + row.ci_high):
            parts.append(
                Markup('<line class="reach shown" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                    x(row.ci_low), x(row.ci_high), y=y
                )
            )
        parts.append(Markup('<circle class="mark shown" cx="{}" cy="{}" r="4"/>').format(x(row.score), y))
        parts.append(Markup('<text class="right" x="{}" y="{}">{}</text>').format(_WIDTH, y + 4, number(row.score, 2)))
    said = "; ".join(f"{row.value or 'not said'} {number(row.score, 2)}" for row in rows.itertuples())
    return Markup('<svg class="chart response" role="img" aria-label="{}" viewBox="0 0 {} {}">{}</svg>').format(
        f"Mean score: {in_a_line(said, 300)}", _WIDTH, line * len(rows), Markup("").join(parts)
    )


def _cut(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"
