"""`write_page`: the results of a study, of one classifier or of several, as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import read_csv
from cpi_jax.files.writing import write_atomically
from cpi_jax.report.page import concepts, methods, pictures, sentences, tables, trust
from cpi_jax.report.page.numbers import LETTERS, metric_meaning, metric_name, number, strong
from cpi_jax.report.page.reading import Results, read_results
from cpi_jax.wording import counted, in_a_line, percent

NAME = "report.html"
MOST_BYTES = 5_000_000
_DOWNLOADS = (
    "importance.csv",
    "checks.csv",
    "flips.csv",
    "responses.csv",
    "differences.csv",
    "gaps.csv",
    "shares.csv",
    "sign_tests.csv",
    "interactions.csv",
    "subgroups.csv",
    "provenance.json",
    "config.json",
    "importance.json",
)
_EMBEDDED = 600_000  # letters of the files that are inside the page, all together
_BESIDE = ("local.parquet", "variants.parquet", "scores.zarr")
_HERE = Path(__file__).parent / "templates"


def write_page(results: Mapping[str, str | Path], out: str | Path) -> Path:
    """Writes report.html of results that are on disk.

    The page holds its pictures, tables and script, asks no network for anything, and has at most 5 MB: pictures that do not
    fit are left out, which it says.

    Args:
      results: folder of the results by the classifier's name; of one classifier the name is not shown.
      out: the file to write.

    Returns:
      The file's path.

    Raises:
      InputError: for a folder without results, or with those of another release; for a file that cannot be written.
    """
    out = Path(out)
    if out.is_dir():
        raise InputError(f"{out} is a folder: name the file to write, such as {out / NAME}")
    if not os.access(out.parent, os.W_OK):
        raise InputError(f"cannot write {out}: {out.parent} is no folder that can be written to")
    read = {name: read_results(Path(folder)) for name, folder in results.items()}
    budget = pictures.BUDGET // len(read)
    while True:
        page = _render(read, out, budget)
        if len(page.encode()) <= MOST_BYTES or budget < 10_000:
            break
        budget //= 2
    write_atomically(out, page)
    return out


@dataclasses.dataclass(frozen=True)
class _Classifier:
    """What the templates show of one classifier."""

    key: str
    name: str
    results: Results
    answer: list[Markup]
    checks: list[trust.Check]
    verdict: tuple[str, str]
    steps: list[Markup]
    views: list[tables.View]
    subgroups_left_out: int
    differences: dict[str, Any] | None
    gaps: dict[str, Any] | None
    interactions: list[dict[str, str]]
    shares: list[dict[str, str]]
    gallery: pictures.Gallery | None
    details: list[concepts.Details]
    methods: str
    made_with: list[tuple[str, str]]
    downloads: list[tuple[str, str]]
    beside: list[str]


def _render(read: Mapping[str, Results], out: Path, budget: int) -> str:
    first = next(iter(read.values()))
    wanted = (first.config.get("output") or {}).get("report_images", "all")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"strong": strong, "line": lambda text, most=LETTERS: in_a_line(str(text), most)}
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    shown = [
        _classifier(f"c{k}", name, of_one, wanted, budget, out.parent) for k, (name, of_one) in enumerate(read.items())
    ]
    return environment.get_template("page.html.j2").render(
        classifiers=shown,
        several=len(shown) > 1,
        compared=_compared(read),
        about=_subject(first, len(shown) > 1),
        note=first.provenance.get("note", ""),
        level=percent(first.level),
        metric=metric_name(first.metric),
        meaning=metric_meaning(first.metric),
        policy=_policy(wanted, first, any(one.gallery for one in shown)),
        citation=methods.CITATION,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=first.provenance.get("cpi_jax", ""),
    )


def _classifier(key: str, name: str, results: Results, wanted: str, budget: int, page_folder: Path) -> _Classifier:
    checks = trust.find_checks(results)
    gallery = pictures.make_gallery(results, wanted, budget)
    return _Classifier(
        key=key,
        name=in_a_line(name, LETTERS) if name else "",
        results=results,
        answer=sentences.answer(results),
        checks=checks,
        verdict=trust.verdict(checks),
        steps=trust.next_steps(results, checks, gallery is not None),
        views=tables.find_views(results),
        subgroups_left_out=tables.count_left_out(results),
        differences=tables.differences(results),
        gaps=tables.gaps(results),
        interactions=tables.interactions(results),
        shares=tables.shares(results),
        gallery=gallery,
        details=concepts.find_details(results),
        methods=methods.paragraph(results),
        made_with=methods.made_with(results),
        downloads=_downloads(results.folder),
        beside=[_relative(results.folder / name, page_folder) for name in _BESIDE if (results.folder / name).exists()],
    )


def _compared(read: Mapping[str, Results]) -> dict[str, Any] | None:
    """Of several classifiers: each one's importance of each concept, and the differences that are shown."""
    if len(read) < 2:
        return None
    rankings = {name: results.ranking().set_index("concept") for name, results in read.items()}
    first = next(iter(read.values()))
    names = list(dict.fromkeys(concept for table in rankings.values() for concept in table.index))[: tables.ALL]
    cells = [[_cell(table, concept, 1 - first.level) for table in rankings.values()] for concept in names]
    path = first.folder.parent / "target_differences.csv"
    return {
        "names": [in_a_line(name, 40) for name in read],
        "rows": [(in_a_line(concept, LETTERS), row) for concept, row in zip(names, cells)],
        "differences": tables.target_differences(read_csv(path), first.metric) if path.exists() else None,
    }


