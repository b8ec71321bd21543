"""How large report.html is and how long it takes, of results that are made up: `python benchmarks/report_page.py`.

By default 10,000 examples, 15 concepts and 3 classifiers. It must stay below 5 MB and 60 s without rendering.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

METRICS = ("auroc", "accuracy", "neg_log_loss")
PAIRS = 120  # pictures of one classifier


def make_results(
    folder: Path,
    concepts: Sequence[str],
    *,
    examples: int = 200,
    pairs: int = 12,
    verdict: str = "pass",
    caption: str = "",
    ids: Sequence[str] | None = None,
    seed: int = 0,
    **content: object,
) -> Path:
    """Writes the files of a study that was never made: concept k has importance .2, .16, ..., each by .04 less.

    Args:
      folder: where to, made where missing.
      concepts: their names.
      examples: their number; two classes, and a direction for each.
      pairs: pictures before and after; 0 for none.
      verdict: of the first concept's check of independence.
      caption: what every caption begins with.
      ids: of the examples.
      seed: of the numbers.
      **content: fields of importance.json, such as `unfinished`.
    """
    from cpi_jax.files.csv_files import csv_text

    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng, n = np.random.default_rng(seed), len(concepts)
    value = 0.2 - 0.04 * np.arange(n)
    p = np.where(value > 0.05, 1e-4, 0.5)
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "concept": concepts, "metric": metric, "importance": value, "ci_low": value - 0.05,
                    "ci_high": value + 0.05, "p": p, "p_holm": p, "rank": 1 + np.arange(n),
                    "rank_low": np.maximum(np.arange(n), 1), "rank_high": np.minimum(np.arange(n) + 2, n),
                    "rank_valid": True, "verdict": [verdict, *["pass"] * (n - 1)], "share_of_draws": 0.1,
                    "num_changed": examples, "num_new": examples // 4, "num_impossible": 0, "draw_0": value + 0.01,
                    "draw_1": value - 0.01,
                }
            )
            for metric in METRICS
        ],
        ignore_index=True,
    )  # fmt: skip
    generation = pd.DataFrame({"concept": ["target: label", *(f"detector: {name}" for name in concepts)]})
    generation = generation.assign(check="effective generation", auroc_real=0.93, auroc_generated=0.92, lost=0.01)
    independence = pd.DataFrame([(a, b) for a in concepts for b in concepts], columns=["permuted", "concept"])
    independence = independence.assign(check="independent permutation", change=0.004, change_error=0.002, leak=0.001)
    independence["role"] = np.where(independence.permuted == independence.concept, "permuted", "other")
    independence = independence.assign(auroc_permuted_labels=0.98)
    checks = pd.concat([generation, independence], ignore_index=True).assign(verdict="pass", needed=0, advice="")
    if n > 1 and verdict != "pass":
        row = checks.index[(checks["role"] == "other") & (checks["permuted"] == concepts[0])][0]
        checks.loc[row, ["verdict", "advice", "change"]] = [
            verdict,
            f"permute {concepts[0]} and others as a group",
            -0.2,
        ]
    names = ids if ids is not None else [f"example {i}" for i in range(examples)]
    every = {
        "example_id": np.tile(np.asarray(names, object), n),
        "concept": np.repeat(np.asarray(concepts, object), examples),
    }
    appears = rng.random(n * examples) < 0.5
    change = np.where(appears, 1, -1) * np.repeat(10 * value, examples) + rng.normal(size=n * examples)
    local = pd.DataFrame(every).assign(
        own=np.where(appears, "", every["concept"]), value=np.where(appears, every["concept"], ""), share=0.5, weight=1.0,
        direction=np.where(appears, "appears", "disappears"), score=rng.normal(size=len(change)), score_change=change,
        log_loss_change=change / 4, flips=(np.abs(change) > 2) * 1.0,
    )  # fmt: skip
    for column in ("concept", "own", "value", "direction"):
        local[column] = local[column].astype("category")
    local.to_parquet(folder / "local.parquet", index=False)
    directions = [(c, d) for c in concepts for d in ("permuted", "appears", "disappears")]
    flips = pd.DataFrame(directions, columns=["concept", "direction"])
    flips = flips.assign(own="", value="", examples=examples, rate=0.25, ci_low=0.2, ci_high=0.3)
    responses = pd.DataFrame([(c, v) for c in concepts for v in ("", c)], columns=["concept", "value"])
    responses = responses.assign(ordered=False, output=0, examples=examples, score=0.5, ci_low=0.4, ci_high=0.6)
    for name, frame in {"importance": table, "checks": checks, "flips": flips, "responses": responses}.items():
        (folder / f"{name}.csv").write_text(csv_text(frame), encoding="utf-8")
    record = {"metrics": METRICS, "level": 0.95, "interval": "jackknife", "alternative": "greater", "warnings": []}
    notes = ["the target has auroc 0.93 on the real images"]
    all_content = {
        "importance": record,
        "interactions": None,
        "subgroups": {},
        "notes": notes,
        "skipped": [],
        "stopped": None,
    }
    (folder / "importance.json").write_text(json.dumps({**all_content, "unfinished": None, **content}))
    made = {"cpi_jax": "0.1.0", "target": "my_code:predict", "data": "captions.csv", "examples": examples, "draws": 2}
    made |= {"images_generated": 2 * examples * (n + 1), "images_reference_protocol": 25 * n * examples, "seed": 0}
    (folder / "provenance.json").write_text(json.dumps({**made, "wall_seconds": [60.0], "hashes": {"target": "c184"}}))
    shown = [_pair(folder, rng, k, concepts[k % n], caption, str(names[k % len(names)])) for k in range(pairs)]
    if pairs:
        (folder / "images" / "shown.json").write_text(json.dumps({"chosen_among": "all", "pairs": shown}))
    return folder


def _pair(folder: Path, rng: np.random.Generator, k: int, concept: str, caption: str, example: str) -> dict:
    """Pictures of smooth noise, and what is said of them."""
    for name in ("real", "before", "after"):
        pixels = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC).save(folder / "images" / f"{name}_{k}.png")
    change = float(rng.normal())
    return {
        "concept": concept, "example": example, "choice": ("largest change", "random")[k % 2],
        "direction": ("appears", "disappears")[k % 2], "own": "", "value": concept,
        "caption_before": f"{caption}a scene", "caption_after": f"{caption}a scene, {concept}",
        "before": f"before_{k}.png", "after": f"after_{k}.png", "real": f"real_{k}.png", "subgroup": "",
        "flips": change > 0.5, "several_labels": False, "output": None, "label": 1, "logit_before": 0.0,
        "logit_after": change, "score_before": 0.5, "score_after": 0.6, "score_real": 0.7, "decision_before": 0,
        "decision_after": int(change > 0.5), "detected_before": 0.1, "detected_after": 0.9,
        "shows_caption": k % 3 != 0, "others_changed": [concept] if k % 4 == 0 else [],
    }  # fmt: skip


def main():
    from cpi_jax.report.page.page import write_page

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--concepts", type=int, default=15)
    parser.add_argument("--classifiers", type=int, default=3)
    parser.add_argument("--out", default="", help="keep the page there")
    arguments = parser.parse_args()
    concepts = [f"concept {k}" for k in range(arguments.concepts)]
    with tempfile.TemporaryDirectory() as folder:
        results = {
            f"classifier {c}": make_results(
                Path(folder) / f"classifier {c}", concepts, examples=arguments.examples, pairs=PAIRS, seed=c
            )
            for c in range(arguments.classifiers)
        }
        started = time.monotonic()
        page = write_page(results, arguments.out or Path(folder) / "report.html")
        print(f"{page.stat().st_size / 1e6:.2f} MB in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
