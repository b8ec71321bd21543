"""What is known of one concept: flips, changes of single pictures, the response, what pulls most, captions that are new."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from cpi_jax.report.page.charts import histogram, response
from cpi_jax.report.page.numbers import chance, number
from cpi_jax.report.page.reading import Results
from cpi_jax.wording import counted, in_a_line, percent

MOST = 40  # concepts with details of their own
_PULLS = 5
_PHRASES = {
    "permuted": "shuffled across captions",
    "appears": "added to a caption",
    "disappears": "taken out of a caption",
    "changes": "exchanged for another of its contents",
}


@dataclasses.dataclass(frozen=True)
class Details:
    """Of one concept; what is not known is empty.

    Attributes:
      name: of the concept.
      flips: what is done to it, the share of decisions that flip, and the interval, as text.
      histograms: of each direction, its name, a sentence and the chart.
      responses: charts of the mean score at each content, with the output's name where there are several.
      pulls: example, what is done, and how much the loss rises; of those that pull most.
      new_captions: a sentence about captions that no example has.
    """

    name: str
    flips: tuple[tuple[str, str, str], ...]
    histograms: tuple[tuple[str, str, Markup], ...]
    responses: tuple[tuple[str, Markup], ...]
    pulls: tuple[tuple[str, str, str], ...]
    new_captions: str


def find_details(results: Results) -> list[Details]:
    """Of the most important concepts, in the order of the ranking."""
    local, ranking = results.local(), results.ranking()
    parts = {} if local is None else dict(tuple(local.groupby("concept", observed=True)))
    reach, column = 1.0, "score_change"
    if local is not None:
        column = "score_change" if "score_change" in local else "log_loss_change"
        finite = local[column].to_numpy()
        finite = np.abs(finite[np.isfinite(finite)])
        reach = float(np.quantile(finite, 0.995)) or 1.0 if len(finite) else 1.0
    return [
        Details(
            name=row.concept,
            flips=_flips(results, row.concept),
            histograms=_histograms(parts.get(row.concept), column, reach),
            responses=_responses(results, row.concept),
            pulls=_pulls(parts.get(row.concept)),
            new_captions=_new_captions(row),
        )
        for row in ranking[:MOST].itertuples()
    ]


def _flips(results: Results, concept: str) -> tuple[tuple[str, str, str], ...]:
    if "flips" not in results.tables:
        return ()
    table = results.tables["flips"]
    rows = table.loc[(table["concept"] == concept) & table["direction"].isin(list(_PHRASES))]
    return tuple(
        (_PHRASES[row.direction], chance(row.rate), f"{percent(results.level)} interval {chance(row.ci_low)} to "
            f"{chance(row.ci_high)}; {counted(row.examples, 'example')}")
        for row in rows.itertuples()
    )  # fmt: skip


def _histograms(rows: pd.DataFrame | None, column: str, reach: float) -> tuple[tuple[str, str, Markup], ...]:
    if rows is None or not rows[column].notna().any():
        return ()
    out = []
    for direction, part in rows.loc[rows[column].notna()].groupby("direction", observed=True):
        changes = part[column].to_numpy(np.float64)
        what = "score" if column == "score_change" else "loss"
        up = float((changes > 0).mean())
        sentence = (
            f"Of {counted(len(changes), 'picture')} the {what} rises in {chance(up)}; "
            f"the median change is {number(float(np.median(changes)), 2)}"
        )
        weights = part["share"].to_numpy(np.float64)
        out.append((str(direction), sentence, histogram(changes, weights, reach, str(direction))))
    return tuple(out)


def _responses(results: Results, concept: str) -> tuple[tuple[str, Markup], ...]:
    if "responses" not in results.tables:
        return ()
    table = results.tables["responses"]
    rows = table.loc[table["concept"] == concept]
    several = len(rows) and rows["output"].max() > 0
    return tuple(
        (f"class {output}" if several else "", response(part))
        for output, part in list(rows.groupby("output", sort=True))[:3]
    )


def _pulls(rows: pd.DataFrame | None) -> tuple[tuple[str, str, str], ...]:
    """Examples whose loss rises most, as often as permuting changes them: they make up most of the importance by loss."""
    if rows is None or "log_loss_change" not in rows:
        return ()
    pull = rows["share"] * rows["weight"] * rows["log_loss_change"]
    of_example: Any = pull.groupby(rows["example_id"]).sum().sort_values(ascending=False)[:_PULLS]
    first = rows.drop_duplicates("example_id").set_index("example_id")
    return tuple(
        (in_a_line(str(example), 40), _change(first.loc[example]), f"+{number(rise)}")
        for example, rise in of_example.items()
        if rise > 0
    )


def _change(row: Any) -> str:
    own, value = (in_a_line(text, 40) if text else "" for text in (row.own, row.value))
    return f"{own} → {value}" if own and value else f"+ {value}" if value else f"− {own}"


def _new_captions(row: Any) -> str:
    changed, new, impossible = (int(getattr(row, name, 0)) for name in ("num_changed", "num_new", "num_impossible"))
    if not new:
        return "Every caption that was made by shuffling combines concepts as some caption of the data does." * (
            changed > 0
        )
    sentence = f"{new:,} of {counted(changed, 'changed caption')} combine concepts as no caption of the data does"
    if impossible:
        sentence += f", and {impossible:,} of them hold two contents that never occur together"
    return f"{sentence}: what the classifier does there is seen on generated pictures alone."
