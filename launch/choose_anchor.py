"""Tries how much of the real pictures can be kept: skip x guidance, on examples that the study does not use.

    python launch/choose_anchor.py --config=benchmarks/shortcut/study.py --config.data.start=5000

Prints, for each setting, whether edited pictures follow their captions, what leaks into other concepts, how far a picture
regenerated from its own caption lies from the real one, and the standard error of the least important concept; and names
the setting that keeps most of those whose checks pass. docs/anchored.md says what each column means.
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

import math

from absl import flags

from cpi_jax.cli.flags import define_study, define_workdir
from cpi_jax.errors import InputError

_CONFIG = define_study()
_WORKDIR = define_workdir("The study's folder, whose examples are left out", written=False)
_SKIPS = flags.DEFINE_list("skips", ["0", "1", "2", "3"], "Levels to leave out, to try.")
_SCALES = flags.DEFINE_list("guidance", [], "Guidance scales to try; the config's by default.")
_EXAMPLES = flags.DEFINE_integer("examples", 48, "At most so many examples.", lower_bound=8)


def main():
    from cpi_jax.cli.choose_anchor import most_faithful, try_settings
    from cpi_jax.cli.from_config import settings_of

    config = _CONFIG.value
    skips = _numbers("skips", _SKIPS.value, int)
    scales = _numbers("guidance", _SCALES.value, float) or [config.sampler.guidance_scale]
    trials = []
    for trial in try_settings(config, skips, scales, _EXAMPLES.value, _WORKDIR.value):
        if not trials:
            print("skip  guidance  follows  below real     leak  distance  beside   error  of the concept")
        trials.append(trial)
        beside = "-" if math.isnan(trial.beside) else f"{trial.beside:.1f}"
        print(
            f"{trial.skip:4d}  {trial.guidance_scale:8g}  {trial.follows:7.3f}  {trial.shortfall:10.3f}  "
            f"{trial.leak:7.3f}  {trial.distance:8.1f}  {beside:>6}  {trial.error:6.4f}  {trial.null}",
            flush=True,
        )
    best = most_faithful(trials, settings_of(config))
    if best is None:
        print(
            "None of them follows its captions without leaks: try a larger --guidance, fewer --skips, or plain sampling"
        )
        return
    print(
        "The closest to the real pictures of those whose checks pass:\n  --config.sampler.anchor=edit_friendly "
        f"--config.sampler.skip={best.skip} --config.sampler.guidance_scale={best.guidance_scale:g}"
    )


def _numbers(flag, texts, kind):
    try:
        return [kind(text) for text in texts]
    except ValueError:
        raise InputError(f"--{flag} must be numbers with commas between them, not {','.join(texts)!r}") from None


if __name__ == "__main__":
    command_line.run(main, required=("config",))
