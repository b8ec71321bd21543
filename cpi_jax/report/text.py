"""A study's results as text for a terminal, read from its folder."""

from __future__ import annotations

import collections
import json
import textwrap
from pathlib import Path

import pandas as pd

from cpi_jax.files.csv_files import read_csv
from cpi_jax.wording import NAME, about, aligned, counted, in_a_line, p_value, percent, ranking, signed

WIDTH = 100
_FILES = ("importance.csv", "checks.csv", "ranking.png", "independence.png", "samples.png")
_PAIRS = 10  # of interactions, of failing checks, of notes


def summary(workdir: str | Path) -> str:
    """The ranking, interactions, the checks, what is claimed, and where the files are."""
    return f"{results(workdir)}\n{files(workdir)}"


def results(workdir: str | Path) -> str:
    """What `summary` says but for the files; fits a screen for a handful of concepts."""
    workdir = Path(workdir)
    content = json.loads((workdir / "importance.json").read_text(encoding="utf-8"))
    provenance = json.loads((workdir / "provenance.json").read_text(encoding="utf-8"))
    record = content["importance"]
    metric = record["metrics"][0]
    table = read_csv(workdir / "importance.csv")
    table = table[table.metric == metric].sort_values("importance", ascending=False)
    lines = [
        *_wrapped(f"Note: {provenance['note']}" if provenance.get("note") else ""),
        *_wrapped(f"Importance: drop of {metric} when a concept is permuted across captions"),
        *_wrapped(about(provenance)),
        "",
        *ranking(table, record["level"]).split("\n"),
        "",
        *_wrapped(_legend(table, record)),
    ]
    for warning in record["warnings"]:
        lines += _wrapped(f"Warning: {warning}")
    if content["unfinished"]:
        lines.append(f"Unfinished: all this is of {content['unfinished']} so far, and so are the intervals")
    if content["stopped"]:
        lines.append(f"Stopped {content['stopped']}")
    if content["interactions"]:
        lines += ["", *_interactions(read_csv(workdir / "interactions.csv"), metric)]
    checks = read_csv(workdir / "checks.csv")
    lines += ["", *_checks(checks), *_advice(checks), "", *_notes(content.get("notes", []))]
    if content["skipped"]:
        skipped = ", ".join(in_a_line(name, NAME) for name in content["skipped"])
        lines += _wrapped(f"Skipped, since every caption says the same of it: {skipped}")
    reference = counted(provenance["images_reference_protocol"], "image")
    return "\n".join(
        [
            *lines,
            "What this is about: this classifier, on images of this generator, for these captions;",
            "not a retrained classifier.",
            f"{counted(provenance['images_generated'], 'image')} generated; DEPICT's reference protocol: {reference}",
        ]
    )


def files(workdir: str | Path) -> str:
    """Where the files of a study are."""
    there = ", ".join(name for name in _FILES if (Path(workdir) / name).exists())
    return "\n".join(_wrapped(f"Files: {workdir}/ ({there}, ...)"))


def _legend(table: pd.DataFrame, record: dict) -> str:
    side = "importance <= 0" if record["alternative"] == "greater" else "importance = 0"
    level = percent(record["level"])
    said = (
        "rank: 1 is the most important, - where the check failed; ranks: the best and the worst that the data allow, of "
        f"all concepts together at {level}. {level} interval: {record['interval']}, over examples. p: against {side}; "
        "holm: corrected over the concepts; check: the worst outcome of the checks of the concept. "
    )
    shares = table.share_of_draws.dropna()
    if len(shares):
        low, high = (percent(round(max(share, 0), 2)) for share in (shares.min(), shares.max()))
        share = high if low == high else f"{low} to {high}"
        said += f"More draws would reduce {share} of the variance, examples the rest. "
    if "oracle" in table:
        said += "planted: the weight in the model that made the labels; oracle: the importance in it."
    return said


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False, break_long_words=False)


def _interactions(pairs: pd.DataFrame, metric: str) -> list[str]:
    pairs = pairs[pairs.metric == metric].sort_values("p", kind="stable")
    rows, left = pairs[:_PAIRS], len(pairs) - _PAIRS
    shown = pd.DataFrame(
        {
            "pair": [in_a_line(name, 2 * NAME) for name in rows.concept],
            "interaction": rows.importance.map(signed),
            "interval": [f"{signed(low)} to {signed(high)}" for low, high in zip(rows.ci_low, rows.ci_high)],
            "p": rows.p.map(p_value),
            "holm": rows.p_holm.map(p_value),
        }
    )
    about = (
        "Interactions: drop from permuting both, minus that of each alone; two-sided p. A nonlinear metric such as "
        f"{metric} makes them non-zero by itself."
    )
    more = [f"... and {left} more in interactions.csv"] if left > 0 else []
    return [*_wrapped(about), *aligned(shown).split("\n"), *more]


