"""What a study understood of its data and what it would cost; one batch is made, timed and thrown away."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterator

import jax
import numpy as np

from cpi_jax.analysis.captions_alone import describe_captions_alone
from cpi_jax.classifiers.named import DETECTOR, TARGET
from cpi_jax.generation.flops import count_flops
from cpi_jax.plan.coverage import measure_coverage
from cpi_jax.plan.describe import describe_variants
from cpi_jax.store.workers import read_tallies
from cpi_jax.study import Study
from cpi_jax.wording import duration

MIB = 2.0**20
_SHOWN, _LOOKED_AT = 3, 1000  # captions that are printed, and among which they are found
_SLOW = 20.0  # seconds; a batch that takes longer is not run a second time


def describe_data(study: Study) -> str:
    """What was read and what was not, classes, concepts with their contents and frequencies, captions and what they tell of
    the label, as text."""
    examples, plan = study.examples, study.plan
    longest = int(plan.caption_lengths().max())
    own = np.asarray(plan.captions(np.asarray(plan.baseline)[:1]))[0]
    said = sum(not any(text) for text in examples.slots)
    lines = [
        f"Examples: {len(examples):,}, " + ("with images" if examples.images is not None else "without images"),
        *(f"  {note}" for note in examples.notes),
        f"Classes: {'; '.join(_classes(np.asarray(examples.labels)))}",
        "Concepts:",
        *_contents(study),
        f"Captions: at most {longest} of the {len(own)} tokens that the text encoder reads, permuted ones included"
        + (f"; {said:,} say nothing and become {study.settings.empty!r}" if said else ""),
        *_captions(study),
        *filter(None, [describe_captions_alone(study.examples, study.settings)[0]]),
        *([] if study.targets == (TARGET,) else [f"Classifiers, on the same pictures: {', '.join(study.targets)}"]),
        "Detector: "
        + (
            f"asked about {', '.join(examples.concept_names)}"
            if DETECTOR in study.scorers
            else "none, so that nobody knows whether generated pictures show the concepts (detector.path names one)"
        ),
        *(f"Warning: {warning}" for warning in study.warnings),
    ]
    return "\n".join(lines)


def _captions(study: Study) -> Iterator[str]:
    """The first captions that differ, whole."""
    rows = np.asarray(study.plan.baseline)[:_LOOKED_AT]
    table = describe_variants(study.plan, study.examples, study.settings, rows)
    captions: dict[str, str] = {}
    for example, caption in zip(table["example_id"].to_pylist(), table["caption"].to_pylist()):
        captions.setdefault(caption, f"  of example {example}: {caption!r}")
    yield from list(captions.values())[:_SHOWN]


def _classes(labels: np.ndarray) -> Iterator[str]:
    if labels.ndim == 2:
        for c, share in enumerate(labels.mean(0)):
            yield f"label {c} in {share:.0%}"
        return
    for value, count in zip(*np.unique(labels, return_counts=True)):
        yield f"{value}: {count:,}"


def _contents(study: Study) -> Iterator[str]:
    """One line a slot: what it says, and in which share of the captions."""
    examples = study.examples
    for k, name in enumerate(examples.slot_names):
        if name not in examples.permutable:
            continue
        counts = collections.Counter(row[k].strip() for row in examples.slots)
        most = ", ".join(f"{text or 'nothing'!r} {n / len(examples):.1%}" for text, n in counts.most_common(8))
        rest = f", and {len(counts) - 8} more" if len(counts) > 8 else ""
        yield f"  {name}: {most}{rest}" + (" (never varies: skipped)" if name in study.plan.skipped else "")


def describe_cost(study: Study) -> str:
    """Images, batches, memory and time of a study, as text."""
    plan, settings = study.plan, study.settings
    done = study.scores.count_done(settings.draws)
    left = study.num_images - int(done.sum())
    step, arguments = study.batch_scorer.step_and_arguments()
    batch_size = study.batch_scorer.batch_size
    compiled = step.lower(*arguments).compile()
    memory = compiled.memory_analysis()
    per_image = count_flops(jax.make_jaxpr(step)(*arguments)) * jax.local_device_count() / batch_size
    tallies = list(read_tallies(study.store).values())
    images, seconds = (sum(tally[name] for tally in tallies) for name in ("images", "seconds"))
    lines = [
        f"Distinct captions: {plan.num_variants:,}; draws: at most {settings.draws}",
        "Permuted: "
        + "; ".join(
            f"{name} ({share:.0%} of captions change)"
            for name, share in zip(plan.names, measure_coverage(plan).share_changed)
        ),
        f"Images: {study.num_images:,}, of which {left:,} are left, in {-(-left // batch_size):,} batches of {batch_size} "
        f"on {jax.local_device_count()} x {jax.local_devices()[0].device_kind} ({settings.compute.unit_size} a work unit)",
        f"Memory of a device: {memory.argument_size_in_bytes / MIB:,.0f} MiB parameters and inputs, "
        f"{memory.temp_size_in_bytes / MIB:,.0f} MiB working memory",
        f"Work: {per_image / 1e9:,.1f} GFLOP an image, {per_image * left / 1e15:,.3f} PFLOP in all",
    ]
    rate, seen = (
        (images / seconds, "seen so far")
        if images and seconds
        else (batch_size / _seconds(compiled, arguments), "of one batch")
    )
    lines.append(f"Time: about {duration(left / rate)} of one worker at the {rate:.3g} images/s {seen}")
    return "\n".join(lines)


def _seconds(compiled: jax.stages.Compiled, arguments: tuple) -> float:
    """Of one batch, on the device alone."""
    for _ in range(2):
        started = time.monotonic()
        jax.block_until_ready(compiled(*arguments))
        seconds = time.monotonic() - started
        if seconds > _SLOW:
            break
    return seconds
