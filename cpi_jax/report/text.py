"""A study's results as text for a terminal, read from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from cpi_jax.files.csv_files import read_csv
from cpi_jax.report.checks_text import describe_advice, describe_checks, describe_minimality
from cpi_jax.report.corrected_text import describe_corrected
from cpi_jax.report.differences_text import describe_differences
from cpi_jax.report.gaps_text import describe_gaps
from cpi_jax.report.lines import MOST, and_more, wrapped
from cpi_jax.report.local_text import describe_flips, describe_responses
from cpi_jax.report.shares_text import describe_shares
from cpi_jax.report.sign_tests_text import describe_sign_tests
from cpi_jax.wording import NAME, about, aligned, counted, in_a_line, p_value, percent, ranking, signed

_FILES = ("report.html", "importance.csv", "checks.csv", "ranking.png", "independence.png", "samples.png")


def describe_results(workdir: str | Path) -> str:
    """The ranking, interactions, the checks and what is claimed; fits a screen for a handful of concepts."""
    workdir = Path(workdir)
    content = json.loads((workdir / "importance.json").read_text(encoding="utf-8"))
    provenance = json.loads((workdir / "provenance.json").read_text(encoding="utf-8"))
    record = content["importance"]
    metric = record["metrics"][0]
    table = read_csv(workdir / "importance.csv")
    table = table.loc[table["metric"] == metric].sort_values("importance", ascending=False)
    lines = [
        *wrapped(f"Note: {provenance['note']}" if provenance.get("note") else ""),
        *wrapped(f"Importance: drop of {metric} when a concept is permuted across captions"),
        *wrapped(about(provenance)),
        "",
        *ranking(table, record["level"]).split("\n"),
        "",
        *wrapped(_legend(table, record)),
    ]
    for warning in record["warnings"]:
        lines += wrapped(f"Warning: {warning}")
    if content["unfinished"]:
        lines.append(f"Unfinished: all this is of {content['unfinished']} so far, and so are the intervals")
    if content["stopped"]:
        lines.append(f"Stopped {content['stopped']}")
    if content["interactions"]:
        lines += ["", *_describe_interactions(read_csv(workdir / "interactions.csv"), metric)]
    concepts, level = list(table["concept"]), record["level"]
    lines += ["", *describe_corrected(workdir, concepts, metric, level)]
    lines += [*describe_shares(workdir, concepts, metric, level), *describe_sign_tests(workdir, concepts, level)]
    lines += [*describe_flips(workdir, concepts, level), *describe_responses(workdir, concepts, level)]
    lines += [*describe_differences(workdir, metric, level), *describe_gaps(workdir, level)]
    checks = read_csv(workdir / "checks.csv")
    lines += [
        *describe_checks({"the classifier": checks}),
        *describe_minimality(workdir),
        *describe_advice(checks),
        "",
        *_describe_notes(content.get("notes", [])),
    ]
    if content["skipped"]:
        skipped = ", ".join(in_a_line(name, NAME) for name in content["skipped"])
        lines += wrapped(f"Skipped, since every caption says the same of it: {skipped}")
    reference = counted(provenance["images_reference_protocol"], "image")
    return "\n".join(
        [
            *lines,
            *_about(provenance),
            f"{counted(provenance['images_generated'], 'image')} generated; DEPICT's reference protocol: {reference}",
        ]
    )


def _about(provenance: dict[str, Any]) -> tuple[str, str]:
    images = "these pictures, edited by this generator" if provenance.get("images") else "images of this generator"
    return f"What this is about: this classifier, on {images}, for these captions;", "not a retrained classifier."


def describe_files(workdir: str | Path) -> str:
    """Where the files of a study are."""
    there = ", ".join(name for name in _FILES if (Path(workdir) / name).exists())
    return "\n".join(wrapped(f"Files: {workdir}/ ({there}, ...)"))


def _legend(table: pd.DataFrame, record: dict[str, Any]) -> str:
    side = "importance <= 0" if record["alternative"] == "greater" else "importance = 0"
    level = percent(record["level"])
    legend = (
        "rank: 1 is the most important, - where the check failed; ranks: the best and the worst that the data allow, of "
        f"all concepts together at {level}. {level} interval: {record['interval']}, over examples. p: against {side}; "
        "holm: corrected over the concepts; check: the worst outcome of the checks of the concept. "
    )
    shares = table["share_of_draws"].dropna()
    if len(shares):
        bounds: Any = shares.min(), shares.max()
        low, high = (percent(round(max(bound, 0), 2)) for bound in bounds)
        share = high if low == high else f"{low} to {high}"
        legend += f"More draws would reduce {share} of the variance, examples the rest. "
    if "oracle" in table:
        legend += "planted: the weight in the model that made the labels; oracle: the importance in it."
    return legend


def _describe_interactions(pairs: pd.DataFrame, metric: str) -> list[str]:
    pairs = pairs.loc[pairs["metric"] == metric].sort_values("p", kind="stable")
    rows = pairs[:MOST]
    shown = pd.DataFrame(
        {
            "pair": [in_a_line(name, 2 * NAME) for name in rows["concept"]],
            "interaction": [signed(drop) for drop in rows["importance"]],
            "interval": [f"{signed(low)} to {signed(high)}" for low, high in zip(rows["ci_low"], rows["ci_high"])],
            "p": [p_value(p) for p in rows["p"]],
            "holm": [p_value(p) for p in rows["p_holm"]],
        }
    )
    meaning = (
        "Interactions: drop from permuting both, minus that of each alone; two-sided p. A nonlinear metric such as "
        f"{metric} makes them non-zero by itself."
    )
    return [*wrapped(meaning), *aligned(shown).split("\n"), *and_more(len(pairs), "interactions.csv")]


def _describe_notes(notes: list[str]) -> list[str]:
    """What was known before anything was generated; importance.json has all of it."""
    if not notes:
        return []
    lines = [line for note in notes[:MOST] for line in wrapped(f"- {note}")]
    return ["Known before anything was generated:", *lines, *and_more(len(notes), "importance.json"), ""]
