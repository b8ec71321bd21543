"""What was done, as a paragraph for a paper with the settings filled in, and what it was done with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cpi_jax.report.page.numbers import metric_name
from cpi_jax.report.page.reading import Results
from cpi_jax.wording import counted, duration, percent

CITATION = (
    "Jabbour, S., Kondas, G., Kazerooni, E., Sjoding, M., Fouhey, D., Wiens, J. (2024). DEPICT: Diffusion-Enabled "
    "Permutation Importance for Image Classification Tasks. European Conference on Computer Vision. arXiv:2407.14509."
)


def paragraph(results: Results) -> str:
    """The methods of a study in sentences."""
    about, record, config = results.provenance, results.record, results.config
    ranked = int((results.ranking()["rank"] > 0).sum())
    interval = {"jackknife": "the infinitesimal jackknife", "bootstrap": "the bootstrap"}[record["interval"]]
    tested = "one-sided" if record["alternative"] == "greater" else "two-sided"
    sentences = [
        f"We measured concept permutation importance (DEPICT; Jabbour et al., 2024) with cpi_jax {about['cpi_jax']}"
        if "cpi_jax" in about
        else "We measured concept permutation importance (DEPICT; Jabbour et al., 2024) with cpi_jax",
        f"The captions of {counted(about['examples'], 'example')} hold "
        f"{counted(ranked, 'concept')}. Each concept was permuted "
        f"across captions{_within(config)}, and pictures were generated for the permuted captions, "
        f"{counted(about['draws'], 'noise draw')} each{_generator(about, config)}, "
        f"{counted(about['images_generated'], 'picture')} in all",
        "The importance of a concept is the fall of "
        f"{metric_name(results.metric)} of the classifier when it is permuted, in "
        f"expectation over all permutations. Intervals have a level of {percent(record['level'])} by {interval} over "
        f"{'clusters of ' if _statistics(config).get('cluster') else ''}examples; "
        f"p-values are {tested} and corrected over the concepts "
        f"by Holm's method; rank intervals hold for all concepts together",
    ]
    margins = config.get("checks") or {}
    if margins:
        sentences.append(
            f"Generated pictures were compared with real ones (margin {margins['generation_margin']:g} of AUROC), and a "
            "detector judged whether concepts that were not permuted "
            f"stayed as they were (margin {margins['leak_margin']:g})"
        )
    return ". ".join(sentences) + f". The random seed was {about.get('seed', 'unknown')}."


def made_with(results: Results) -> list[tuple[str, str]]:
    """Names and values: classifier, data, versions, hashes, seed, time."""
    about = results.provenance
    seconds = about.get("wall_seconds") or []
    versions = {"cpi_jax": about.get("cpi_jax"), "Python": about.get("python"), **about.get("packages", {})}
    rows = [
        ("Classifier", about.get("target", "")),
        ("Data", about.get("data", "")),
        ("Pictures", about.get("images") or "generated from noise"),
        ("Examples, draws", f"{about['examples']:,}, {about['draws']:,}"),
        ("Pictures generated", f"{about['images_generated']:,}"),
        ("DEPICT's published protocol would take", f"{about['images_reference_protocol']:,}"),
        ("Time", ", ".join(duration(s) for s in seconds[-3:]) + (" (the last runs)" if len(seconds) > 3 else "")),
        ("Device", about.get("device", "")),
        ("Seed", about.get("seed", "")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
        *((f"Hash of the {name}", value) for name, value in about.get("hashes", {}).items()),
    ]  # fmt: skip
    return [(name, str(value)) for name, value in rows if str(value)]


def _within(config: Mapping[str, Any]) -> str:
    given = list(config.get("condition_on") or ())
    if not given:
        return ""
    return f" among examples that agree in {'all other concepts' if given == ['all'] else ', '.join(given)}"


def _generator(about: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    sampler = config.get("sampler") or {}
    if about.get("images"):
        return f" as {about['images']}"
    if not sampler.get("steps"):
        return ""
    solver = str(sampler.get("solver", "")).replace("_", " ")
    return f" ({solver}, {sampler['steps']} steps, guidance {sampler.get('guidance_scale', 1):g})"


def _statistics(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("statistics") or {}
