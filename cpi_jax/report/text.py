"""A study's results as text for a terminal, read from its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

_SIGNED = "{:+.4f}".format
_FILES = ("importance.csv", "checks.csv", "ranking.png", "independence.png", "samples.png")


def summary(workdir: str | Path) -> str:
    """The ranking, interactions, the checks, what is claimed, and where the files are."""
    workdir = Path(workdir)
    content = json.loads((workdir / "importance.json").read_text())
    provenance = json.loads((workdir / "provenance.json").read_text())
    record = content["importance"]
    metric, level = record["metrics"][0], f"{record['level']:.0%}"
    table = pd.read_csv(workdir / "importance.csv")
    table = table[table.metric == metric].sort_values("importance", ascending=False)
    side = "importance <= 0" if record["alternative"] == "greater" else "importance = 0"
    lines = [
        f"Importance: signed drop of {metric} when a concept is permuted across captions, {provenance['draws']} draws",
        "",
        _ranking(table),
        "",
        f"ci: {level} {record['interval']} interval over examples. p: against {side}; holm: corrected over the concepts. "
        f"ranks: all hold together at {level}. draws: share of the variance that more draws would reduce"
        f"{' (not known from one draw)' if table.share_of_draws.isna().all() else ''}, the rest needs more examples. "
        "changed: share of captions that a permutation changes.",
        *(f"Warning: {warning}" for warning in record["warnings"]),
    ]
    if content["unfinished"]:
        lines.append(f"Unfinished: all this is of {content['unfinished']} so far, and so are the intervals")
    if content["stopped"]:
        lines.append(f"Stopped {content['stopped']}")
    if content["interactions"]:
        pairs = pd.read_csv(workdir / "interactions.csv")
        pairs = pairs[pairs.metric == metric][["concept", "importance", "ci_low", "ci_high", "p", "p_holm"]]
        formats = dict.fromkeys(("importance", "ci_low", "ci_high"), _SIGNED) | dict.fromkeys(("p", "p_holm"), _p)
        lines += [
            "",
            "Interactions: drop from permuting both, minus that of each alone; two-sided p. A nonlinear metric such as "
            f"{metric} makes them non-zero by itself.",
            pairs.rename(columns={"concept": "pair", "importance": "interaction"}).to_string(
                index=False, formatters=formats | {"interaction": _SIGNED}
            ),
        ]
    checks = pd.read_csv(workdir / "checks.csv")
    lines += ["", *_checks(checks), *_advice(checks)]
    if content["skipped"]:
        lines.append(f"Skipped, since every caption says the same of it: {', '.join(content['skipped'])}")
    lines += [
        "What this is about: this classifier, on images of this generator, for these captions; not a retrained classifier.",
        f"Images: {provenance['images_generated']:,} generated; DEPICT's reference protocol would generate "
        f"{provenance['images_reference_protocol']:,}",
        f"Files: {workdir}/ ({', '.join(name for name in _FILES if (workdir / name).exists())}, ...)",
    ]
    return "\n".join(lines)


def _ranking(table: pd.DataFrame) -> str:
    shown = pd.DataFrame(
        {
            "rank": [_rank(row) for row in table.itertuples()],
            "ranks": [f"{row.rank_low}-{row.rank_high}" if row.rank else "" for row in table.itertuples()],
            "concept": table.concept,
            "importance": table.importance.map(_SIGNED),
            "ci": [f"{_SIGNED(low)} to {_SIGNED(high)}" for low, high in zip(table.ci_low, table.ci_high)],
            "p": table.p.map(_p),
            "holm": [_p(p) if p == p else "" for p in table.p_holm],
            "draws": ["" if s != s else f"{s:.0%}" for s in table.share_of_draws],
            "changed": table.share_changed.map("{:.0%}".format),
            "check": [v.upper() if v == "fail" else v for v in table.verdict],
        }
    )
    if "oracle" in table:
        shown["planted"] = ["" if w != w else f"{w:+.1f}" for w in table.planted_weight]
        shown["oracle"] = table.oracle.map(_SIGNED)
    return shown.to_string(index=False)


def _rank(row) -> str:
    if not row.rank:
        return ""  # a control
    return str(row.rank) if row.rank_valid else "not valid"


def _p(p: float) -> str:
    return "<.0001" if p < 1e-4 else f"{p:.4f}".removeprefix("0")


def _checks(checks: pd.DataFrame) -> list[str]:
    lines = []
    for row in checks[checks.check == "effective generation"].itertuples():
        lines.append(
            f"Effective generation, {row.concept}: {_verdict(row.verdict)} (AUROC {row.auroc_real:.3f} real, "
            f"{row.auroc_generated:.3f} generated, lost {row.lost:+.3f} -+ {1.96 * row.lost_error:.3f}{_more(row.needed)})"
        )
    if not lines:
        lines.append("Effective generation: skipped, no real images to compare with")
    if "permuted" not in checks:
        return [*lines, "Independent permutation: skipped, no detector; the ranks are not validated"]
    independence = checks[checks.check == "independent permutation"]
    others = independence[(independence.role == "other") & (independence.verdict == "pass")]
    bad = independence[independence.verdict.isin(("fail", "inconclusive"))]
    if bad.empty:
        lines.append(
            f"Independent permutation: pass (largest change of another concept {others.change.abs().max():.3f} AUROC, "
            f"largest leak {others.leak.abs().max():.3f})"
        )
    for (permuted, verdict), rows in bad.groupby(["permuted", "verdict"], sort=False):
        parts = [
            f"{row.concept} (AUROC {row.change:+.3f} -+ {1.96 * row.change_error:.3f}, leak {row.leak:+.3f} -+ "
            f"{1.96 * row.leak_error:.3f}{_more(row.needed)})"
            if row.role == "other"
            else f"whether {'it' if row.concept == permuted else row.concept} follows its words "
            f"(AUROC {row.auroc_permuted_labels:.3f}{_more(row.needed)})"
            for row in rows.itertuples()
        ]
        lines.append(f"Independent permutation, {permuted}: {_verdict(verdict)}: {'; '.join(parts)}")
    return lines


def _advice(checks: pd.DataFrame) -> list[str]:
    """What to do; of a check's undecided comparisons, for the one that needs most examples."""
    if "advice" not in checks:
        return []
    given = checks[checks.advice.notna() & (checks.advice != "")]
    undecided = given.verdict == "inconclusive"
    most = given[undecided].sort_values("needed").groupby("check", sort=False).tail(1)
    return [f"To do: {advice}" for advice in pd.concat([given[~undecided], most]).advice.drop_duplicates()]


def _verdict(verdict: str) -> str:
    return verdict.upper() if verdict == "fail" else verdict


def _more(needed: float) -> str:
    return f"; about {int(needed):,} examples would decide" if needed > 0 else ""