def _checks(checks: pd.DataFrame) -> list[str]:
    """Both checks, each in a line, and the comparisons that failed; checks.csv has all of them."""
    generation = checks[checks.check == "effective generation"]
    lines = ["Checks (-+ is half a 95% interval; checks.csv has every comparison):"]
    if generation.empty:
        lines.append("Effective generation: skipped, no real images to compare with")
    else:
        own = generation.concept.str.startswith("target: ")
        for name, rows in (("the classifier", generation[own]), ("the detector", generation[~own])):
            if len(rows):
                lines += _wrapped(f"Effective generation, {name}: {_outcomes(rows)}{_auroc(rows)}")
                lines += _failures(rows, _lost)
    if "permuted" not in checks:
        return [*lines, "Independent permutation: skipped, no detector; the ranks are not validated"]
    independence = checks[checks.check == "independent permutation"]
    others = independence[(independence.role == "other") & (independence.verdict == "pass")]
    largest = ""
    if len(others):
        largest = (
            f"; of those that pass, AUROC changes by {others.change.abs().max():.3f} and the leak is "
            f"{others.leak.abs().max():.3f} at most"
        )
    lines += _wrapped(
        f"Independent permutation, {counted(len(independence), 'pair')} of a permuted and a detected concept: "
        f"{_outcomes(independence)}{largest}"
    )
    return lines + _failures(independence, _dependence)


def _advice(checks: pd.DataFrame) -> list[str]:
    """What to do; of a check's undecided comparisons, for the one that needs most examples."""
    if "advice" not in checks:
        return []
    given = checks[checks.advice != ""]
    undecided = given.verdict == "inconclusive"
    most = given[undecided].sort_values("needed").groupby("check", sort=False).tail(1)
    sentences = list(dict.fromkeys(pd.concat([given[~undecided], most]).advice))
    left = len(sentences) - _PAIRS
    lines = [line for sentence in sentences[:_PAIRS] for line in _wrapped(f"To do: {sentence}")]
    return [*lines, *([f"... and {left} more in checks.csv"] if left > 0 else [])]


def _notes(notes: list[str]) -> list[str]:
    """What was known before anything was generated; importance.json has all of it."""
    left = len(notes) - _PAIRS
    lines = [line for note in notes[:_PAIRS] for line in _wrapped(f"- {note}")]
    more = [f"... and {left} more in importance.json"] if left > 0 else []
    return ["Known before anything was generated:", *lines, *more, ""] if notes else []


def _outcomes(rows: pd.DataFrame) -> str:
    """ "6 pass, 1 FAIL", and how many examples would decide what is undecided."""
    counts = collections.Counter("FAIL" if verdict == "fail" else verdict for verdict in rows.verdict)
    said = ", ".join(f"{n} {verdict}" if len(rows) > 1 else verdict for verdict, n in counts.items())
    needed = rows.needed.max()
    return said + (
        f" (about {counted(needed, 'example')} would decide{' all' * (len(rows) > 1)})" if needed > 0 else ""
    )


def _auroc(rows: pd.DataFrame) -> str:
    if len(rows) == 1:
        return f"; {_lost(next(rows.itertuples()))}"
    worst = rows.loc[rows.lost.idxmax()] if rows.lost.notna().any() else rows.iloc[0]
    name = in_a_line(worst.concept.partition(": ")[2], NAME)
    return f"; the largest loss is that of {name}: AUROC {worst.auroc_real:.3f} real, {worst.auroc_generated:.3f} generated"


def _lost(row) -> str:
    return (
        f"AUROC {row.auroc_real:.3f} real, {row.auroc_generated:.3f} generated, lost {signed(row.lost, 3)} "
        f"-+ {1.96 * row.lost_error:.3f}"
    )


def _dependence(row) -> str:
    if row.role == "other":
        return (
            f"AUROC {signed(row.change, 3)} -+ {1.96 * row.change_error:.3f}, leak {signed(row.leak, 3)} "
            f"-+ {1.96 * row.leak_error:.3f}"
        )
    return f"follows its words with AUROC {row.auroc_permuted_labels:.3f}"


def _failures(rows: pd.DataFrame, describe) -> list[str]:
    bad = rows[rows.verdict == "fail"]
    lines = []
    for row in bad[:_PAIRS].itertuples():
        name = in_a_line(row.concept.removeprefix("target: ").removeprefix("detector: "), NAME)
        permuted = getattr(row, "permuted", "")
        if permuted and row.role == "other":
            name = f"permuting {in_a_line(permuted, NAME)} moves {name}"
        lines.append(f"  FAIL: {name}: {describe(row)}")
    left = len(bad) - _PAIRS
    return [*lines, *([f"  ... and {left} more"] if left > 0 else [])]
