"""Generation with a clock that runs on over interruptions."""

from __future__ import annotations

import json
import time

from cpi_jax.study import Study


def run_timed(study: Study, title: str) -> tuple[float, float]:
    """Generates what a study lacks.

    Args:
      study: what to do; its store keeps the clock.
      title: of the progress bar.

    Returns:
      The seconds that its images took, compilation and interrupted runs included, and how many of them earlier runs spent.
    """
    earlier = json.loads(study.store.read("seconds.json") or "0")
    seconds, missing, started = (
        earlier,
        study.num_images - study.scores.count_done(study.settings.draws).sum(),
        time.monotonic(),
    )
    try:
        study.generate(title=title)
    finally:
        if missing:
            seconds += time.monotonic() - started
            study.store.write("seconds.json", json.dumps(round(seconds, 1)))
    return seconds, earlier
