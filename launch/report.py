"""Evaluates a study as far as it is, at any time; generates nothing and disturbs no worker.

    python launch/report.py --workdir=runs/shapes

The study is the one that config.json in its folder describes.
"""

from cpi_jax import command_line

_WORKDIR = command_line.define_workdir("The study's folder", remote=True, written=False)


def main():
    from cpi_jax.conclude import conclude
    from cpi_jax.early_end import EarlyEnd
    from cpi_jax.from_config import planted_from_config, read_config, study_from_config
    from cpi_jax.location import require_writable
    from cpi_jax.workers import hold

    config = read_config(_WORKDIR.value)
    study = study_from_config(config, _WORKDIR.value, readonly=True)
    if not study.store.remote:
        require_writable(study.store.location)
    with hold(study.store, "results", wait=True):
        outcome = conclude(study, EarlyEnd(study), planted_from_config(config))
    if outcome.explanation is not None:
        print(outcome.explanation.summary())
    print(outcome.message)


if __name__ == "__main__":
    command_line.run(main, required=("workdir",))