def _cell(table: Any, concept: str, alpha: float) -> dict[str, Any]:
    if concept not in table.index:
        return {"text": "–", "shown": False, "failed": False, "key": -1e9}
    row = table.loc[concept]
    value = float(row["importance"])
    text = number(value)
    return {"text": text, "shown": row["p_holm"] <= alpha, "failed": row["verdict"] == "fail", "key": value}


def _subject(results: Results, several: bool) -> str:
    """What the study is of, in the reader's words."""
    provenance = results.provenance
    label = (results.config.get("data") or {}).get("label") or ""
    about = {**provenance, "label": label if isinstance(label, str) else ", ".join(map(str, label))}
    parts = [
        f"{word}: {about[name]}"
        for name, word in (("target", "Classifier"), ("label", "Label"), ("data", "Data"), ("images", "Pictures"))
        if about.get(name) and not (several and name == "target")
    ]
    examples, draws = counted(provenance["examples"], "example"), provenance["draws"]
    return " · ".join([*parts, f"{examples}, each caption drawn {'once' if draws == 1 else f'{draws:,} times'}"])


def _policy(wanted: str, results: Results, any_picture: bool) -> str:
    """Which pictures the page holds, so that nobody hands on what must not be."""
    if wanted == "none":
        return "This page holds no pictures (output.report_images=none)."
    if not any_picture:
        return "This page holds no pictures: none were kept."
    edits = bool(results.provenance.get("images"))
    if wanted == "generated" and not edits:
        return "This page holds generated pictures alone, no real ones (output.report_images=generated)."
    if wanted == "generated":
        return (
            "This page holds generated pictures, which are edits of real ones: pass it on "
            "only to those who may see them (output.report_images=none leaves them out)."
        )
    return (
        "This page holds real pictures beside generated ones: pass it on only to those "
        "who may see them (output.report_images=generated or none leaves them out)."
    )


def _downloads(folder: Path) -> list[tuple[str, str]]:
    """Files inside the page, as data URIs, as many as are small enough."""
    out, left = [], _EMBEDDED
    for name in _DOWNLOADS:
        path = folder / name
        if not path.exists():
            continue
        kind = "text/csv" if path.suffix == ".csv" else "application/json"
        size = -(-path.stat().st_size // 3) * 4
        if size <= left:
            left -= size
            out.append((name, f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"))
        else:
            out.append((name, ""))
    return out


def _relative(path: Path, folder: Path) -> str:
    try:
        return str(path.relative_to(folder))
    except ValueError:
        return path.name


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def describe_page(folder: str | Path) -> str:
    """The line that names a study's page."""
    return f"Report, for any browser: {Path(folder) / NAME}"
