"""A study's results as text for a terminal, read from its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

_SIGNED = "{:+.4f}".format


def summary(workdir: str | Path) -> str:
    """The ranking, the checks and where the files are."""
    workdir = Path(workdir)
    content = json.loads((workdir / "importance.json").read_text())
    provenance = json.loads((workdir / "provenance.json").read_text())
    metric = content["metrics"][0]
    table = pd.DataFrame(content["table"])
    table = table[table.metric == metric].sort_values("rank")
    columns = ["rank", "concept", "importance", "ci_low", "ci_high", "n_changed", "independent"]
    columns += [c for c in ("planted_weight", "oracle") if c in table]
    formats = dict.fromkeys(("importance", "ci_low", "ci_high", "oracle"), _SIGNED) | {
        "planted_weight": "{:+.1f}".format
    }
    formats = {c: f for c, f in formats.items() if c in columns}
    lines = [
        f"Importance: signed drop of {metric} when a concept is permuted across captions, {provenance['draws']} draws",
        "",
        table[columns].to_string(index=False, formatters=formats),
        "",
        *_checks(pd.read_csv(workdir / "checks.csv")),
    ]
    if content["skipped"]:
        lines.append(f"Skipped, since every caption says the same of it: {', '.join(content['skipped'])}")
    lines += [
        f"Images: {provenance['images_generated']:,} generated; DEPICT's reference protocol would generate "
        f"{provenance['images_reference_protocol']:,}",
        f"Files: {workdir}/ (importance.csv, checks.csv, ranking.png, independence.png, samples.png, ...)",
    ]
    return "\n".join(lines)


def _checks(checks: pd.DataFrame) -> list[str]:
    lines = []
    for row in checks[checks.check == "effective generation"].itertuples():
        lines.append(
            f"Effective generation, {row.concept}: {row.verdict.upper() if row.verdict == 'fail' else row.verdict} "
            f"(AUROC {row.auroc_real:.3f} real, {row.auroc_generated:.3f} generated)"
        )
    if "permuted" in checks:
        independence = checks[checks.check == "independent permutation"]
        failed = independence[independence.verdict == "fail"]
        if failed.empty:
            others = independence[(independence.role == "other") & (independence.verdict == "pass")]
            lines.append(
                f"Independent permutation: pass (largest change of another concept {others.change.abs().max():.3f} AUROC, "
                f"largest leak {others.leak.abs().max():.3f})"
            )
        for permuted, rows in failed.groupby("permuted", sort=False):
            parts = [
                f"{row.concept} moves too (AUROC {row.change:+.3f}, leak {row.leak:+.3f})"
                if row.role == "other"
                else f"it does not follow its words (AUROC {row.auroc_permuted_labels:.3f})"
                for row in rows.itertuples()
            ]
            lines.append(f"Independent permutation: FAIL, permuting {permuted}: {'; '.join(parts)}")
    else:
        lines.append("Independent permutation: skipped, no detector; the ranks are not validated")
    return lines
