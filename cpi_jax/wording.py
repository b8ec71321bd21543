"""Numbers, names and rankings as people read them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

Number = int | float | np.number
NAME = 24  # letters of a concept's name that a table shows
_ROWS = 40  # of a ranking
_LEFT = ("concept", "pair", "check")  # columns that begin at the left


def counted(number: Number, noun: str, digits: int = 0) -> str:
    """ "1 draw", "2 draws", "1,000 images"; `digits` behind the point."""
    text = f"{number:,.{digits}f}"
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def duration(seconds: Number) -> str:
    """ "36 s", "12 min", "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def signed(number: Number, digits: int = 4) -> str:
    """+0.1234, -0.1234, or 0.0000 without a sign; "-" where there is no number."""
    if number != number:
        return "-"
    text = f"{number:+.{digits}f}"
    return text if float(text) else text[1:]


def percent(share: Number) -> str:
    """95%, 99.9%."""
    return f"{100 * share:.4g}%"


def in_a_line(name: str, most: int) -> str:
    """A name without line breaks and signs that cannot be seen, cut where it has more than so many letters."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split()) or repr(name)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def scorer_called(name: str) -> str:
    """What sentences call a scorer: "target" or "detector", or "classifier NAME" of several that users have named."""
    return name if name in ("target", "detector", "generator") else f"classifier {name}"


def apart(names: Sequence[str], most: int) -> list[str]:
    """Different names, each as in `in_a_line` but so that they stay different: cut in their middle, else numbered."""
    whole = [in_a_line(name, 10 * len(name) + 2) for name in names]  # a name that cannot be seen is said by its code
    cut = [in_a_line(name, most) for name in names]
    middle = [text if len(text) <= most else f"{text[: most // 3]}...{text[most // 3 + 3 - most :]}" for text in whole]
    lines = [other if cut.count(line) > 1 else line for line, other in zip(cut, middle)]
    return [f"{line} [{n + 1}]" if lines.count(line) > 1 else line for n, line in enumerate(lines)]


def about(provenance: Mapping[str, Any]) -> str:
    """What a study is of: classifier, data, images that are no plain samples, how many examples and draws."""
    subject = [f"{name}: {provenance[name]}" for name in ("target", "data", "images") if provenance.get(name)]
    sizes = [counted(provenance[f"{noun}s"], noun) for noun in ("example", "draw") if f"{noun}s" in provenance]
    return "; ".join([*subject, ", ".join(sizes)])


def p_value(p: Number) -> str:
    """.0123, or that it is below .0001; "-" where there is no number."""
    if p != p:
        return "-"
    return "<.0001" if p < 1e-4 else f"{p:.4f}".removeprefix("0")


def ranking(table: pd.DataFrame, level: Number) -> str:
    """One line a concept of `Importance.to_frame()` for one metric, the most important one first."""
    shown, left = ranking_cells(table, level)
    return aligned(shown) if left <= 0 else f"{aligned(shown)}\n... and {left} more in importance.csv"


def ranking_cells(table: pd.DataFrame, level: Number, letters: int = NAME) -> tuple[pd.DataFrame, int]:
    """The cells of `ranking`, all texts, names of at most so many letters; and how many concepts are not among them."""
    table = table.sort_values("importance", ascending=False, kind="stable")
    rows, left = table[:_ROWS], len(table) - _ROWS
    shown = pd.DataFrame(
        {
            "rank": [_rank(rank, valid) for rank, valid in zip(rows["rank"], rows["rank_valid"])],
            "ranks": [
                f"{low}-{high}" if rank else ""
                for rank, low, high in zip(rows["rank"], rows["rank_low"], rows["rank_high"])
            ],
            "concept": [in_a_line(name, letters) for name in rows["concept"]],
            "importance": [signed(drop) for drop in rows["importance"]],
            f"{percent(level)} interval": [
                f"{signed(low)} to {signed(high)}" for low, high in zip(rows["ci_low"], rows["ci_high"])
            ],
            "p": [p_value(p) for p in rows["p"]],
            "holm": [p_value(p) if p == p else "" for p in rows["p_holm"]],
            "check": [v.upper() if v == "fail" else v for v in rows["verdict"]],
        }
    )
    if "oracle" in rows:
        shown["planted"] = ["" if w != w else signed(w, 1) for w in rows["planted_weight"]]
        shown["oracle"] = [signed(drop) for drop in rows["oracle"]]
    return shown, max(left, 0)


def aligned(shown: pd.DataFrame) -> str:
    """Columns of text, each as wide as it must be; names and verdicts begin at the left, numbers end at the right."""
    lines = [list(shown.columns), *shown.astype(str).to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*lines)]
    out = []
    for line in lines:
        cells = [
            cell.ljust(width) if name in _LEFT else cell.rjust(width)
            for name, cell, width in zip(shown.columns, line, widths)
        ]
        out.append(" ".join(cells).rstrip())
    return "\n".join(out)


def html_table(shown: pd.DataFrame) -> str:
    """The same as HTML, without a style that another page could lack: what cells say is text, whatever signs it holds."""
    sides = ["left" if name in _LEFT else "right" for name in shown.columns]

    def line(tag: str, cells: Sequence[Any]) -> str:
        cells = [
            f'<{tag} style="text-align: {side}; padding: 0 0.5em"><bdi>{html.escape(str(cell))}</bdi></{tag}>'
            for side, cell in zip(sides, cells)
        ]
        return f"<tr>{''.join(cells)}</tr>"

    body = "\n".join(line("td", cells) for cells in shown.to_numpy().tolist())
    return f"<table>\n<thead>{line('th', list(shown.columns))}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def html_paragraphs(texts: Sequence[str]) -> str:
    """Sentences as paragraphs of HTML; what they say is text."""
    return "\n".join(f"<p>{html.escape(text)}</p>" for text in texts)


def _rank(rank: Number, valid: bool) -> str:
    if not rank:
        return ""  # a control
    return str(rank) if valid else "-"
