"""What a study would cost, from its plan and its compiled step; nothing is generated."""

from __future__ import annotations

import jax
import numpy as np

from cpi_jax.flops import count_flops
from cpi_jax.study import Study, step_and_arguments
from cpi_jax.workers import read_tallies

MIB = 2.0**20


def describe_cost(study: Study) -> str:
    """Examples, concepts, images, batches, memory and time of a study, as text."""
    plan, settings = study.plan, study.settings
    done = study.count_done()
    left = study.num_images - int(done.sum())
    step, arguments = step_and_arguments(study)
    batch_size = len(arguments[-1])
    memory = step.lower(*arguments).compile().memory_analysis()
    per_image = count_flops(jax.make_jaxpr(step)(*arguments)) * jax.local_device_count() / batch_size
    tallies = list(read_tallies(study.store).values())
    images, seconds = (sum(tally[name] for tally in tallies) for name in ("images", "seconds"))
    lines = [
        f"Examples: {len(study.examples):,}; distinct captions: {plan.num_variants:,}; draws: at most {settings.draws}",
        "Permuted: "
        + "; ".join(
            f"{part.name} ({share:.0%} of captions change)"
            for part, share in zip(plan.parts, plan.reach_of(np.ones(len(study.examples), bool)).share_changed)
        ),
        *([f"Skipped, since every caption says the same of it: {', '.join(plan.skipped)}"] if plan.skipped else []),
        f"Images: {study.num_images:,}, of which {left:,} are left, in {-(-left // batch_size):,} batches of {batch_size} "
        f"on {jax.local_device_count()} x {jax.local_devices()[0].device_kind} ({settings.unit_size} a work unit)",
        f"Memory of a device: {memory.argument_size_in_bytes / MIB:,.0f} MiB parameters and inputs, "
        f"{memory.temp_size_in_bytes / MIB:,.0f} MiB working memory",
        f"Work: {per_image / 1e9:,.1f} GFLOP an image, {per_image * left / 1e15:,.3f} PFLOP in all",
    ]
    if images and seconds:
        hours = left * seconds / images / 3600
        lines.append(f"Time: about {hours:.2f} hours of one worker at the {images / seconds:.1f} images/s seen so far")
    else:
        lines.append("Time: not known before images were made here: --config.max_images=256 makes a few and keeps them")
    return "\n".join(lines)
